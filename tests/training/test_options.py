"""Training with drawn KLs, learned scales, warm-up, free bits, and images redrawn each epoch."""

import math
from dataclasses import replace

import pytest
import torch
from killing import Killed, KillIn
from torch import nn

from priorgap.core.bf16 import bf16
from priorgap.core.random import stream
from priorgap.data.binarize import binarized
from priorgap.data.digits import Digits
from priorgap.models.calibrate import calibrate, calibration_refusal
from priorgap.models.continuous_bernoulli import ContinuousBernoulli
from priorgap.models.learned_scale import DiscretizedLogistic, LearnedGaussian
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.losses import ElboLoss, objective
from priorgap.models.networks import MLP
from priorgap.models.vae import build_vae
from priorgap.priors.flow import Flow
from priorgap.priors.mixture import Mixture
from priorgap.priors.vamp import Vamp
from priorgap.training import BatchedTrainerConfig
from priorgap.training.config import check_for_gan
from priorgap.training.fit import TrainerConfig, train_vae


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Digits().load(root=tmp_path_factory.mktemp("none"), download=False)


def fit(place, data, *, likelihood=None, prior=None, loss=None, epochs=3, callbacks=(), **trainer):
    vae = build_vae(
        MLP(3, (32,)), likelihood or Bernoulli(), prior, data.shape, generator=stream(0, "weights")
    )
    config = TrainerConfig(max_epochs=epochs, batch_size=64, accelerator="cpu", **trainer)
    return train_vae(
        vae, data, loss or ElboLoss(), config, seed=0, directory=place, progress=False, callbacks=callbacks
    )


def same(a, b) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


PRIORS = {
    "mixture": Mixture(3, 4, "diag"), "full": Mixture(3, 4, "full"), "vamp": Vamp(3, 8),
    "flow": Flow(3, "nsf", 2, (16,)),
}  # fmt: skip


@pytest.mark.parametrize("name", PRIORS)
def test_a_learned_prior_learns_and_its_kl_has_a_standard_error(tmp_path, digits, name):
    result = fit(tmp_path, digits, prior=PRIORS[name], epochs=4)
    start = build_vae(
        MLP(3, (32,)), Bernoulli(), PRIORS[name], digits.shape, generator=stream(0, "weights")
    ).prior.state_dict()
    moved = result.vae.prior.state_dict()
    assert any(not torch.equal(v, moved[k]) for k, v in start.items())
    first, last = result.curves[0], result.curves[-1]
    assert last["validation_loss"] < first["validation_loss"]
    x = digits.validation.floats()
    with torch.no_grad():
        noise = torch.randn(len(x), 3, generator=stream(0, "validation noise"))
        rate = result.vae.terms(x, noise).rate[:, 0].double()
    assert last["validation_kl"] == pytest.approx(float(rate.mean()), rel=1e-4)
    error = float(rate.std(correction=0)) / math.sqrt(len(rate))
    assert last["validation_kl_std_error"] == pytest.approx(error, rel=1e-3)
    assert last["train_kl_std_error"] > 0
    assert "standard normal prior only" in str(calibration_refusal(result.vae))


def test_the_standard_priors_curves_have_no_new_columns(tmp_path, digits):
    terms = ("loss", "reconstruction", "kl")
    names = {"epoch", *(f"{part}_{term}" for part in ("train", "validation") for term in terms)}
    assert set(fit(tmp_path, digits, epochs=1).curves[0]) == names


@pytest.mark.parametrize(
    "likelihood", [ContinuousBernoulli(), LearnedGaussian(0.5, None), DiscretizedLogistic(0.1)], ids=str
)
def test_every_likelihood_trains(tmp_path, digits, likelihood):
    result = fit(tmp_path, digits, likelihood=likelihood, epochs=6)
    losses = [record["validation_loss"] for record in result.curves]
    assert losses[-1] < losses[0] - 1
    for name, value in result.vae.likelihood.state_dict().items():
        assert float(value) != float(likelihood.state_dict()[name])  # the scale has moved


def test_learned_sigma_is_the_same_at_every_alpha(tmp_path, digits):
    a, b = (
        fit(tmp_path / str(alpha), digits, likelihood=LearnedGaussian(0.5, None), loss=ElboLoss(alpha)).vae
        for alpha in (1.0, 50.0)
    )
    assert same(a, b)
    assert not same(
        fit(tmp_path / "x", digits, likelihood=Gaussian(), loss=ElboLoss(1.0)).vae,
        fit(tmp_path / "y", digits, likelihood=Gaussian(), loss=ElboLoss(50.0)).vae,
    )


def test_warm_up_trains_at_a_lower_weight_and_is_judged_at_the_last(tmp_path, digits):
    warm = fit(tmp_path / "warm", digits, loss=ElboLoss(beta=4.0, beta_warmup_epochs=3), epochs=4)
    for epoch, record in enumerate(warm.curves):
        weight = 4.0 * min(1.0, (epoch + 1) / 4)
        train = record["train_reconstruction"] + weight * record["train_kl"]
        assert record["train_loss"] == pytest.approx(train, rel=1e-5)
        validation = record["validation_reconstruction"] + 4.0 * record["validation_kl"]
        assert record["validation_loss"] == pytest.approx(validation, rel=1e-5)
    with pytest.raises(Killed):
        fit(tmp_path / "cut", digits, loss=ElboLoss(beta=4.0, beta_warmup_epochs=3), epochs=4,
            callbacks=[KillIn(2)])  # fmt: skip
    resumed = fit(tmp_path / "cut", digits, loss=ElboLoss(beta=4.0, beta_warmup_epochs=3), epochs=4)
    assert same(warm.vae, resumed.vae)
    assert not same(warm.vae, fit(tmp_path / "cold", digits, loss=ElboLoss(beta=4.0), epochs=4).vae)


def test_free_bits_keep_units_alive_and_calibration_away(tmp_path, digits):
    strong = ElboLoss(beta=30.0)
    plain = fit(tmp_path / "plain", digits, loss=strong, epochs=8)
    free = fit(tmp_path / "free", digits, loss=replace(strong, free_bits=0.5), epochs=8)
    assert plain.curves[-1]["train_kl"] < 0.3
    assert free.curves[-1]["train_kl"] > 1.0
    record = free.curves[-1]
    # judged without them
    expected = record["validation_reconstruction"] + 30 * record["validation_kl"]
    assert record["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert calibration_refusal(free.vae, strong) is None
    with pytest.raises(ValueError, match=r"loss.free_bits=0.5"):
        calibrate(free.vae, None, loss=replace(strong, free_bits=0.5))
    with pytest.raises(ValueError, match="no KL per unit"):
        fit(tmp_path / "no", digits, prior=PRIORS["vamp"], loss=ElboLoss(free_bits=0.5))


def test_dynamic_binarisation_resumes_exactly_and_differs_from_static(tmp_path, digits):
    static, dynamic = (binarized(digits, how, seed=0) for how in ("static", "dynamic"))
    whole = fit(tmp_path / "whole", dynamic, epochs=4)
    with pytest.raises(Killed):
        fit(tmp_path / "cut", dynamic, epochs=4, callbacks=[KillIn(2)])
    assert same(whole.vae, fit(tmp_path / "cut", dynamic, epochs=4).vae)
    still = fit(tmp_path / "static", static, epochs=4)
    assert not same(whole.vae, still.vae)
    # validation is one draw: the two are judged on the same images
    x = static.validation.floats()
    noise = torch.randn(len(x), 3, generator=stream(0, "validation noise"))
    with torch.no_grad():
        for result in (whole, still):
            value = float(objective(result.vae.terms(x, noise), 1.0, 1.0))
            assert result.curves[-1]["validation_loss"] == pytest.approx(value, rel=1e-5)


def test_bf16_trains_about_as_well_in_other_bits_and_reports_in_float32(tmp_path, digits):
    plain = fit(tmp_path / "plain", digits, epochs=4)
    again = fit(tmp_path / "again", digits, epochs=4, precision=None)
    mixed = fit(tmp_path / "mixed", digits, epochs=4, precision="bf16")
    assert same(plain.vae, again.vae) and not same(plain.vae, mixed.vae)
    assert all(w.dtype == torch.float32 for w in mixed.vae.state_dict().values())
    a, b = plain.curves[-1]["validation_loss"], mixed.curves[-1]["validation_loss"]
    assert a != b and b == pytest.approx(a, rel=0.02)
    # validation is computed in float32: what the curve says is what the published weights give
    x = digits.validation.floats()
    noise = torch.randn(len(x), 3, generator=stream(0, "validation noise"))
    with torch.no_grad():
        assert float(objective(mixed.vae.terms(x, noise), 1.0, 1.0)) == pytest.approx(b, rel=1e-6)
    with pytest.raises(Killed):
        fit(tmp_path / "cut", digits, epochs=4, precision="bf16", callbacks=[KillIn(2)])
    assert same(mixed.vae, fit(tmp_path / "cut", digits, epochs=4, precision="bf16").vae)


@pytest.mark.parametrize("network", [nn.Linear(4, 3), nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(2, 3, 3)])
def test_bf16_rounds_the_factors_and_is_undone(network):
    x = torch.randn(5, 4) if isinstance(network, nn.Linear) else torch.randn(5, 2, 6, 6)
    exact = network(x)
    whole = nn.Sequential(network)
    with pytest.raises(Killed), bf16(whole):
        rounded = whole(x)
        raise Killed
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)
    assert torch.equal(rounded, rounded.bfloat16().float())
    assert torch.allclose(rounded, exact, atol=0.05) and torch.equal(network(x), exact)


def test_bf16_leaves_recurrent_layers_in_float32():
    recurrent, head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrent, self.head = recurrent, head

        def forward(self, x):
            return self.head(self.recurrent(x)[0])

    network, x = Network(), torch.randn(5, 6, 3)
    states = []
    hook = recurrent.register_forward_hook(lambda module, given, found: states.append(found[0]))
    exact = network(x)
    with bf16(network):
        rounded = network(x)
    hook.remove()
    assert torch.equal(*states) and states[1].dtype == torch.float32
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, exact)


def test_bf16_is_for_what_it_was_made_for():
    with pytest.raises(ValueError, match=r"trainer.precision=fp8: expected bf16 or null"):
        TrainerConfig(precision="fp8")
    config = TrainerConfig(precision="bf16", accelerator="cpu")
    with pytest.raises(ValueError, match=r"trainer.precision=bf16: not for a GAN; expected auto or 32-true"):
        check_for_gan(config)
    with pytest.raises(ValueError, match="trainer=batched trains in float32"):
        BatchedTrainerConfig(precision="bf16")

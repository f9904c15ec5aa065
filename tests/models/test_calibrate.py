"""Calibration: moments become 0 and 1, images stay the same; what cannot be calibrated is refused."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.models.calibrate import calibrate, calibration_refusal
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP, Conv, Linear
from priorgap.models.series import GRU, TCN
from priorgap.models.vae import VAE, build_vae
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal

CASES = [
    pytest.param(MLP(3, (16,)), Bernoulli(), (1, 8, 8), id="mlp"),
    pytest.param(Conv(2, (4, 4), 8), Gaussian(), (1, 8, 8), id="conv"),
    pytest.param(Linear(4), Gaussian(), (6,), id="linear"),
    pytest.param(TCN(3, 8, 3), Gaussian(), (12, 2), id="tcn"),
    pytest.param(GRU(3, 8), Gaussian(), (12, 2), id="gru"),
    pytest.param(GRU(3, 8, 2), Gaussian(), (12, 2), id="gru-2-layers"),
]


def off_centre(architecture, likelihood, shape) -> VAE:
    """A model in float64 whose aggregate posterior is far from N(0, I)."""
    vae = build_vae(architecture, likelihood, None, shape, generator=stream(3)).double()
    head = vae.encoder[-1]
    with torch.no_grad():
        head.weight.mul_(4)
        head.bias.add_(torch.linspace(-2, 2, len(head.bias)))
    return vae


def latents(vae: VAE, x: Tensor) -> Latents:
    with torch.no_grad():
        return Latents(*vae.encode(x))


def largest_change(before: VAE, after: VAE, x: Tensor, noise: Tensor) -> float:
    """Largest change of a reconstruction from the same image with the same noise."""
    with torch.no_grad():
        images = [v.decode((p := latents(v, x)).mean + p.std * noise) for v in (before, after)]
    return float((images[0] - images[1]).abs().max())


@pytest.mark.parametrize(("architecture", "likelihood", "shape"), CASES)
def test_moments_become_standard_and_images_stay(architecture, likelihood, shape, generator):
    vae = off_centre(architecture, likelihood, shape)
    x = torch.rand(200, *shape, generator=generator, dtype=torch.float64)
    noise = torch.randn(200, vae.latent_dim, generator=generator, dtype=torch.float64)
    before = {k: v.clone() for k, v in vae.state_dict().items()}
    result = calibrate(vae, latents(vae, x))
    new = latents(result, x)
    assert float(new.mean.mean(0).abs().max()) < 1e-12
    variance = new.mean.var(0, correction=0) + new.log_var.exp().mean(0)
    assert torch.allclose(variance, torch.ones_like(variance), atol=1e-12)
    assert largest_change(vae, result, x, noise) < 1e-6
    assert all(torch.equal(before[k], v) for k, v in vae.state_dict().items())


def test_the_rate_falls_by_the_diagonal_mismatch(generator):
    """R_before - R_after = KL of N(m_j, v_j) to N(0, 1), summed: calibration removes exactly that."""
    vae = off_centre(MLP(3, (16,)), Gaussian(), (6,))
    x = torch.rand(300, 6, generator=generator, dtype=torch.float64)
    old = latents(vae, x)
    new = latents(calibrate(vae, old), x)
    rate = [float(StandardNormal(3).kl(p.mean, p.log_var).sum(1).mean()) for p in (old, new)]
    mean, var = old.mean.mean(0), old.mean.var(0, correction=0) + old.log_var.exp().mean(0)
    mismatch = float(0.5 * (mean.square() + var - 1 - var.log()).sum())
    assert mismatch > 0.1
    assert rate[0] - rate[1] == pytest.approx(mismatch, rel=1e-9)


def test_a_fold_without_the_decoder_is_rejected(generator):
    """Negative control: the same check on a fold that forgets the decoder's first layer."""
    vae = off_centre(MLP(3, (16,)), Gaussian(), (6,))
    x = torch.rand(50, 6, generator=generator, dtype=torch.float64)
    wrong = calibrate(vae, latents(vae, x))
    wrong.decoder = copy.deepcopy(vae.decoder)
    noise = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    assert largest_change(vae, wrong, x, noise) > 1e-3


def test_calibrating_twice_changes_nothing(generator):
    vae = off_centre(MLP(3, (16,)), Gaussian(), (6,))
    x = torch.rand(50, 6, generator=generator, dtype=torch.float64)
    once = calibrate(vae, latents(vae, x))
    twice = calibrate(once, latents(once, x))
    for a, b in zip(once.parameters(), twice.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_float32_stays_within_rounding(generator):
    vae = off_centre(MLP(3, (16,)), Gaussian(), (1, 8, 8)).float()
    x = torch.rand(100, 1, 8, 8, generator=generator)
    noise = torch.randn(100, 3, generator=generator)
    assert largest_change(vae, calibrate(vae, latents(vae, x)), x, noise) < 1e-5


class _Learned(Prior):
    def log_prob(self, z):
        return StandardNormal(self.dim).log_prob(z)

    def sample(self, n, *, generator):
        return torch.randn(n, self.dim, generator=generator)


def test_refusals_name_the_reason():
    vae = off_centre(MLP(3, (16,)), Gaussian(), (6,))
    assert calibration_refusal(vae) is None
    learned = copy.deepcopy(vae)
    learned.prior = _Learned(3)
    assert "the prior is _Learned" in (calibration_refusal(learned) or "")
    clamped = copy.deepcopy(vae)
    clamped.encoder.append(nn.Hardtanh())
    assert "encoder ends with Hardtanh" in (calibration_refusal(clamped) or "")
    curved = copy.deepcopy(vae)
    curved.decoder.insert(0, nn.Tanh())
    assert "decoder starts with Tanh" in (calibration_refusal(curved) or "")
    with pytest.raises(ValueError, match="calibrate: the prior is _Learned"):
        calibrate(learned, Latents(torch.zeros(4, 3), torch.zeros(4, 3)))
    with pytest.raises(ValueError, match="3 units"):
        calibrate(vae, Latents(torch.zeros(4, 3)))
    with pytest.raises(ValueError, match="3 units"):
        calibrate(vae, Latents(torch.zeros(4, 2), torch.zeros(4, 2)))
    with pytest.raises(ValueError, match="finite, positive variance"):
        calibrate(vae, Latents(torch.full((4, 3), torch.inf), torch.zeros(4, 3)))


def weight_norm_of_old(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(layer)


PARAMETRISED = [
    weight_norm_of_old,
    nn.utils.parametrizations.weight_norm,
    nn.utils.spectral_norm,
    nn.utils.parametrizations.spectral_norm,
    nn.utils.parametrizations.orthogonal,
]


@pytest.mark.parametrize("change", PARAMETRISED)
@pytest.mark.parametrize("part", ["head", "first"])
def test_layers_that_compute_their_weight_are_refused(change, part):
    vae = off_centre(MLP(3, (16,)), Gaussian(), (6,)).float()
    layers, place = (vae.encoder, -1) if part == "head" else (vae.decoder, 0)
    layers[place] = change(layers[place])
    assert isinstance(layers[place], nn.Linear)
    reason = calibration_refusal(vae)
    assert reason is not None and "computes its weight" in reason
    with pytest.raises(ValueError, match=r"calibrate: .* computes its weight"):
        calibrate(vae, Latents(torch.zeros(4, 3), torch.zeros(4, 3)))


def test_hooks_and_missing_biases_are_refused():
    vae = off_centre(MLP(3, (16,)), Gaussian(), (6,))
    handle = vae.decoder[0].register_forward_pre_hook(lambda layer, x: (x[0].clamp(-1, 1),))
    assert "has hooks" in (calibration_refusal(vae) or "")
    handle.remove()
    assert calibration_refusal(vae) is None
    vae.decoder[0] = nn.Linear(3, 16, bias=False)
    assert "first layer has no bias" in (calibration_refusal(vae) or "")


def test_where_a_converged_model_may_keep_a_mismatch():
    loss = ElboLoss()
    for vae in (
        off_centre(MLP(3, (16,)), Gaussian(), (6,)),
        off_centre(Conv(2, (4, 4), 8), Gaussian(), (1, 8, 8)),
        off_centre(TCN(2, 8, 2), Gaussian(), (12, 2)),
        off_centre(GRU(2, 8), Gaussian(), (12, 2)),
    ):
        assert vae.moments_may_differ(loss, weight_decay=0.0) is None
        assert "weight_decay=0.01" in (vae.moments_may_differ(loss, weight_decay=0.01) or "")
        assert "free_bits" in (vae.moments_may_differ(ElboLoss(free_bits=0.1), weight_decay=0.0) or "")
    bounded = copy.deepcopy(vae)
    bounded.encoder.append(nn.Hardtanh())
    assert "ends with Hardtanh" in (bounded.moments_may_differ(loss, weight_decay=0.0) or "")
    normed = off_centre(MLP(3, (16,)), Gaussian(), (6,))
    normed.decoder[0] = nn.utils.parametrizations.weight_norm(normed.decoder[0])
    assert "computes its weight" in (normed.moments_may_differ(loss, weight_decay=0.0) or "")
    learned = off_centre(MLP(3, (16,)), Gaussian(), (6,))
    learned.prior = _Learned(3)
    assert "not N(0, I)" in (learned.moments_may_differ(loss, weight_decay=0.0) or "")

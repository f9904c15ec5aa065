"""Every model: shapes, reproducible weights, and z really reaches the output."""

import copy

import pytest
import torch
from torch import Tensor, nn

from priorgap.core.random import stream
from priorgap.models.gated import GatedMLP
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.losses import ElboLoss, objective
from priorgap.models.networks import MLP, Conv, Linear
from priorgap.models.normed import NormedConv
from priorgap.models.series import GRU, TCN
from priorgap.models.vae import VAE, build_vae, load_weights
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal

IMAGE, VECTOR, SERIES = (1, 8, 8), (6,), (12, 2)
MODELS = [
    pytest.param(MLP(3, (16, 8)), IMAGE, id="mlp-image"),
    pytest.param(MLP(3, (16,)), VECTOR, id="mlp-vector"),
    pytest.param(GatedMLP(3, (16, 8)), IMAGE, id="gated-image"),
    pytest.param(GatedMLP(3, (16,), None), VECTOR, id="gated-vector"),
    pytest.param(Linear(2), VECTOR, id="linear"),
    pytest.param(Conv(3, (4, 8), 16), IMAGE, id="conv-8"),
    pytest.param(Conv(2, (4, 8), 16), (3, 12, 28), id="conv-12x28-rgb"),
    pytest.param(Conv(256, (2, 2, 2, 2), 4), (1, 128, 128), id="conv-128"),
    pytest.param(TCN(3, 8, 3), SERIES, id="tcn"),
    pytest.param(GRU(3, 8), SERIES, id="gru"),
    pytest.param(GRU(3, 8, 2), SERIES, id="gru-2-layers"),
]


def model(architecture, shape, seed: int = 0) -> VAE:
    return build_vae(architecture, Gaussian(), None, shape, generator=stream(seed, "init"))


def z_path_fault(vae: VAE, x: Tensor, noise: Tensor) -> str | None:
    """Return what is wrong with the path from z to the reconstruction, None where nothing is."""
    leaf = noise.clone().requires_grad_()
    terms = vae.terms(x, leaf)
    (gradient,) = torch.autograd.grad(terms.reconstruction.sum(), leaf, allow_unused=True)
    if gradient is None or float(gradient.abs().max()) == 0:
        return "the noise does not reach the reconstruction"
    with torch.no_grad():
        mean, _ = vae.encode(x)
        z = mean + noise
        order = torch.arange(len(z)).roll(1)
        if float((vae.decode(z) - vae.decode(z[order])).abs().max()) == 0:
            return "permuting z over the batch does not change the reconstruction"
        other = torch.cat([z[:1] + 5, z[1:]])
        if not torch.allclose(vae.decode(z)[1:], vae.decode(other)[1:], atol=1e-5):
            return "a row's reconstruction depends on other rows"
    return None


@pytest.mark.parametrize(("architecture", "shape"), MODELS)
def test_z_reaches_the_reconstruction(architecture, shape, generator):
    x = torch.rand(5, *shape, generator=generator)
    noise = torch.randn(5, architecture.latent_dim, generator=generator)
    assert z_path_fault(model(architecture, shape), x, noise) is None


class _DecodesSomethingElse(nn.Sequential):
    """The published fault: z is computed, then a constant is decoded."""

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(torch.zeros_like(z))


class _MixesRows(nn.Sequential):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z - z.mean(0))


class _IgnoresNoise(VAE):
    def terms(self, x, noise):
        return super().terms(x, torch.zeros_like(noise))


def test_the_z_path_test_rejects_wrong_models(generator):
    x = torch.rand(5, *VECTOR, generator=generator)
    noise = torch.randn(5, 3, generator=generator)
    good = model(MLP(3, (16,)), VECTOR)
    constant = copy.deepcopy(good)
    constant.decoder = _DecodesSomethingElse(*good.decoder)
    assert z_path_fault(constant, x, noise) == "the noise does not reach the reconstruction"
    deaf = _IgnoresNoise(good.encoder, good.decoder, good.likelihood, good.prior, good.shape)
    assert z_path_fault(deaf, x, noise) == "the noise does not reach the reconstruction"
    mixing = copy.deepcopy(good)
    mixing.decoder = _MixesRows(*good.decoder)
    assert z_path_fault(mixing, x, noise) == "a row's reconstruction depends on other rows"
    constant.likelihood, constant.decoder = good.likelihood, nn.Sequential(*good.decoder)
    assert z_path_fault(constant, x, noise) is None


@pytest.mark.parametrize(("architecture", "shape"), MODELS)
def test_shapes_and_determinism(architecture, shape, generator):
    vae = model(architecture, shape)
    x = torch.rand(4, *shape, generator=generator)
    mean, log_var = vae.encode(x)
    assert mean.shape == log_var.shape == (4, architecture.latent_dim)
    assert vae.decode(mean).shape == x.shape
    assert torch.equal(vae.encode(x)[0], mean)
    assert torch.equal(vae.decode(mean), vae.decode(mean))
    terms = vae.terms(x, torch.zeros_like(mean))
    assert terms.reconstruction.shape == (4,) and terms.rate.shape == mean.shape


@pytest.mark.parametrize(("architecture", "shape"), MODELS)
def test_decoding_a_padded_batch_gives_the_same_rows(architecture, shape, generator):
    vae = model(architecture, shape).double()
    z = torch.randn(7, architecture.latent_dim, generator=generator, dtype=torch.float64)
    padded = torch.cat([z[4:], torch.zeros(1, z.shape[1], dtype=z.dtype)])
    with torch.no_grad():
        whole = vae.decode(z)
        assert torch.allclose(whole[:4], vae.decode(z[:4]), atol=1e-12)
        assert torch.allclose(whole[4:], vae.decode(padded)[:3], atol=1e-12)


@pytest.mark.parametrize(("architecture", "shape"), MODELS)
def test_weights_come_from_the_generator_alone(architecture, shape):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = model(architecture, shape)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = model(architecture, shape), model(architecture, shape, seed=1)
    state = first.state_dict()
    assert all(torch.equal(state[k], v) for k, v in same.state_dict().items())
    assert not all(torch.equal(state[k], v) for k, v in other.state_dict().items())


def test_no_other_model_normalises_over_batches():
    for parameter in MODELS:
        vae = model(*parameter.values)
        assert not any(isinstance(m, nn.modules.batchnorm._NormBase) for m in vae.modules())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(0), "latent_dim=0: expected an integer from 1 to 256"),
        (lambda: MLP(257), "latent_dim=257: expected an integer from 1 to 256"),
        (lambda: Linear(-1), "latent_dim=-1"),
        (lambda: Conv(True), "latent_dim=True"),
        (lambda: MLP(2, ()), "hidden="),
        (lambda: MLP(2, (8, 0)), "hidden="),
        (lambda: GatedMLP(2, ()), "hidden="),
        (lambda: GatedMLP(0), "latent_dim=0"),
        (lambda: Conv(2, (4, -4)), "channels="),
        (lambda: Conv(2, (4,), 0), "hidden="),
        (lambda: NormedConv(2, ()), "channels="),
        (lambda: NormedConv(2, (4,), (4, 0)), "up_channels="),
        (
            lambda: NormedConv(2, (4, 8), (4,)).build((1, 30, 28)),
            "30 x 28: expected sides that are multiples of 4",
        ),
        (lambda: NormedConv(2, (4,)).build((6,)), "expected images"),
        (lambda: Conv(2).build((1, 30, 28)), "30 x 28"),
        (lambda: Conv(2).build((1, 4, 4)), "4 x 4"),
        (lambda: Conv(2).build((1, 132, 132)), "132 x 132"),
        (lambda: Conv(2).build((6,)), "expected images"),
    ],
)
def test_bad_sizes_are_refused_in_one_line(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_prior_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match="latent_dim=3"):
        build_vae(MLP(3), Gaussian(), StandardNormal(2), VECTOR, generator=stream(0))


class _NoClosedForm(Prior):
    """N(0, I) that hides its closed-form KL."""

    def log_prob(self, z):
        return StandardNormal(self.dim).log_prob(z)

    def sample(self, n, *, generator):
        return torch.randn(n, self.dim, generator=generator)


def test_without_a_closed_form_the_rate_is_unbiased(generator):
    vae = build_vae(Linear(2), Gaussian(), _NoClosedForm(2), VECTOR, generator=stream(0))
    x = torch.randn(1, *VECTOR, generator=generator).expand(40_000, -1)
    with torch.no_grad():
        rate = vae.terms(x, torch.randn(40_000, 2, generator=generator)).rate
        exact = StandardNormal(2).kl(*vae.encode(x[:1])).sum()
    assert rate.shape == (40_000, 1)
    assert abs(float(rate.mean() - exact)) < 4 * float(rate.std()) / 200


def test_load_weights_names_what_does_not_fit():
    vae, other = model(MLP(3, (16,)), VECTOR), model(MLP(4, (16,)), VECTOR)
    load_weights(vae, model(MLP(3, (16,)), VECTOR, seed=5).state_dict())
    with pytest.raises(ValueError, match=r"m.ckpt: decoder.0.weight has shape \(16, 4\).*\(16, 3\)"):
        load_weights(vae, other.state_dict(), "m.ckpt")
    with pytest.raises(ValueError, match="unknown tensor extra"):
        load_weights(vae, {**vae.state_dict(), "extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"no tensor encoder.1.bias"):
        load_weights(vae, {k: v for k, v in vae.state_dict().items() if k != "encoder.1.bias"})


def test_objective_weighs_both_terms(generator):
    vae = build_vae(MLP(3, (16,)), Bernoulli(), None, IMAGE, generator=stream(0))
    x = torch.rand(5, *IMAGE, generator=generator)
    with torch.no_grad():
        terms = vae.terms(x, torch.randn(5, 3, generator=generator))
    loss = ElboLoss(alpha=3.0, beta=0.5)
    expected = sum(
        3.0 * float(terms.reconstruction[i]) + 0.5 * sum(float(r) for r in terms.rate[i]) for i in range(5)
    )
    assert float(objective(terms, loss.alpha, loss.beta)) == pytest.approx(expected / 5, rel=1e-5)

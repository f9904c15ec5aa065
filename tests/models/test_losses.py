"""What alpha and beta mean: units, conversions, and the decoder-variance reading."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from priorgap.core.random import stream
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.losses import ElboLoss, LossTerms, objective
from priorgap.models.networks import MLP
from priorgap.models.vae import build_vae


def gradients(vae, x, noise, loss: ElboLoss) -> list[torch.Tensor]:
    converted = loss.in_sum_units(vae.likelihood, math.prod(vae.shape))
    value = objective(vae.terms(x, noise), converted.alpha, converted.beta)
    return list(torch.autograd.grad(value, list(vae.parameters())))


@pytest.fixture
def batch(generator):
    vae = build_vae(MLP(3, (16,)), Gaussian(0.7), None, (1, 8, 8), generator=stream(0)).double()
    x = torch.rand(6, 1, 8, 8, generator=generator, dtype=torch.float64)
    return vae, x, torch.randn(6, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("alpha", "beta"), [(100.0, 1.0), (1.0, 4.0), (0.1, 0.5)])
def test_alpha_weighting_is_a_decoder_variance(batch, alpha, beta):
    """alpha * rec + beta * KL at sigma0 has beta times the gradient of the plain ELBO at sigma_x."""
    vae, x, noise = batch
    loss = ElboLoss(alpha, beta)
    sigma = loss.sigma_x(vae.likelihood, 64)
    assert sigma == pytest.approx(0.7 * math.sqrt(beta / alpha))
    reread = copy.deepcopy(vae)
    reread.likelihood = Gaussian(sigma, squash=True)
    weighted, plain = gradients(vae, x, noise, loss), gradients(reread, x, noise, ElboLoss())
    for a, b in zip(weighted, plain, strict=True):
        assert torch.allclose(a, beta * b, rtol=1e-9, atol=1e-12)
    wrong = copy.deepcopy(vae)
    wrong.likelihood = Gaussian(0.7 * beta / alpha, squash=True)
    pairs = zip(weighted, gradients(wrong, x, noise, ElboLoss()), strict=True)
    assert not all(torch.allclose(a, beta * b, rtol=1e-6) for a, b in pairs)


def test_only_the_ratio_matters(batch):
    vae, x, noise = batch
    for a, b in zip(
        gradients(vae, x, noise, ElboLoss(10, 2)), gradients(vae, x, noise, ElboLoss(5, 1)), strict=True
    ):
        assert torch.allclose(a, 2 * b, rtol=1e-9, atol=1e-12)


def test_mean_reduction_weighs_the_mean_squared_error(batch):
    vae, x, noise = batch
    terms = vae.terms(x, noise)
    loss = ElboLoss(300, 2, "mean")
    converted = loss.in_sum_units(vae.likelihood, 64)
    mean, log_var = vae.encode(x)
    decoded = vae.decode(mean + (0.5 * log_var).exp() * noise)
    expected = 300 * functional.mse_loss(decoded, x) + 2 * terms.rate.sum(1).mean()
    difference = objective(terms, converted.alpha, converted.beta) - expected
    assert abs(difference.item()) < 1e-10
    assert converted.alpha == pytest.approx(2 * 300 * 0.7**2 / 64)
    assert loss.sigma_x(vae.likelihood, 64) == pytest.approx(math.sqrt(64 * 2 / (2 * 300)))


def test_mean_reduction_weighs_the_mean_cross_entropy(batch, generator):
    _, x, _ = batch
    raw = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    terms = LossTerms(Bernoulli().reconstruction_loss(raw, x), torch.zeros(6, 3, dtype=torch.float64))
    converted = ElboLoss(50, 1, "mean").in_sum_units(Bernoulli(), 64)
    expected = 50 * functional.binary_cross_entropy_with_logits(raw, x)
    assert float(objective(terms, converted.alpha, 1.0)) == pytest.approx(float(expected), rel=1e-12)


def test_the_forums_alpha_on_the_full_squared_error(batch):
    """alpha = 300 on the full SSE is 600 here at sigma0 = 1."""
    vae, x, noise = batch
    unit = copy.deepcopy(vae)
    unit.likelihood = Gaussian(1.0, squash=True)
    reconstruction = unit.terms(x, noise).reconstruction
    mean, log_var = unit.encode(x)
    sse = (unit.decode(mean + (0.5 * log_var).exp() * noise) - x).square().flatten(1).sum(1)
    assert torch.allclose(600 * reconstruction, 300 * sse)


def test_no_sigma_where_there_is_no_such_reading():
    assert ElboLoss(10).sigma_x(Bernoulli(), 64) is None
    assert ElboLoss(10, 0.0).sigma_x(Gaussian(), 64) is None


def test_the_line_that_is_printed():
    assert ElboLoss(100, 1).describe(Gaussian(), 784).endswith("Gaussian likelihood: sigma_x = 0.1")
    line = ElboLoss(392, 1, "mean").describe(Gaussian(), 784)
    assert "(alpha=1 on the sum over 784 dimensions)" in line and "sigma_x = 1" in line
    assert "bernoulli likelihood: the weights imply no sigma_x" in ElboLoss().describe(Bernoulli(), 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "loss.alpha=0.0: expected a number above 0"),
        ((-1.0, 1.0), "loss.alpha=-1.0"),
        ((float("nan"), 1.0), "loss.alpha=nan"),
        ((float("inf"), 1.0), "loss.alpha=inf"),
        ((1.0, -1.0), "loss.beta=-1.0: expected a number of at least 0"),
        ((1.0, float("nan")), "loss.beta=nan"),
        ((1.0, 1.0, "max"), "loss.reduction=max: expected sum or mean"),
        ((1.0, 1.0, "sum", 0), "loss.beta_warmup_epochs=0: expected an integer of at least 1, or null"),
        ((1.0, 1.0, "sum", 2.5), "loss.beta_warmup_epochs=2.5"),
        ((1.0, 1.0, "sum", None, 0.0), "loss.free_bits=0.0: expected a number above 0, or null"),
        ((1.0, 1.0, "sum", None, float("inf")), "loss.free_bits=inf"),
    ],
)
def test_bad_weights_are_refused(arguments, message):
    with pytest.raises(ValueError) as caught:
        ElboLoss(*arguments)
    assert message in str(caught.value)


def test_free_bits_clamp_each_units_batch_mean():
    rate = torch.tensor([[0.0, 2.0, 0.3], [0.1, 1.0, 0.5]], requires_grad=True)
    terms = LossTerms(torch.zeros(2), rate)
    value = objective(terms, 1.0, 2.0, free_bits=0.4)
    # means 0.05, 1.5, 0.4: the first counts as 0.4
    assert float(value.detach()) == pytest.approx(2 * (0.4 + 1.5 + 0.4))
    (gradient,) = torch.autograd.grad(value, rate)
    assert gradient[:, 0].tolist() == [0, 0] and gradient[:, 1].tolist() == [1, 1]
    # not row by row (negative control): a row below f in a unit whose mean is above pays
    assert float(value.detach()) != pytest.approx(2 * float(rate.detach().clamp(min=0.4).mean(0).sum()))
    plain = objective(terms, 1.0, 2.0)
    assert torch.equal(plain, objective(terms, 1.0, 2.0, free_bits=None))


def test_beta_rises_to_its_weight():
    loss = ElboLoss(beta=2.0, beta_warmup_epochs=3)
    assert [loss.beta_at(e) for e in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert ElboLoss(beta=2.0).beta_at(0) == 2.0


def test_free_bits_need_a_rate_per_unit():
    from priorgap.priors.mixture import Mixture

    vae = build_vae(MLP(3, (16,)), Gaussian(), Mixture(3, 2, "diag"), (1, 8, 8), generator=stream(0))
    ElboLoss().check_prior(vae.prior)
    ElboLoss(free_bits=0.1).check_prior(
        build_vae(MLP(3, (16,)), Gaussian(), None, (6,), generator=stream(0)).prior
    )
    with pytest.raises(ValueError, match=r"loss.free_bits=0.1: MixturePrior has no KL per unit"):
        ElboLoss(free_bits=0.1).check_prior(vae.prior)

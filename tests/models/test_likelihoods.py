"""Likelihoods against torch.distributions, and the linear VAE against its closed form."""

import math

import pytest
import torch
from torch import nn

from priorgap.core.random import stream
from priorgap.data.synthetic import LinearGaussian, LinearOptimum
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import Linear
from priorgap.models.vae import VAE, build_vae
from priorgap.training.fit import TrainerConfig, train_vae


@pytest.fixture
def raw(generator):
    return torch.randn(5, 1, 4, 4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("sigma", [None, 0.1, 2.0])
@pytest.mark.parametrize("squash", [True, False])
def test_gaussian_equals_torch_distributions(raw, generator, squash, sigma):
    x = torch.rand(raw.shape, generator=generator, dtype=torch.float64)
    likelihood = Gaussian(0.5, squash)
    law = torch.distributions.Normal(raw.sigmoid() if squash else raw, sigma or 0.5)
    expected = -law.log_prob(x).flatten(1).sum(1)
    assert torch.allclose(likelihood.negative_log_likelihood(raw, x, sigma=sigma), expected)
    constant = 16 * (0.5 * math.log(2 * math.pi) + math.log(0.5))
    own = likelihood.negative_log_likelihood(raw, x)
    assert torch.allclose(likelihood.reconstruction_loss(raw, x) + constant, own)
    assert torch.allclose(likelihood.squared_error(raw, x), (law.mean - x).square().flatten(1).sum(1))


def test_bernoulli_equals_torch_distributions(raw, generator):
    x = torch.rand(raw.shape, generator=generator, dtype=torch.float64).round()
    law = torch.distributions.Bernoulli(logits=raw)
    expected = -law.log_prob(x).flatten(1).sum(1)
    for sigma in (None, 0.3):
        assert torch.allclose(Bernoulli().negative_log_likelihood(raw, x, sigma=sigma), expected)
    assert torch.allclose(Bernoulli().reconstruction_loss(raw, x), expected)
    assert torch.allclose(Bernoulli().mean(raw), law.mean)


def test_the_negative_control_a_likelihood_without_its_normaliser(raw, generator):
    x = torch.rand(raw.shape, generator=generator, dtype=torch.float64)
    law = torch.distributions.Normal(raw, 0.5)
    wrong = Gaussian(0.5, squash=False).reconstruction_loss(raw, x)
    assert not torch.allclose(wrong, -law.log_prob(x).flatten(1).sum(1))


def test_squash_is_settled_by_the_shape():
    assert Gaussian().for_shape((1, 8, 8)).squash is True
    assert Gaussian().for_shape((6,)).squash is False
    assert Gaussian(squash=False).for_shape((1, 8, 8)).squash is False
    assert Gaussian(0.3).for_shape((6,)).sigma == 0.3
    with pytest.raises(RuntimeError, match="for_shape"):
        Gaussian().mean(torch.zeros(1))
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="sigma="):
            Gaussian(bad)


def test_draws_have_the_right_moments():
    raw = torch.tensor([[-1.0, 0.0, 2.0]], dtype=torch.float64).expand(100_000, 3)
    grey = Gaussian(0.5, squash=True).draw(raw, generator=stream(0), sigma=0.2)
    assert torch.allclose(grey.mean(0), raw[0].sigmoid(), atol=0.003)
    assert torch.allclose(grey.std(0), torch.full((3,), 0.2, dtype=torch.float64), atol=0.003)
    bits = Bernoulli().draw(raw, generator=stream(0))
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(bits.mean(0), raw[0].sigmoid(), atol=0.01)


WORLD = LinearGaussian(n_features=6, latent_dim=2, noise=0.5)


def linear_vae(best: LinearOptimum, sigma: float) -> VAE:
    """The linear VAE with the analytic weights, in float64."""
    d = len(best.log_var)
    vae = build_vae(Linear(d), Gaussian(sigma), None, (6,), generator=stream(0)).double()
    head, first = vae.encoder[-1], vae.decoder[0]
    assert isinstance(head, nn.Linear)
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        head.weight.copy_(torch.cat([best.encoder_weight, torch.zeros_like(best.encoder_weight)]))
        head.bias.copy_(torch.cat([best.encoder_bias, best.log_var]))
        first.weight.copy_(best.decoder_weight)
        first.bias.copy_(best.decoder_bias)
    return vae


def elbo_per_row(vae: VAE, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    mean, log_var = vae.encode(x)
    raw = vae.decode_raw(mean + (0.5 * log_var).exp() * noise)
    return -vae.likelihood.negative_log_likelihood(raw, x) - vae.prior.kl(mean, log_var).sum(1)


@pytest.mark.parametrize("sigma", [0.5, 0.8])
def test_at_the_analytic_optimum_rate_and_elbo_are_known(generator, sigma):
    """At the optimum q(z|x) is the exact posterior: the ELBO is the log-likelihood of every single x."""
    best = WORLD.optimum(2, sigma)
    vae = linear_vae(best, sigma)
    x = WORLD.draw(100_000, generator=generator)
    with torch.no_grad():
        rate = vae.terms(x, torch.zeros(len(x), 2, dtype=torch.float64)).rate
        assert torch.allclose(rate.mean(0), best.rate, atol=0.02)
        row = x[:1].expand(100_000, -1)
        noise = torch.randn(len(row), 2, generator=generator, dtype=torch.float64)
        values = elbo_per_row(vae, row, noise)
    cov = best.decoder_weight @ best.decoder_weight.T + sigma**2 * torch.eye(6, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(WORLD.mean(), cov).log_prob(x[0])
    assert abs(float(values.mean() - exact)) < 4 * float(values.std()) / math.sqrt(len(row))


def test_the_analytic_optimum_is_stationary(generator):
    """The population gradient vanishes there, and does not at a decoder that is 5 % too long."""
    best = WORLD.optimum(2, 0.5)
    x = WORLD.draw(400_000, generator=generator)
    noise = torch.randn(len(x), 2, generator=generator, dtype=torch.float64)

    def largest_gradient(vae: VAE) -> float:
        loss = -elbo_per_row(vae, x, noise).mean()
        return max(float(g.abs().max()) for g in torch.autograd.grad(loss, list(vae.parameters())))

    vae = linear_vae(best, 0.5)
    assert largest_gradient(vae) < 0.03
    with torch.no_grad():
        vae.decoder[0].weight.mul_(1.05)
    assert largest_gradient(vae) > 0.15


@pytest.mark.parametrize(("alpha", "sigma"), [(4.0, 0.5), (1.0, 1.0)])
def test_training_reaches_the_closed_form(tmp_path, alpha, sigma):
    """Trained from random weights: validation ELBO and rates of the optimum at sigma_x = alpha^-1/2."""
    world = LinearGaussian(
        n_features=6, latent_dim=2, noise=0.5, n_train=3000, n_validation=2000, n_test=4000
    )
    data = world.load(root=tmp_path, download=False)
    vae = build_vae(Linear(2), Gaussian(), None, (6,), generator=stream(0, "init"))
    loss = ElboLoss(alpha=alpha)
    assert loss.sigma_x(vae.likelihood, 6) == pytest.approx(sigma)
    for phase, (epochs, rate) in enumerate([(40, 5e-2), (8, 2e-3)]):
        config = TrainerConfig(max_epochs=epochs, batch_size=150, learning_rate=rate, accelerator="cpu")
        place = tmp_path / str(phase)
        vae = train_vae(vae, data, loss, config, seed=phase, directory=place, progress=False).vae
    vae = vae.double()
    x, best = data.test.x.double(), world.optimum(2, sigma)
    with torch.no_grad():
        mean, log_var = vae.encode(x)
        rate = vae.prior.kl(mean, log_var).mean(0)
        noise = torch.randn(mean.shape, generator=stream(1), dtype=torch.float64)
        raw = vae.decode_raw(mean + (0.5 * log_var).exp() * noise)
        distortion = vae.likelihood.negative_log_likelihood(raw, x, sigma=sigma)
        elbo = -distortion.mean() - rate.sum()
    assert float(rate.sum()) == pytest.approx(float(best.rate.sum()), abs=0.06)
    assert float(elbo) == pytest.approx(best.elbo, abs=0.12)
    # the aggregate posterior is the prior although the rate is not 0
    with torch.no_grad():
        mean, log_var = vae.encode(data.train.x.double())
    spread = mean.var(0) + log_var.exp().mean(0)
    mismatch = 0.5 * (mean.mean(0).square() + spread - 1 - spread.log()).sum()
    assert float(rate.sum()) > 0.5
    assert float(mismatch) < 0.01

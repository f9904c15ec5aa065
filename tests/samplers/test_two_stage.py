"""The two-stage sampler: a second VAE whose decoder variance is learned, and used."""

import math

import pytest
import torch

from priorgap.core.latents import Latents, Moments
from priorgap.core.random import isolated, stream
from priorgap.densities import FittedGaussian
from priorgap.samplers import FitInputs, TwoStage
from priorgap.samplers.two_stage import SecondStage

TRUTH = FittedGaussian.from_moments(
    Moments(torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
)
SAMPLER = TwoStage(width=32, n_blocks=1, steps=600, batch_size=200, learning_rate=5e-3)


def inputs(n: int = 4_000) -> FitInputs:
    z = TRUTH.draw(n, generator=stream(1))
    latents = Latents(z, torch.full_like(z, -8.0))
    return FitInputs(latents, latents)


def test_finds_a_correlated_gaussian() -> None:
    z = SAMPLER.fit(inputs(), generator=stream(2)).sample(8_000, generator=stream(3)).z.double()
    assert torch.allclose(z.mean(0), TRUTH.mean, atol=0.1)
    assert torch.allclose(z.T.cov(), TRUTH.cov, atol=0.1)


def test_draws_without_the_decoders_noise_are_too_narrow() -> None:
    fitted = SAMPLER.fit(inputs(), generator=stream(2))
    u = torch.randn(8_000, 2, generator=stream(3))
    with torch.no_grad():
        bare = fitted.network.generate(u, torch.zeros_like(u)).double()
        full = fitted.network.generate(u, torch.randn(8_000, 2, generator=stream(4))).double()
    truth = torch.linalg.det(TRUTH.cov)
    assert abs(float(torch.linalg.det(full.T.cov()) / truth) - 1) < 0.3
    assert float(torch.linalg.det(bare.T.cov()) / truth) < 0.9


def test_likelihood_has_gamma_in_it() -> None:
    with isolated(stream(5)):
        network = SecondStage(2, 8, 1)
    z, noise = torch.randn(50, 2, generator=stream(6)), torch.randn(50, 2, generator=stream(7))
    with torch.no_grad():
        network.log_gamma.fill_(math.log(0.5))
        mean, log_var = network.encoder(z).chunk(2, 1)
        law = torch.distributions.Normal(network.decoder(mean + (0.5 * log_var).exp() * noise), 0.5)
        posterior = torch.distributions.Normal(mean, (0.5 * log_var).exp())
        rate = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
        expected = rate - law.log_prob(z).sum(1)
        assert torch.allclose(network.negative_elbo(z, noise), expected, atol=1e-5)


def test_a_wild_step_does_not_end_the_fit() -> None:
    with isolated(stream(5)):
        network = SecondStage(2, 8, 1)
    with torch.no_grad():
        network.encoder.skip.weight[2:].fill_(200.0)
        assert bool(torch.isfinite(network.negative_elbo(torch.ones(5, 2), torch.ones(5, 2))).all())


def test_state_is_read_without_the_global_generator() -> None:
    sampler = TwoStage(8, 1, 5, 50, 1e-2)
    fitted = sampler.fit(inputs(100), generator=stream(2))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    sampler.restore(fitted.state())
    assert torch.equal(before, torch.get_rng_state())


def test_bad_values_are_refused() -> None:
    for bad in ({"width": 0}, {"n_blocks": 0}, {"steps": 0}, {"batch_size": 0}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))}="):
            TwoStage(**{"width": 8, "n_blocks": 1, "steps": 5, "batch_size": 5, "learning_rate": 1e-3} | bad)

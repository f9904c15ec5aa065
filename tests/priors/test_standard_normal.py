"""The standard normal prior against torch.distributions."""

import pytest
import torch

from priorgap.core.random import stream
from priorgap.priors.standard_normal import StandardNormal


def test_log_prob_and_kl_equal_torch_distributions(generator):
    mean, log_var = torch.randn(2, 50, 4, generator=generator, dtype=torch.float64)
    prior = StandardNormal(4)
    law = torch.distributions.Normal(torch.zeros(4, dtype=torch.float64), 1.0)
    assert torch.allclose(prior.log_prob(mean), law.log_prob(mean).sum(1))
    posterior = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    assert torch.allclose(prior.kl(mean, log_var), torch.distributions.kl_divergence(posterior, law))


def test_kl_is_zero_at_the_prior_and_exact_beside_it():
    prior = StandardNormal(1)
    zero = torch.zeros(1, 1)
    assert float(prior.kl(zero, zero)) == 0
    small = torch.full((1, 1), 1e-3)
    # v^2 / 4 + v^3 / 12; in float32 e^v - 1 - v has lost it
    assert float(prior.kl(zero, small)) == pytest.approx(1e-6 / 4 + 1e-9 / 12, rel=0.2)
    assert float(prior.kl(zero.double(), small.double())) == pytest.approx(1e-6 / 4 + 1e-9 / 12, rel=1e-6)


def test_samples_are_standard_and_come_from_the_generator():
    prior = StandardNormal(3)
    z = prior.sample(100_000, generator=stream(0))
    assert torch.equal(z, prior.sample(100_000, generator=stream(0)))
    assert float(z.mean(0).abs().max()) < 0.015
    assert torch.allclose(z.T.cov(), torch.eye(3), atol=0.02)


def test_bad_values_are_refused():
    for dim in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="dim="):
            StandardNormal(dim)
    with pytest.raises(ValueError, match="n=0"):
        StandardNormal(2).sample(0, generator=stream(0))

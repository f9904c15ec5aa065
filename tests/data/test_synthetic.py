"""The closed-form world: its moments, and the optimal linear VAE's own identities."""

import math

import pytest
import torch

from priorgap.core.random import stream
from priorgap.data.synthetic import LinearGaussian

WORLD = LinearGaussian(n_features=7, latent_dim=3, noise=0.4)


def test_draws_have_the_stated_moments(generator):
    x = WORLD.draw(200_000, generator=generator)
    assert torch.allclose(x.mean(0), WORLD.mean(), atol=0.03)
    assert torch.allclose(x.T.cov(), WORLD.covariance(), atol=0.06)


def test_eigenvalues_are_known():
    values = torch.linalg.eigvalsh(WORLD.covariance()).flip(0)
    expected = torch.tensor([4, 2.25, 1, 0, 0, 0, 0], dtype=torch.float64) + 0.16
    assert torch.allclose(values, expected)


def test_splits_differ_and_repeat(tmp_path):
    data = LinearGaussian(n_train=50, n_validation=20, n_test=30).load(root=tmp_path, download=False)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [50, 20, 30]
    assert data.kind == "float_vector" and data.n_classes is None
    rows = torch.cat([data.train.x, data.validation.x, data.test.x])
    assert len(rows.unique(dim=0)) == 100
    again = LinearGaussian(n_train=50, n_validation=20, n_test=30).load(root=tmp_path, download=False)
    assert torch.equal(again.train.x, data.train.x)
    other = LinearGaussian(n_train=50, data_seed=1).load(root=tmp_path, download=False)
    assert not torch.equal(other.train.x, data.train.x)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.0, 1.3])
@pytest.mark.parametrize("latent_dim", [1, 3, 5])
def test_the_optimums_aggregate_posterior_is_standard_normal(latent_dim, sigma):
    """q(z) has mean 0 and covariance I on the active units, the prior itself on the others."""
    best = WORLD.optimum(latent_dim, sigma)
    mean = best.encoder_weight @ WORLD.mean() + best.encoder_bias
    cov = best.encoder_weight @ WORLD.covariance() @ best.encoder_weight.T + torch.diag(best.log_var.exp())
    assert torch.allclose(mean, torch.zeros_like(mean), atol=1e-10)
    assert torch.allclose(cov, torch.eye(latent_dim, dtype=torch.float64), atol=1e-10)
    n_active = int((best.rate > 1e-9).sum())
    assert n_active == min(latent_dim, sum(v + 0.16 > sigma**2 + 1e-9 for v in (4, 2.25, 1, 0, 0, 0, 0)))


def test_the_rate_is_the_mean_kl_and_grows_without_bound(generator):
    x = WORLD.draw(400_000, generator=generator)
    for sigma in (0.4, 0.1):
        best = WORLD.optimum(3, sigma)
        mean = x @ best.encoder_weight.T + best.encoder_bias
        kl = 0.5 * (mean.square() + best.log_var.exp() - 1 - best.log_var)
        assert torch.allclose(kl.mean(0), best.rate, atol=0.01)
    assert float(WORLD.optimum(3, 1e-6).rate.sum()) > 30


def test_the_elbo_is_the_log_likelihood(generator):
    """By sampling: E log N(x; mean, W W' + sigma^2 I)."""
    best = WORLD.optimum(2, 0.6)
    cov = best.decoder_weight @ best.decoder_weight.T + 0.36 * torch.eye(7, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(WORLD.mean(), cov)
    log_prob = law.log_prob(WORLD.draw(200_000, generator=generator))
    assert float(log_prob.mean()) == pytest.approx(
        best.elbo, abs=4 * float(log_prob.std()) / math.sqrt(200_000)
    )


def test_the_truth_has_the_highest_elbo():
    at_truth = WORLD.optimum(3, 0.4).elbo
    entropy = 0.5 * (7 * math.log(2 * math.pi * math.e) + float(torch.logdet(WORLD.covariance())))
    assert at_truth == pytest.approx(-entropy, abs=1e-10)
    assert all(WORLD.optimum(d, s).elbo < at_truth for d, s in ((3, 0.3), (3, 0.5), (2, 0.4), (1, 0.4)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearGaussian(latent_dim=0), "latent_dim=0"),
        (lambda: LinearGaussian(n_features=3, latent_dim=4), "latent_dim=4"),
        (lambda: LinearGaussian(noise=0.0), "noise=0.0"),
        (lambda: LinearGaussian(n_test=0), "n_test=0"),
        (lambda: WORLD.optimum(8, 1.0), "latent_dim=8"),
        (lambda: WORLD.optimum(2, 0.0), "sigma=0.0"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_draws_need_nothing_but_their_generator():
    assert torch.equal(WORLD.draw(3, generator=stream(1)), WORLD.draw(3, generator=stream(1)))

"""The low-rank Gaussian: a planted rank is found, the density is the matrix's, variances are exact at any size."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from priorgap.core.latents import Latents
from priorgap.densities.low_rank import low_rank
from priorgap.samplers import ExPostGaussian, ExPostLowRank, FitInputs

RANKS = (0, 1, 2, 4, 8, 16)


def planted(n: int, d: int, rank: int, seed: int) -> Latents:
    """Means with a few common directions, posteriors of a known width."""
    g = torch.Generator().manual_seed(seed)
    basis = torch.randn(d, rank, generator=torch.Generator().manual_seed(7))
    scale = torch.linspace(0.3, 2, d)
    mean = (torch.randn(n, rank, generator=g) @ basis.T + torch.randn(n, d, generator=g)) * scale + 1
    return Latents(mean, torch.full((n, d), -1.0))


def fitted(d: int, rank: int, n: int = 2000, **changes):
    inputs = FitInputs(planted(n, d, rank, 1), planted(n // 4, d, rank, 2))
    sampler = ExPostLowRank(**{"ranks": RANKS, "n_fit": 4000, "draws_per_image": 2, **changes})
    return sampler.fit(inputs, generator=torch.Generator().manual_seed(0)), inputs


@pytest.mark.parametrize(("rank", "found"), [(0, {0}), (2, {2}), (8, {8})])
def test_the_planted_rank_is_chosen(rank, found):
    assert fitted(60, rank)[0].density.rank in found


def test_means_and_variances_are_those_of_the_posteriors():
    """By total variance, in closed form: at every rank, as `gaussian_full` has them."""
    own, inputs = fitted(60, 4)
    moments, truth = own.density.moments(), ExPostGaussian("full").expected_moments(inputs)
    assert torch.allclose(moments.mean, truth.mean)
    assert torch.allclose(moments.cov.diagonal(), truth.cov.diagonal(), rtol=1e-6)
    # and the covariances between units, which the diagonal Gaussian lacks
    scale = truth.cov.diagonal().sqrt()
    error = [
        ((cov - truth.cov) / scale[:, None] / scale).square().sum()
        for cov in (moments.cov, scale.diag() ** 2)
    ]
    assert error[0] < 0.02 * error[1]


def test_the_density_is_the_matrix_and_the_draws_are_its():
    density = fitted(30, 4)[0].density
    moments = density.moments()
    z = density.draw(40_000, generator=torch.Generator().manual_seed(3))
    exact = MultivariateNormal(moments.mean, moments.cov).log_prob(z[:50].double())
    assert torch.allclose(density.log_prob(z[:50]), exact, rtol=1e-9)
    error = (torch.cov(z.double().T) - moments.cov).abs().max() / moments.cov.diagonal().max()
    assert error < 0.03
    # the negative control: without its directions the same points are less likely
    bare = low_rank(density.mean, density.scale, torch.zeros(0).double(), torch.zeros(30, 0).double())
    assert float(bare.log_prob(z).mean()) < float(density.log_prob(z).mean()) - 1


def test_without_directions_it_is_the_diagonal_gaussian():
    own, inputs = fitted(700, 3, n=400, ranks=(0,))
    other = ExPostGaussian("diag").fit(inputs, generator=torch.Generator())
    z = own.sample(50, generator=torch.Generator().manual_seed(1)).z
    assert torch.allclose(own.log_prob(z), other.log_prob(z), rtol=1e-9)
    assert torch.allclose(z, other.sample(50, generator=torch.Generator().manual_seed(1)).z, atol=1e-5)


def test_in_many_dimensions_no_matrix_is_made_and_directions_pay():
    """4,000 units of three common directions (128 MB a matrix): validation draws are hundreds of nats more likely."""
    own, inputs = fitted(4000, 3, n=500, n_fit=1000)
    # three is no candidate
    assert own.density.rank in (2, 4)
    diagonal = ExPostGaussian("diag").fit(inputs, generator=torch.Generator())
    z = inputs.validation.draw(generator=torch.Generator().manual_seed(5))
    assert float((own.log_prob(z) - diagonal.log_prob(z)).mean()) > 500
    again = ExPostLowRank(RANKS, 1000, 2).restore(own.state())
    same = (one.sample(5, generator=torch.Generator().manual_seed(2)).z for one in (own, again))
    assert torch.equal(*same)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ranks": ()}, r"ranks=\[\]: expected integers"),
        ({"ranks": (-1,)}, r"ranks=\[-1\]"),
        ({"ranks": (1.5,)}, r"ranks=\[1.5\]"),
        ({"n_fit": 1}, "n_fit=1"),
        ({"draws_per_image": 0}, "draws_per_image=0"),
    ],
)
def test_bad_settings_are_one_line(changes, words):
    with pytest.raises(ValueError, match=words):
        ExPostLowRank(**{"ranks": (1,), "n_fit": 100, "draws_per_image": 1, **changes})

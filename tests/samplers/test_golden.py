"""A known law of z: what fits it passes a density and a two-sample test, and what only looks like it fails."""

import pytest
import torch
from torch import Tensor, nn

from priorgap.densities import FittedMixture
from priorgap.fitting import fit_network
from priorgap.latents import Latents
from priorgap.samplers import ExPostGaussian, ExPostMixture, FitInputs, LatentDensity, Posterior, Sampler
from priorgap.streams import isolated, stream

DIM, K, N = 8, 6, 20_000
STD = 0.2
N_TRAIN, N_TEST = 6_000, 4_000
GMM = ExPostMixture(n_components=6, n_fit=N, draws_per_image=1, max_iter=100, reg_covar=1e-6)


def truth() -> FittedMixture:
    """Six well separated components of unequal weight, orientation and width in 8 dimensions."""
    g = stream(1, "truth")
    mean = 3.0 * torch.randn(K, DIM, generator=g, dtype=torch.float64)
    factor = 0.4 * torch.randn(K, DIM, DIM, generator=g, dtype=torch.float64)
    weight = torch.arange(K, dtype=torch.float64) + 3
    cov = factor @ factor.transpose(1, 2) + 0.1 * torch.eye(DIM, dtype=torch.float64)
    return FittedMixture(weight / weight.sum(), mean, cov)


TRUTH = truth()


def posteriors(n: int, name: str) -> Latents:
    """Posteriors of one s, whose aggregate over the population is the truth: means follow it less s² I."""
    narrow = FittedMixture(TRUTH.weight, TRUTH.mean, TRUTH.cov - STD**2 * torch.eye(DIM, dtype=torch.float64))
    mean = narrow.draw(n, generator=stream(2, name))
    return Latents(mean, torch.full_like(mean, STD).log() * 2)


@pytest.fixture(scope="module")
def given() -> FitInputs:
    return FitInputs(posteriors(N, "train"), posteriors(4_000, "validation"))


def draws(sampler: Sampler, given: FitInputs) -> Tensor:
    law = sampler.fit(given, generator=stream(3, "fit"))
    return law.sample(N_TRAIN + N_TEST, generator=stream(3, "sample")).z


def two_sample_accuracy(z: Tensor) -> float:
    """Held-out accuracy of a network that tells draws from fresh draws of the truth; 0.5 cannot tell."""
    fresh = TRUTH.draw(len(z), generator=stream(4, "fresh"))
    scale = fresh.std(0)
    x = torch.cat([z[:N_TRAIN], fresh[:N_TRAIN]]) / scale
    y = torch.cat([torch.ones(N_TRAIN), torch.zeros(N_TRAIN)])
    with isolated(stream(4, "network")):
        network = nn.Sequential(nn.Linear(DIM, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def loss(module: nn.Module, rows: Tensor, of_z: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(module(rows)[:, 0], of_z)

    fit_network(network, loss, (x, y), epochs=8, batch_size=200, learning_rate=3e-3, schedule="cosine",
                weight_decay=1e-2, generator=stream(4, "order"))  # fmt: skip
    with torch.no_grad():
        hits = network(z[N_TRAIN:] / scale) > 0, network(fresh[N_TRAIN:] / scale) <= 0
    return float(torch.cat(hits).double().mean())


def gap(law: LatentDensity) -> float:
    """E_q[log q - log f], nats: 0 is perfect."""
    z = TRUTH.draw(20_000, generator=stream(5, "gap"))
    return float((TRUTH.log_prob(z) - law.log_prob(z)).mean())


@pytest.mark.slow
def test_gmm_finds_the_law(given: FitInputs) -> None:
    law = GMM.fit(given, generator=stream(3, "fit"))
    assert -0.01 < gap(law) <= 0.05
    assert two_sample_accuracy(draws(GMM, given)) <= 0.52


@pytest.mark.slow
def test_posterior_with_one_draw_a_source_is_the_law(given: FitInputs) -> None:
    assert two_sample_accuracy(draws(Posterior(), given)) <= 0.52


@pytest.mark.slow
def test_gaussian_full_has_two_moments_right_and_is_rejected(given: FitInputs) -> None:
    law = ExPostGaussian("full").fit(given, generator=stream(3, "fit"))
    assert gap(law) > 4
    assert two_sample_accuracy(draws(ExPostGaussian("full"), given)) > 0.56


@pytest.mark.slow
def test_half_the_modes_are_rejected() -> None:
    half = FittedMixture(TRUTH.weight[:3] / TRUTH.weight[:3].sum(), TRUTH.mean[:3], TRUTH.cov[:3])
    z = half.draw(N_TRAIN + N_TEST, generator=stream(3, "half"))
    assert gap(half) > 0.5
    assert two_sample_accuracy(z) > 0.56

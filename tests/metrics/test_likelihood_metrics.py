"""Likelihood measures of a linear VAE whose optimum is known, through the model's own likelihood."""

import math

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.data.synthetic import LinearGaussian
from priorgap.estimators.gaussian import gaussian_log_prob
from priorgap.metrics import (
    AmortisationGap,
    Elbo,
    ImportanceWeightedBound,
    ModelEvidence,
    split_log_likelihood,
)
from priorgap.metrics.measuring import image_distortions
from priorgap.models.likelihoods import Gaussian
from priorgap.models.networks import Linear
from priorgap.models.vae import VAE, build_vae
from priorgap.priors.standard_normal import StandardNormal

SIGMA, N = 0.6, 300
WORLD = LinearGaussian(n_features=8, latent_dim=3)
BEST = WORLD.optimum(3, SIGMA)
BOUND = ImportanceWeightedBound(n_images=N, n_draws=[1, 10, 200])
GAP = AmortisationGap(n_images=100, n_steps=150, n_draws=2, learning_rate=0.05, n_final=16)


def linear_vae(stretch: float = 0.0) -> VAE:
    """The optimal linear VAE; `stretch` is added to the encoder's log-variances."""
    vae = build_vae(Linear(3), Gaussian(SIGMA), StandardNormal(3), (8,), generator=stream(0))
    (head,), (first,) = (
        [m for m in part.modules() if isinstance(m, torch.nn.Linear)] for part in (vae.encoder, vae.decoder)
    )
    with torch.no_grad():
        head.weight.zero_()
        head.weight[:3] = BEST.encoder_weight.float()
        head.bias[:3] = BEST.encoder_bias.float()
        head.bias[3:] = BEST.log_var.float() + stretch
        first.weight.copy_(BEST.decoder_weight.float())
        first.bias.copy_(BEST.decoder_bias.float())
    for parameter in vae.parameters():
        parameter.requires_grad_(False)
    return vae


def evidence(stretch: float = 0.0) -> tuple[ModelEvidence, float]:
    """A model's evidence, and the mean exact log p(x) of its test images."""
    vae, split = linear_vae(stretch), Split(WORLD.draw(N, generator=stream(1)).float(), None, "float_vector")
    test = Latents(*vae.encode(split.x))
    likelihood = split_log_likelihood(vae, split, sigma=None, batch=64)
    distortion, sse = image_distortions(vae, test, split, sigma=None, batch=64, seed=0)
    cov = BEST.decoder_weight @ BEST.decoder_weight.T + SIGMA**2 * torch.eye(8, dtype=torch.float64)
    exact = float(gaussian_log_prob(split.x, BEST.decoder_bias, cov).mean())
    model = ModelEvidence(test=test, distortion=distortion, distortion_sse=sse, log_likelihood=likelihood)
    return model, exact


def measure(metric: object, given: ModelEvidence) -> dict[tuple[str, str], Measurement]:
    return {(r.measure, r.unit): r for r in metric.measure(given.alone(), generator=stream(0))}


def test_the_likelihood_is_that_of_the_distortion() -> None:
    """Minus the distortion, at the very draw that the distortion was taken at."""
    given, _ = evidence()
    z = given.test.draw(generator=stream(0, "distortion"))
    found = given.log_likelihood(z, torch.arange(N))
    torch.testing.assert_close(found, -given.distortion, atol=1e-4, rtol=0)
    # rows may come in any order and number
    some = torch.tensor([5, 5, 2])
    torch.testing.assert_close(given.log_likelihood(z[some], some), found[some], atol=1e-4, rtol=0)


def test_a_likelihood_of_its_own_sigma() -> None:
    vae, split = linear_vae(), Split(WORLD.draw(10, generator=stream(1)).float(), None, "float_vector")
    z, rows = torch.zeros(10, 3), torch.arange(10)
    one, other = (split_log_likelihood(vae, split, sigma=s, batch=4)(z, rows) for s in (SIGMA, 2 * SIGMA))
    sse = (split.x - BEST.decoder_bias.float()).square().sum(1)
    expected = -8 * math.log(2) + 0.5 * sse / SIGMA**2 * (1 - 1 / 4)
    torch.testing.assert_close((other - one).float(), expected, atol=1e-3, rtol=1e-4)


def test_bounds_of_the_optimal_model_are_exact() -> None:
    given, exact = evidence()
    rows = measure(BOUND, given)
    for k in (1, 10, 200):
        assert rows["iw_bound", str(k)].value == pytest.approx(exact, abs=1e-3)
        assert rows["iw_bound", str(k)].n == N


def test_one_draw_is_the_elbo_and_more_draws_come_nearer() -> None:
    given, exact = evidence(stretch=0.7)
    rows = measure(BOUND, given)
    elbo = measure(Elbo(), given)["elbo", ""]
    gap = 1.5 * (math.exp(0.7) - 1 - 0.7)
    assert elbo.value == pytest.approx(exact - gap, abs=0.3)
    values = [rows["iw_bound", str(k)].value for k in (1, 10, 200)]
    assert values[0] == pytest.approx(exact - gap, abs=0.1)
    assert values[0] < values[1] < values[2] < exact + 0.02
    assert values[2] == pytest.approx(exact, abs=0.02)


def test_the_gap_of_an_optimal_and_of_a_perturbed_encoder() -> None:
    best = measure(GAP, evidence()[0])["amortisation_gap", ""]
    assert abs(best.value) < 1e-4
    worse = measure(GAP, evidence(stretch=0.7)[0])["amortisation_gap", ""]
    truth = 1.5 * (math.exp(0.7) - 1 - 0.7)
    assert worse.value == pytest.approx(truth, abs=3 * worse.std_error + 0.01)
    assert worse.n == 100


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: ImportanceWeightedBound(n_images=5, n_draws=[]), r"n_draws=\[\]"),
        (lambda: ImportanceWeightedBound(n_images=5, n_draws=[3, 3]), r"n_draws=\[3, 3\]"),
        (lambda: ImportanceWeightedBound(n_images=0, n_draws=[3]), "n_images=0"),
        (lambda: AmortisationGap(5, 0, 1, 0.1, 1), "n_steps=0"),
        (lambda: AmortisationGap(5, 1, 1, 0.0, 1), "learning_rate=0.0"),
    ],
)
def test_bad_values(make: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()

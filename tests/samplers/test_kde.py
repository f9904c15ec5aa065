"""The kernel density: h is the best of the grid for draws it has not seen, and h = 1 is the posterior."""

import math

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.samplers import FitInputs, Kde, LatentDensity, Posterior, SamplerNotApplicable
from priorgap.samplers.kde import FittedKde, leave_one_out

GRID = [1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 8.0]


def standard_world(n: int, std: float, seed: int = 1, dim: int = 2) -> Latents:
    """Posteriors of one s whose aggregate over the population is N(0, I)."""
    mean = (1 - std**2) ** 0.5 * torch.randn(n, dim, generator=stream(seed, "means"))
    return Latents(mean, torch.full_like(mean, std).log() * 2)


def fitted(train: Latents, grid: list[float] = GRID) -> FittedKde:
    return Kde(grid, n_score=2_000).fit(FitInputs(train, train), generator=stream(0, "fit"))


def test_bandwidth_one_is_the_posterior_draw_for_draw() -> None:
    given = FitInputs(standard_world(200, 0.3), standard_world(50, 0.3, seed=2))
    widened = Kde([1.0], n_score=2).fit(given, generator=stream(0)).sample(150, generator=stream(3))
    plain = Posterior().fit(given, generator=stream(0)).sample(150, generator=stream(3))
    assert torch.equal(widened.z, plain.z) and torch.equal(widened.source, plain.source)


@pytest.mark.parametrize("h", [1.0, 1.001, 1.01, 1.02, 1.05, 1.5, 8.0])
def test_it_reconstructs_where_the_posteriors_are_hardly_widened(h: float) -> None:
    facts = fitted(standard_world(200, 0.3), [h]).facts
    assert facts.needs_training_data
    assert facts.reconstructs is (h <= 1.02)
    # what that leaves between the two distributions: nats a unit
    assert ((h**2 - 1) / 2 - math.log(h) < 5e-4) is facts.reconstructs


def test_draws_are_the_posterior_widened() -> None:
    train = standard_world(200, 0.3)
    draw = fitted(train, [2.0]).sample(150, generator=stream(3))
    noise = torch.randn(150, 2, generator=stream(3))
    rows = train.take(draw.source)
    assert torch.allclose(draw.z, rows.mean + 2 * rows.std * noise, atol=1e-6)


@pytest.mark.parametrize(("std", "low", "high"), [(0.02, 5.0, 8.0), (0.6, 1.0, 1.25)])
def test_narrow_posteriors_are_widened_and_wide_ones_are_not(std: float, low: float, high: float) -> None:
    # good and bad: 300 posteriors of s = 0.02 leave holes between them, those of s = 0.6 do not
    assert low <= fitted(standard_world(300, std)).bandwidth <= high


def test_choice_is_the_best_for_fresh_draws_of_the_population() -> None:
    train, fresh = standard_world(300, 0.1), torch.randn(20_000, 2, generator=stream(9))
    chosen = fitted(train)
    truth = {h: float(fitted(train, [h]).log_prob(fresh).mean()) for h in GRID}
    assert truth[chosen.bandwidth] >= max(truth.values()) - 0.05
    # leave-one-out estimates that number, up to the 300 images that it sees
    assert chosen.scores[GRID.index(chosen.bandwidth)] == pytest.approx(truth[chosen.bandwidth], abs=0.3)


def test_scoring_without_leaving_out_always_takes_the_narrowest() -> None:
    # negative control: an image's own kernel explains its draw, and the choice fails the test above
    train = standard_world(300, 0.1)
    z = train.draw(generator=stream(4))
    own = [float(fitted(train, [h]).log_prob(z).mean()) for h in GRID]
    assert own.index(max(own)) == 0
    left_out = [leave_one_out(z, torch.arange(300), train, h) for h in GRID]
    assert left_out.index(max(left_out)) > 1


def test_density_is_the_mixture_of_widened_posteriors() -> None:
    train = standard_world(50, 0.3)
    law = fitted(train, [1.5])
    z = torch.randn(7, 2, generator=stream(5)).double()
    terms = torch.distributions.Normal(train.mean.double(), 1.5 * 0.3).log_prob(z[:, None, :]).sum(-1)
    expected = torch.logsumexp(terms, 1) - torch.tensor(50.0).log()
    assert isinstance(law, LatentDensity)
    assert torch.allclose(law.log_prob(z), expected, atol=1e-4)


def test_two_posteriors_are_enough() -> None:
    assert fitted(standard_world(2, 0.3)).sample(5, generator=stream(0)).z.shape == (5, 2)


def test_state_says_how_it_was_chosen() -> None:
    json = fitted(standard_world(300, 0.02)).state().json
    assert json["bandwidths"] == GRID and len(json["scores"]) == len(GRID)
    assert json["bandwidth"] == GRID[json["scores"].index(max(json["scores"]))]


def test_deterministic_encoder_has_nothing_to_widen() -> None:
    train = Latents(torch.randn(20, 2, generator=stream(0)))
    with pytest.raises(SamplerNotApplicable, match="kde: the encoder gives no log_var"):
        fitted(train)


@pytest.mark.parametrize("grid", [[], [0.5, 1.0], [float("nan")], [float("inf")]])
def test_bad_bandwidths_are_refused(grid: list[float]) -> None:
    with pytest.raises(ValueError, match=r"bandwidths=.*at least 1"):
        Kde(grid, n_score=10)
    with pytest.raises(ValueError, match="n_score=1"):
        Kde([1.0], n_score=1)

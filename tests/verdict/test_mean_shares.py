"""The interval of a mean share over models: inside [0, 1], and right about as often as it says, by simulation."""

import itertools
import math

import pytest
import torch
from planted import CLEAR, row, rows_of, table
from scipy import stats

from priorgap.core.catalogue import BUILTIN
from priorgap.core.random import stream
from priorgap.estimators.copying import auc, auc_limits
from priorgap.verdict import decide
from priorgap.verdict.mean_shares import BoundedReading, mean_share

N_IMAGES, N_REPEATS = 60, 300


def area_of(shift: float) -> float:
    """P(a < b) of a from N(0, 1) and b from N(shift, 1)."""
    return float(stats.norm.cdf(shift / math.sqrt(2)))


def models(shift: float, spread: float, n_models: int, *, shared: bool, generator) -> list[BoundedReading]:
    """Areas of models whose shifts vary by `spread`, by images that they share or that each has of its own."""
    found, images = [], torch.randn(2, N_IMAGES, generator=generator, dtype=torch.float64)
    for _ in range(n_models):
        own = shift + spread * float(torch.randn((), generator=generator))
        if not shared:
            images = torch.randn(2, N_IMAGES, generator=generator, dtype=torch.float64)
        value = auc(images[0], images[1] + own)
        found.append(
            BoundedReading(value.value, auc_limits(value.value, N_IMAGES, N_IMAGES), value.std_error)
        )
    return found


def misses(shift: float, spread: float, n_models: int, *, shared: bool, limits: bool = True) -> int:
    """How often, of N_REPEATS, the interval misses the mean area over trainings."""
    generator = stream(0, "mean_share", n_models)
    # over trainings, the shift of a pair has the variance 2 + spread²
    truth = float(stats.norm.cdf(shift / math.sqrt(2 + spread**2)))
    count = 0
    for _ in range(N_REPEATS):
        readings = models(shift, spread, n_models, shared=shared, generator=generator)
        if not limits:
            readings = [BoundedReading(reading.value) for reading in readings]
        _, interval = mean_share(readings, 0.95)
        assert interval is None or 0 <= interval[0] < interval[1] <= 1
        count += interval is None or not interval[0] <= truth <= interval[1]
    return count


def allowed(rate: float) -> int:
    return int(stats.binom.ppf(0.999, N_REPEATS, rate))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("spread", [0.0, 0.3])
@pytest.mark.parametrize("shift", [0.0, 2.6])
@pytest.mark.parametrize("n_models", [1, 3, pytest.param(10, marks=pytest.mark.slow)])
def test_it_errs_in_five_of_a_hundred_at_most(shift, spread, n_models, shared) -> None:
    if n_models == 1 and spread > 0:
        pytest.skip("one model says nothing of training again")
    assert misses(shift, spread, n_models, shared=shared) <= allowed(0.05)


def test_without_the_images_error_it_errs_too_often() -> None:
    """Negative control: models that share their images and agree say nothing of these images by their spread."""
    assert misses(1.5, 0.05, 10, shared=True, limits=False) > allowed(0.05)


def test_it_is_not_wider_than_twice_what_is_needed() -> None:
    """With images of their own the truth is known to lie within t(9) standard errors of ten models' mean."""
    readings = models(1.0, 0.3, 10, shared=False, generator=stream(1, "mean_share"))
    _, (low, high) = mean_share(readings, 0.95)
    widths = [r.limits[1] - r.limits[0] for r in readings]
    assert high - low < 1.5 * max(widths)


VALUES = [0.0, 1e-9, 0.02, 0.5, 0.97, 1 - 1e-9, 1.0]


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("n_models", [1, 2, 3])
def test_no_interval_leaves_zero_to_one(n_models, level) -> None:
    for values in itertools.product(VALUES, repeat=n_models):
        for known in ("limits", "error", "nothing"):
            readings = [
                BoundedReading(
                    v,
                    auc_limits(v, 20, 20) if known == "limits" else None,
                    0.2 if known == "error" else None,
                )
                for v in values
            ]
            mean, interval = mean_share(readings, level)
            assert mean == pytest.approx(sum(values) / n_models)
            if interval is not None:
                assert 0 <= interval[0] <= mean <= interval[1] <= 1 and interval[0] < interval[1]
            # what is known of every model leaves no mean without an interval
            assert interval is not None or known != "limits"
            if n_models == 1 and known == "nothing":
                assert interval is None


def test_one_model_has_its_own_limits() -> None:
    limits = auc_limits(0.9, 50, 50)
    assert mean_share([BoundedReading(0.9, limits)], 0.95) == (0.9, pytest.approx(limits))
    wider = mean_share([BoundedReading(0.9, limits)], 0.999)[1]
    assert wider[0] < limits[0] and limits[1] < wider[1]
    # log odds: 0.05 / (0.9 · 0.1) per standard error
    low, high = mean_share([BoundedReading(0.9, None, 0.05)], 0.95)[1]
    assert math.log(low / (1 - low)) == pytest.approx(math.log(9) - 1.959964 * 0.05 / 0.09)
    assert math.log(high / (1 - high)) == pytest.approx(math.log(9) + 1.959964 * 0.05 / 0.09)


@pytest.mark.parametrize("level", [0.8, 0.999])
def test_limits_of_another_level_reach_as_much_further_as_the_normal_s(level) -> None:
    """The limits are of 95 %: in log odds the distance from the value is stretched, or shrunk."""
    _, (low, high) = mean_share([BoundedReading(0.8, (0.7, 0.85))], level)
    stretch = stats.norm.isf((1 - level) / 2) / stats.norm.isf(0.025)
    for end, limit in ((low, 0.7), (high, 0.85)):
        reach = math.log(limit / (1 - limit)) - math.log(4)
        assert math.log(end / (1 - end)) == pytest.approx(math.log(4) + stretch * reach)


def test_models_that_agree_have_the_limits_of_one() -> None:
    limits = auc_limits(0.9, 50, 50)
    assert mean_share([BoundedReading(0.9, limits)] * 5, 0.95) == (pytest.approx(0.9), pytest.approx(limits))
    assert mean_share([BoundedReading(0.9)] * 5, 0.95)[1] is None


def test_both_errors_are_added_by_their_squares() -> None:
    def odds(share: float) -> float:
        return math.log(share / (1 - share))

    values = [0.7, 0.8, 0.9]
    _, (low, high) = mean_share([BoundedReading(v, (v - 0.1, v + 0.05)) for v in values], 0.95)
    t = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3) / (0.8 * 0.2)
    assert odds(low) == pytest.approx(odds(0.8) - math.hypot(odds(0.8) - odds(0.7), t))
    assert odds(high) == pytest.approx(odds(0.8) + math.hypot(odds(0.85) - odds(0.8), t))


def test_the_verdict_s_interval_stays_in_the_measure_s_range() -> None:
    """0.999, 0.97 and 0.95 have a t interval that ends at 1.03."""
    values = (0.999, 0.97, 0.95)
    low, high = BUILTIN["memorisation_auc"].range
    for with_limits in (False, True):
        auc_rows = []
        for seed, value in enumerate(values):
            auc_rows.append(row("", "memorisation_auc", seed, value, space="pixels"))
            if with_limits:
                for bound, limit in zip(("lower", "upper"), auc_limits(value, 50, 50), strict=True):
                    auc_rows.append(row("", "memorisation_auc", seed, limit, space="pixels", bound=bound))
        found = decide(table(rows_of("fid", CLEAR, 3), auc_rows)).memorisation_auc
        assert low <= found.interval[0] < found.value < found.interval[1] <= high
        expected = [BoundedReading(v, auc_limits(v, 50, 50) if with_limits else None) for v in values]
        assert (found.value, found.interval) == mean_share(expected, 0.95)

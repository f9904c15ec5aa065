"""Power of the paired t test, against simulation and published numbers."""

import math

import pytest
import torch
from refusals import refused
from scipy import stats

from priorgap.estimators.planning import minimal_detectable_difference, paired_power, pairs_needed


def test_power_against_simulation(generator):
    n, effect, sd = 5, 1.2, 0.8
    x = effect + sd * torch.randn(20_000, n, generator=generator)
    t = x.mean(1) / (x.std(1) / math.sqrt(n))
    hit = float((t.abs() > stats.t.ppf(0.975, n - 1)).double().mean())
    assert paired_power(effect, sd, n) == pytest.approx(hit, abs=4 * math.sqrt(hit * (1 - hit) / 20_000))
    # negative control: normal quantiles promise more than five seeds give
    normal = stats.norm.sf(1.96 - effect / sd * math.sqrt(n))
    assert normal > hit + 0.1


def test_known_values():
    """Cohen's table: 34 pairs for d = 0.5 at 80 % and 5 %; 199 for 0.2; 15 for 0.8."""
    assert [pairs_needed(d, 1.0) for d in (0.5, 0.2, 0.8)] == [34, 199, 15]
    assert paired_power(0.0, 1.0, 7) == pytest.approx(0.05, abs=1e-6)
    exact = stats.nct.sf(stats.t.ppf(0.975, 4), 4, 3.0) + stats.nct.cdf(-stats.t.ppf(0.975, 4), 4, 3.0)
    assert paired_power(3.0 / math.sqrt(5), 1.0, 5) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_detectable_difference_inverts_the_power(n):
    found = minimal_detectable_difference(0.3, n)
    assert paired_power(found, 0.3, n) == pytest.approx(0.8, abs=1e-6)
    if n >= 3:
        assert pairs_needed(found * 1.0001, 0.3) == n


def test_more_seeds_see_less():
    found = [minimal_detectable_difference(1.0, n) for n in (2, 3, 5, 10, 100)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 10  # two seeds show next to nothing
    assert found[-1] == pytest.approx(0.283, abs=0.002)


def test_degenerate_and_bad_input():
    assert pairs_needed(0.0, 1.0) is None
    assert pairs_needed(1e-4, 1.0) is None
    assert pairs_needed(50.0, 1.0) == 2
    assert pairs_needed(-0.5, 1.0) == 34
    with pytest.raises(ValueError, match="std_deviation=0"):
        paired_power(1.0, 0, 3)
    with pytest.raises(ValueError, match="n=1"):
        minimal_detectable_difference(1.0, 1)
    with pytest.raises(ValueError, match="power="):
        pairs_needed(1.0, 1.0, power=0.01)
    with pytest.raises(ValueError, match="level=1"):
        paired_power(1.0, 1.0, 3, level=1)


def test_defaults_and_borders():
    assert (
        paired_power(0.7, 1.3, 6)
        == paired_power(0.7, 1.3, 6, level=0.95)
        != paired_power(0.7, 1.3, 6, level=0.9)
    )
    found = minimal_detectable_difference(1.3, 6)
    assert found == minimal_detectable_difference(1.3, 6, level=0.95, power=0.8)
    stricter = minimal_detectable_difference(1.0, 3, level=0.9999)
    assert paired_power(stricter, 1.0, 3, level=0.9999) == pytest.approx(0.8, abs=1e-8)
    wider = minimal_detectable_difference(1.3, 6, level=0.9, power=0.7)
    assert paired_power(wider, 1.3, 6, level=0.9) == pytest.approx(0.7, abs=1e-8)
    assert pairs_needed(1.0, 1.0) == pairs_needed(1.0, 1.0, level=0.95, power=0.8) == 10
    assert isinstance(pairs_needed(1.0, 1.0), int)
    assert paired_power(2.0, 0.5, 2) > paired_power(1.0, 0.5, 2) > 0.05
    assert paired_power(-0.7, 1.3, 6) == paired_power(0.7, 1.3, 6)
    least = pairs_needed(0.4, 1.0, level=0.9, power=0.6)
    assert paired_power(0.4, 1.0, least, level=0.9) >= 0.6 > paired_power(0.4, 1.0, least - 1, level=0.9)
    # the most that is searched for: 100,000 pairs show 0.00886 standard deviations
    edge = minimal_detectable_difference(1.0, 100_000)
    assert pairs_needed(edge * 0.999, 1.0) is None
    assert pairs_needed(edge * 1.001, 1.0) > 99_000
    assert pairs_needed(edge * 0.999, 1.0, level=0.9) < 100_000


def test_whole_messages():
    calls = (
        lambda sd=1.0, level=0.95: paired_power(1.0, sd, 3, level=level),
        lambda sd=1.0, level=0.95: minimal_detectable_difference(sd, 3, level=level),
        lambda sd=1.0, level=0.95: pairs_needed(1.0, sd, level=level),
    )
    for call in calls:
        for sd in (0, -1.0, math.inf):
            refused(lambda c=call, sd=sd: c(sd=sd), f"std_deviation={sd}: expected a positive number")
        for level in (0.0, 1.0):
            refused(lambda c=call, v=level: c(level=v), f"level={level}: expected a number between 0 and 1")
    for power in (0.5, 1.0):
        line = f"power={power}: expected a number between 1 - level and 1"
        refused(lambda p=power: minimal_detectable_difference(1.0, 3, level=0.5, power=p), line)
        refused(lambda p=power: pairs_needed(1.0, 1.0, level=0.5, power=p), line)
    refused(lambda: paired_power(1.0, 1.0, 1), "n=1: expected an integer >= 2")
    refused(lambda: minimal_detectable_difference(1.0, 1), "n=1: expected an integer >= 2")

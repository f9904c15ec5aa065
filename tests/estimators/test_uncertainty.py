"""Standard errors against simulation; multiplicity against the definition."""

import math

import pytest
import torch
from scipy import stats

from priorgap.estimators.uncertainty import (
    Estimate,
    block_estimate,
    delete_group_jackknife,
    holm,
    mean_estimate,
    proportion_estimate,
    random_groups,
    t_interval,
)


def test_mean_estimate_is_the_textbook_one(generator):
    x = torch.randn(400, generator=generator)
    estimate = mean_estimate(x)
    assert estimate.value == pytest.approx(float(x.double().mean()))
    assert estimate.std_error == pytest.approx(float(stats.sem(x.double().numpy())))
    assert mean_estimate(torch.tensor([3.0])) == Estimate(3.0, None)


def test_estimate_interval():
    low, high = Estimate(1.0, 0.5).interval(0.95)
    assert (low, high) == pytest.approx((1 - 0.5 * 1.959964, 1 + 0.5 * 1.959964), rel=1e-6)
    assert Estimate(1.0).interval() is None


@pytest.mark.parametrize("p", [0.01, 0.3])
def test_proportion_interval_covers(p, generator):
    n, covered = 200, 0
    for _ in range(1000):
        hits = int((torch.rand(n, generator=generator) < p).sum())
        low, high = proportion_estimate(hits, n).interval()
        covered += low <= p <= high
    assert covered > 920


def test_proportion_of_none_is_not_certain():
    assert proportion_estimate(0, 50).std_error > 0.01
    assert proportion_estimate(50, 50).value == 1.0
    # negative control: the plain formula says that 0 of 50 is exact
    assert math.sqrt(0.0 * 1.0 / 50) == 0.0


def test_t_interval_equals_scipy_and_covers(generator):
    x = torch.randn(5, generator=generator, dtype=torch.float64)
    _, low, high = t_interval(x)
    expected = stats.t.interval(0.95, 4, loc=x.mean(), scale=stats.sem(x.numpy()))
    assert (low, high) == pytest.approx(expected)
    draws = torch.randn(4000, 5, generator=generator, dtype=torch.float64)
    half = stats.t.ppf(0.975, 4) * draws.std(1) / math.sqrt(5)
    assert float((draws.mean(1).abs() <= half).double().mean()) == pytest.approx(0.95, abs=0.012)
    # negative control: normal quantiles cover 88 % with 5 values
    normal = 1.96 * draws.std(1) / math.sqrt(5)
    assert float((draws.mean(1).abs() <= normal).double().mean()) < 0.91


def test_holm_by_hand_and_in_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_never_drops_below_a_smaller_p():
    """0.02 * 3 = 0.06 must not be followed by 0.025 * 2 = 0.05."""
    adjusted = holm([0.02, 0.025, 0.5])
    assert adjusted == pytest.approx([0.06, 0.06, 0.5])
    without_running_maximum = [0.06, 0.05, 0.5]
    assert adjusted != pytest.approx(without_running_maximum)


def test_jackknife_removes_the_bias_of_a_square(generator):
    """E mean^2 = mu^2 + sigma^2 / n; the jackknife estimates mu^2."""
    plain, debiased = [], []
    for _ in range(300):
        x = torch.randn(40, generator=generator, dtype=torch.float64)
        plain.append(float(x.mean()) ** 2)
        estimate = delete_group_jackknife(lambda i, x=x: float(x[i].mean()) ** 2, 40, 20, generator=generator)
        debiased.append(estimate.value)
    assert abs(sum(debiased) / 300) < 0.006
    assert sum(plain) / 300 > 0.018


def test_jackknife_std_error_of_a_mean(generator):
    x = torch.randn(1000, generator=generator, dtype=torch.float64)
    estimate = delete_group_jackknife(lambda i: float(x[i].mean()), 1000, 50, generator=generator)
    assert estimate.value == pytest.approx(float(x.mean()))
    assert estimate.std_error == pytest.approx(float(x.std()) / math.sqrt(1000), rel=0.35)


def test_groups_are_equal_and_random(generator):
    group = random_groups(103, 10, generator=generator)
    sizes = torch.bincount(group)
    assert len(sizes) == 10 and int(sizes.max() - sizes.min()) <= 1
    assert not torch.equal(group, torch.arange(103) % 10)


def test_block_estimate(generator):
    values = torch.tensor([1.0, 2.0, 3.0])
    assert block_estimate(values) == Estimate(2.0, pytest.approx(1 / math.sqrt(3)))
    with pytest.raises(ValueError, match="at least 2"):
        block_estimate(values[:1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_estimate(torch.zeros(0)),
        lambda: mean_estimate(torch.tensor([float("inf")])),
        lambda: proportion_estimate(3, 2),
        lambda: proportion_estimate(0, 0),
        lambda: t_interval([1.0]),
        lambda: t_interval([1.0, 2.0], level=1.0),
        lambda: holm([1.2]),
        lambda: random_groups(5, 6, generator=torch.Generator()),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()

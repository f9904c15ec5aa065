"""Standard errors against simulation; multiplicity against the definition."""

import math

import pytest
import torch
from refusals import drawn_from_its_generator, refused
from scipy import stats

from priorgap.estimators.uncertainty import (
    Estimate,
    block_estimate,
    delete_group_jackknife,
    holm,
    jackknife_estimate,
    mean_estimate,
    normal_quantile,
    proportion_estimate,
    quantile_estimate,
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


def test_levels_are_95_percent_unless_given():
    one = Estimate(1.0, 0.5)
    assert one.interval() == one.interval(0.95) != one.interval(0.9)
    x = [1.0, 2.0, 4.0]
    assert t_interval(x) == t_interval(x, 0.95) != t_interval(x, 0.9)
    mean, low, high = t_interval(x, 0.9)
    assert mean == pytest.approx(7 / 3) and high - mean == pytest.approx(mean - low)
    assert t_interval([1e9, 1e9 + 1])[0] == 1e9 + 0.5  # float64
    assert normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)


def test_agresti_coull_by_hand():
    found = proportion_estimate(30, 96)
    assert (found.value, found.std_error) == (30 / 96, pytest.approx(math.sqrt(0.32 * 0.68 / 100)))
    assert [proportion_estimate(k, 1).value for k in (0, 0.5, 1)] == [0, 0.5, 1]
    assert mean_estimate(torch.tensor([1.0, 3.0])) == Estimate(2.0, pytest.approx(1.0))


def test_jackknife_by_hand(generator):
    found = jackknife_estimate(2.0, torch.tensor([1.0, 1.5, 2.0, 3.5]))
    assert found.value == pytest.approx(4 * 2.0 - 3 * 2.0)
    assert found.std_error == pytest.approx(math.sqrt(0.75 * (1 + 0.25 + 0 + 2.25)))
    x = torch.randn(11, generator=generator, dtype=torch.float64)

    def statistic(rows):
        return float(x[rows].sum() / len(rows)) ** 2 + 1e6

    def jackknife(g):
        return delete_group_jackknife(statistic, 11, 4, generator=g)

    group = random_groups(11, 4, generator=torch.Generator().manual_seed(3))
    left_out = torch.tensor([statistic((group != k).nonzero()[:, 0]) for k in range(4)], dtype=torch.float64)
    expected = jackknife_estimate(statistic(torch.arange(11)), left_out)
    found = drawn_from_its_generator(jackknife)
    assert found.value == pytest.approx(expected.value, rel=1e-15)
    assert found.std_error == pytest.approx(expected.std_error, rel=1e-12)
    assert jackknife_estimate(1.0, torch.tensor([0.5, 1.5])).value == 1.0


def test_groups_at_the_borders():
    assert sorted(random_groups(2, 2, generator=torch.Generator()).tolist()) == [0, 1]
    for k in (2, 5):
        drawn = drawn_from_its_generator(lambda g, k=k: random_groups(5, k, generator=g).tolist())
        assert set(drawn) == set(range(k))


def test_holm_at_the_borders():
    assert holm([0.0, 1.0]) == [0.0, 1.0]
    assert holm([0.5, 0.4, 0.0]) == pytest.approx([0.8, 0.8, 0.0])


def test_whole_messages(generator):
    for level in (0.0, 1.0, -0.1):
        line = f"level={level}: expected a number between 0 and 1"
        refused(lambda v=level: normal_quantile(v), line)
        refused(lambda v=level: t_interval([1.0, 2.0], v), line)
    refused(lambda: proportion_estimate(0, 0), "n=0: expected an integer >= 1")
    for hits in (3, -1):
        line = f"hits={hits}: expected a number from 0 to n=2"
        refused(lambda h=hits: proportion_estimate(h, 2), line)
    for p in (-0.1, 1.1):
        refused(lambda p=p: holm([0.5, p]), f"p_values has {p}: expected numbers from 0 to 1")
    for k in (1, 6):
        line = f"n_groups={k}: expected an integer from 2 to n=5"
        refused(lambda k=k: random_groups(5, k, generator=generator), line)
    one = torch.zeros(1)
    refused(lambda: mean_estimate(one[:0]), "x has 0 values: expected at least 1")
    refused(lambda: block_estimate(one), "values has 1 values: expected at least 2")
    refused(lambda: t_interval([1.0]), "x has 1 values: expected at least 2")
    refused(lambda: jackknife_estimate(1.0, one), "left_out has 1 values: expected at least 2")


def test_a_quantile_is_the_value_of_its_rank():
    x = torch.tensor([5.0, 1, 4, 2, 3])
    for level, value in ((0.2, 1.0), (0.21, 2.0), (0.5, 3.0), (0.99, 5.0), (0.01, 1.0)):
        assert quantile_estimate(x, level).value == value
    assert quantile_estimate(x[:1], 0.5) == Estimate(5.0)
    assert quantile_estimate(torch.zeros(10), 0.05) == Estimate(0.0, 0.0)
    for level in (0.0, 1.0):
        refused(lambda v=level: quantile_estimate(x, v), f"level={level}: expected a number between 0 and 1")


@pytest.mark.parametrize("level", [0.05, 0.5])
def test_the_error_of_a_quantile_is_that_of_repetition(level, generator):
    x = torch.randn(400, 500, dtype=torch.float64, generator=generator)
    found = [quantile_estimate(row, level) for row in x]
    values = torch.tensor([one.value for one in found])
    error = torch.tensor([one.std_error for one in found]).square().mean().sqrt()
    assert float(error / values.std()) == pytest.approx(1, abs=0.12)
    # the negative control: the error of a mean
    assert float(x.std() / 500**0.5 / values.std()) < 0.85

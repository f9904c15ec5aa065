"""Reading a number of real images off a curve of accuracies."""

import math

import pytest
import torch
from refusals import refused

from priorgap.estimators.sample_value import monotone, real_equivalent
from priorgap.estimators.uncertainty import Estimate

SIZES = [100, 1000, 10_000]
CURVE = [Estimate(v, 0.002) for v in (0.8, 0.9, 1.0)]


def test_log_linear_interpolation():
    found = real_equivalent(Estimate(0.85, 0.0), SIZES, CURVE)
    assert found.side == "point"
    assert found.value.value == pytest.approx(100 * math.sqrt(10))
    assert found.value.std_error == pytest.approx(found.value.value * 0.002 / 0.1 * math.log(10), rel=1e-6)


def test_the_ends_are_bounds():
    for accuracy, size, side in ((1.0, 10_000, "lower"), (0.3, 100, "upper"), (0.8, 100, "point")):
        found = real_equivalent(Estimate(accuracy, 0.01), SIZES, CURVE)
        assert (found.value.value, found.side) == (pytest.approx(size), side)
    assert real_equivalent(Estimate(0.3), SIZES, CURVE).value.std_error is None


def test_recovers_the_number_under_a_power_law(generator):
    """Real data judged as synthetic: n of them are worth n."""

    def accuracy(n):
        return 1 - 0.5 * n**-0.3

    sizes = [30, 100, 300, 1000, 3000]
    curve = [Estimate(accuracy(n), 0.003) for n in sizes]
    covered = 0
    for _ in range(200):
        noise = 0.003 * torch.randn(6, generator=generator)
        noisy = [Estimate(c.value + float(e), 0.003) for c, e in zip(curve, noise, strict=False)]
        found = real_equivalent(Estimate(accuracy(500) + float(noise[5]), 0.003), sizes, noisy)
        low, high = found.value.interval()
        covered += low < 500 < high
    assert 0.85 < covered / 200 <= 1
    # negative control: linear in size, not log size, misses by a quarter
    a, b = accuracy(300), accuracy(1000)
    linear = 300 + 700 * (accuracy(500) - a) / (b - a)
    exact = real_equivalent(Estimate(accuracy(500)), sizes, curve).value.value
    assert abs(exact - 500) < 30 < abs(linear - 500)


def test_a_curve_that_dips_is_made_monotone():
    assert monotone([1.0, 3.0, 2.0, 4.0]) == [1.0, 2.5, 2.5, 4.0]
    assert monotone([3.0, 2.0, 1.0]) == [2.0, 2.0, 2.0]
    dipping = [Estimate(v) for v in (0.8, 0.95, 0.9)]
    found = real_equivalent(Estimate(0.85), SIZES, dipping)
    assert 100 < found.value.value < 1000


def test_bad_input():
    with pytest.raises(ValueError, match="sizes"):
        real_equivalent(Estimate(0.5), [10], [Estimate(0.5)])
    with pytest.raises(ValueError, match="sizes"):
        real_equivalent(Estimate(0.5), [10, 10], [Estimate(0.5)] * 2)


def test_nodes_are_read_exactly_and_errors_are_interpolated():
    curve = [Estimate(0.8, 0.001), Estimate(0.9, 0.003), Estimate(1.0, None)]
    at_node = real_equivalent(Estimate(0.9, 0.0), SIZES, curve)
    assert (at_node.value.value, at_node.side) == (pytest.approx(1000), "point")
    assert at_node.value.std_error == pytest.approx(1000 * 0.003 / 0.1 * math.log(10))
    # a quarter of the way in log size: the curve's error is 3/4 of one and 1/4 of the other
    for accuracy, noise in ((0.825, 0.75 * 0.001 + 0.25 * 0.003), (0.925, 0.75 * 0.003)):
        found = real_equivalent(Estimate(accuracy, 0.004), SIZES, curve).value
        size = 100 * 10 ** ((accuracy - 0.8) / 0.1)
        assert found.value == pytest.approx(size)
        slope = size * math.log(10) / 0.1
        assert found.std_error == pytest.approx(slope * math.hypot(0.004, noise))
    alone = real_equivalent(Estimate(0.85), SIZES, [Estimate(v) for v in (0.8, 0.9, 1.0)])
    assert alone.value.std_error == 0


def test_the_ends_have_no_standard_error_and_the_interval_is_kept_inside():
    top = real_equivalent(Estimate(1.0, 0.1), SIZES, CURVE)
    assert (top.side, top.value) == ("lower", Estimate(10_000.0))
    two = real_equivalent(Estimate(0.8, 0.0), [10, 1000], [Estimate(0.8, 0.0), Estimate(0.9, 0.0)])
    assert (two.side, two.value.value, two.value.std_error) == ("point", pytest.approx(10), 0)
    wide = real_equivalent(Estimate(0.9, 10.0), SIZES, CURVE)  # both ends of the interval leave the curve
    assert wide.value.std_error == pytest.approx(1000 * 0.5 * math.log(100))
    flat = [Estimate(v, 0.0) for v in (0.8, 0.9, 0.9, 1.0)]
    assert real_equivalent(Estimate(0.9, 0.0), [10, 100, 1000, 10_000], flat).value.value == pytest.approx(
        1000
    )


def test_blocks_are_pooled_by_their_sizes():
    assert monotone([4.0, 1.0, 1.0, 7.0, 6.0]) == [2.0, 2.0, 2.0, 6.5, 6.5]
    assert monotone([1.0, 1.0, 2.0]) == [1.0, 1.0, 2.0]
    # a pooled block is pooled again, by its own size
    assert monotone([4.0, 5.0, 0.0]) == [3.0, 3.0, 3.0]
    assert monotone([6.0, 4.0, 8.0, 1.0]) == [4.75] * 4


def test_whole_messages():
    one = Estimate(0.5)
    for sizes, n in (([10], 1), ([10, 10], 2), ([20, 10], 2), ([10, 20], 3), ([10, 20, 15], 3)):
        line = f"sizes={sizes}: expected at least 2, increasing, one for each point of the curve"
        refused(lambda s=sizes, n=n: real_equivalent(one, s, [one] * n), line)

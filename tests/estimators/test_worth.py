"""Reading a number of real images off a curve of accuracies."""

import math

import pytest
import torch

from priorgap.estimators.uncertainty import Estimate
from priorgap.estimators.worth import monotone, real_equivalent

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

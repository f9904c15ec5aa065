"""The worth of synthetic training data: the number of real images that give the same accuracy."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from priorgap.estimators.uncertainty import Estimate


@dataclass(frozen=True)
class Worth:
    """A number of real images, and whether it is only a bound because it lies beyond an end of the curve.

    Attributes:
        value: the number, with a standard error from an interval's half width; beyond an end of the curve
            that end, without a standard error.
        side: "point", "lower" (worth at least so many: above the curve), "upper" (at most so many: below it).
    """

    value: Estimate
    side: Literal["point", "lower", "upper"]


def real_equivalent(accuracy: Estimate, sizes: Sequence[int], curve: Sequence[Estimate]) -> Worth:
    """Return the number of real images whose classifier has this accuracy, read off the real-real curve.

    The curve is made monotone (pool adjacent violators, equal weights) and read by linear interpolation of
    accuracy in log size. The standard error comes from moving the accuracy both ways by one standard error
    (its own combined with the curve's, interpolated), on the log scale (delta method). Biased towards the
    middle by the curve's own noise.

    Raises:
        ValueError: fewer than 2 sizes, sizes not increasing, or lengths that differ.

    Example:
        >>> curve = [Estimate(0.7, 0.01), Estimate(0.8, 0.01), Estimate(0.9, 0.01)]
        >>> round(real_equivalent(Estimate(0.8, 0.01), [100, 1000, 10_000], curve).value.value)
        1000
    """
    if len(sizes) < 2 or len(sizes) != len(curve) or any(b <= a for a, b in itertools.pairwise(sizes)):
        raise ValueError(
            f"sizes={list(sizes)}: expected at least 2, increasing, one for each point of the curve"
        )
    level = monotone([point.value for point in curve])
    if accuracy.value >= level[-1]:
        return Worth(Estimate(float(sizes[-1])), "lower")
    if accuracy.value < level[0]:
        return Worth(Estimate(float(sizes[0])), "upper")
    middle = _read(accuracy.value, sizes, level)
    noise = math.hypot(accuracy.std_error or 0.0, _noise(middle, sizes, curve))
    low, high = (_read(accuracy.value + s * noise, sizes, level) for s in (-1, 1))
    return Worth(Estimate(math.exp(middle), math.exp(middle) * 0.5 * (high - low)), "point")


def monotone(values: Sequence[float]) -> list[float]:
    """Return the nearest non-decreasing sequence in least squares (pool adjacent violators).

    Example:
        >>> monotone([1.0, 3.0, 2.0])
        [1.0, 2.5, 2.5]
    """
    blocks: list[tuple[float, int]] = []
    for value in values:
        blocks.append((float(value), 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (b, m), (a, n) = blocks.pop(), blocks.pop()
            blocks.append(((a * n + b * m) / (n + m), n + m))
    return [value for value, count in blocks for _ in range(count)]


def _read(level: float, sizes: Sequence[int], curve: Sequence[float]) -> float:
    """Return the log size at an accuracy, clamped to the curve's range."""
    if level <= curve[0]:
        return math.log(sizes[0])
    for (a, x), (b, y) in zip(
        zip(sizes, curve, strict=True), zip(sizes[1:], curve[1:], strict=True), strict=False
    ):
        if x <= level < y:
            return math.log(a) + (level - x) / (y - x) * math.log(b / a)
    return math.log(sizes[-1])


def _noise(log_size: float, sizes: Sequence[int], curve: Sequence[Estimate]) -> float:
    """Return the curve's standard error at a size, interpolated between its two neighbours."""
    for k in range(len(sizes) - 1):
        a, b = math.log(sizes[k]), math.log(sizes[k + 1])
        if a <= log_size <= b:
            share = (log_size - a) / (b - a)
            return (1 - share) * (curve[k].std_error or 0.0) + share * (curve[k + 1].std_error or 0.0)
    return 0.0

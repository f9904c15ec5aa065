"""The mean over models of a share or an area, with an interval that stays inside [0, 1]."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from priorgap.estimators.uncertainty import normal_quantile, t_interval

# The level of the limits that metrics give with a share or an area.
_LEVEL_OF_LIMITS = 0.95


@dataclass(frozen=True)
class BoundedReading:
    """One model's share or area.

    Attributes:
        value: from 0 to 1.
        limits: its own 95 % limits, None where the model has none.
        std_error: its standard error, None where none is known.
    """

    value: float
    limits: tuple[float, float] | None = None
    std_error: float | None = None


def mean_share(readings: Sequence[BoundedReading], level: float) -> tuple[float, tuple[float, float] | None]:
    """Return the mean over models and its interval, inside [0, 1]; None where no error is known.

    Two errors are combined on the scale of log odds, on which an interval cannot leave [0, 1]: that of repeated
    training (Student's t over models) and that of the finite number of images (the mean of the models' own limits).
    Models may share those images, so that their errors do not average out. The distances of the two intervals' ends
    from the mean are added in squares. The contribution of the models' own errors to their spread is counted twice,
    so that the interval covers with at least `level`. With one model, or where no two models differ, only the limits
    are used.

    **Source**: Zou & Donner (2008), "Construction of confidence limits about effect measures", for adding intervals
    that are not symmetric.

    Args:
        readings: one for each model, at least one.
        level: the two-sided level.
    """
    values = [reading.value for reading in readings]
    mean = math.fsum(values) / len(values)
    own = _own_limits(readings, mean, level)
    spread = _half_width(values, mean, level)
    if own is None and spread is None:
        return mean, None
    low, high = own or (mean, mean)
    if not 0 < mean < 1:  # The log odds of 0 and 1 are infinite.
        return mean, (low, high)
    centre = _log_odds(mean)
    below = math.hypot(centre - _log_odds(low), spread or 0.0)
    above = math.hypot(_log_odds(high) - centre, spread or 0.0)
    return mean, (_share(centre - below), _share(centre + above))


def _own_limits(readings: Sequence[BoundedReading], mean: float, level: float) -> tuple[float, float] | None:
    """Return the mean of the models' own limits; None where a model has neither limits nor an error."""
    found = []
    stretch = normal_quantile(0.5 + 0.5 * level)
    for reading in readings:
        if reading.limits is not None:
            ends = [
                _moved(reading.value, end, stretch / normal_quantile(0.5 + 0.5 * _LEVEL_OF_LIMITS))
                for end in reading.limits
            ]
        elif reading.std_error and 0 < reading.value < 1:
            half = stretch * reading.std_error / (reading.value * (1 - reading.value))
            ends = [_share(_log_odds(reading.value) + side * half) for side in (-1, 1)]
        else:
            return None
        found.append(ends)
    low, high = (math.fsum(ends) / len(ends) for ends in zip(*found, strict=True))
    return min(low, mean), max(high, mean)


def _moved(value: float, end: float, factor: float) -> float:
    """Return a limit converted to another level: `factor` times as far from its value, in log odds."""
    if not 0 < value < 1 or not 0 < end < 1 or factor == 1:
        return end
    centre = _log_odds(value)
    return _share(centre + factor * (_log_odds(end) - centre))


def _half_width(values: Sequence[float], mean: float, level: float) -> float | None:
    """Return half the width of Student's t interval over models, in log odds; None where no two models differ."""
    if len(set(values)) < 2:
        return None
    _, low, high = t_interval(values, level=level)
    return 0.5 * (high - low) / (mean * (1 - mean))


def _log_odds(share: float) -> float:
    if not 0 < share < 1:
        return math.copysign(math.inf, share - 0.5)
    return math.log(share / (1 - share))


def _share(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0

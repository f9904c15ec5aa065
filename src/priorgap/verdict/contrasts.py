"""Comparisons of two samplers, and of a measure with its null; `family` compares all candidates of a cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from priorgap.core.measures import Scale
from priorgap.estimators.uncertainty import holm, t_interval
from priorgap.verdict.readings import Reading, Readings


@dataclass(frozen=True)
class Contrast:
    """How one sampler differs from another.

    Attributes:
        sampler: the sampler that is compared.
        against: what it is compared with.
        effect: on the log scale the ratio sampler / against, else the difference sampler − against.
        interval: the interval of `effect`; None where there is nothing to base one on.
        p_value: the adjusted p-value; 1 where there is no interval.
        n_pairs: the models (seeds) that have both.
        scale: "log" (the effect is a ratio) or "identity" (a difference).
        shown: whether the difference is shown: the p-value is below 1 - level.
    """

    sampler: str
    against: str
    effect: float
    interval: tuple[float, float] | None
    p_value: float
    n_pairs: int
    scale: Scale
    shown: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return {
            "sampler": self.sampler,
            "against": self.against,
            "effect": self.effect,
            "interval": None if self.interval is None else list(self.interval),
            "p_value": self.p_value,
            "n_pairs": self.n_pairs,
            "scale": self.scale,
            "shown": self.shown,
        }


@dataclass(frozen=True)
class _Difference:
    mean: float
    p_value: float
    values: tuple[float, ...]  # over seeds; empty for a single model
    std_error: float | None  # within one model


def scaled_mean(by_seed: dict[int, Reading], seeds: Sequence[int], scale: Scale) -> float:
    """Return the mean over seeds on the scale on which seeds are averaged."""
    values = [by_seed[seed].value for seed in seeds]
    return float(np.mean(np.log(values))) if scale == "log" else float(np.mean(values))


def contrasts(
    readings: Readings, pairs: Sequence[tuple[str, str]], *, scale: Scale, level: float, one_model: bool
) -> list[Contrast]:
    """Compare pairs of samplers, paired by seed, as one family.

    With several models: the t interval of the paired differences. With one model: the normal interval of the
    difference from the two within-model standard errors, taken as independent (they share the reference set
    and the base noise, so this is too wide rather than too narrow).

    Each interval's own level is 1 − (1 − level)·p/p_adj, p_adj being Holm's adjusted p-value: it excludes no
    difference exactly when p_adj < 1 − level.

    Returns:
        One contrast per pair, in order. A pair without an interval has p = 1 and stays in the family.
    """
    found = [_difference(readings[a], readings[b], scale, one_model) for a, b in pairs]
    adjusted = holm([difference.p_value for difference in found])
    results = []
    for (a, b), difference, p_adjusted in zip(pairs, found, adjusted, strict=True):
        factor = p_adjusted / difference.p_value if difference.p_value > 0 else float(len(found))
        known = difference.std_error is not None or len(set(difference.values)) > 1
        interval = _interval(difference, 1 - (1 - level) / max(factor, 1.0)) if known else None
        results.append(
            Contrast(
                sampler=a,
                against=b,
                effect=back(difference.mean, scale),
                interval=None if interval is None else (back(interval[0], scale), back(interval[1], scale)),
                p_value=float(p_adjusted),
                n_pairs=len(difference.values) or len(set(readings[a]) & set(readings[b])),
                scale=scale,
                shown=interval is not None and (interval[0] > 0 or interval[1] < 0),
            )
        )
    return results


def _difference(a: dict[int, Reading], b: dict[int, Reading], scale: Scale, one_model: bool) -> _Difference:
    seeds = sorted(set(a) & set(b))
    if not seeds:
        own = scaled_mean(a, sorted(a), scale) - scaled_mean(b, sorted(b), scale)
        return _Difference(own, 1.0, (), None)
    values = [scaled_mean(a, [seed], scale) - scaled_mean(b, [seed], scale) for seed in seeds]
    mean = float(np.mean(values))
    if not one_model:
        return _Difference(mean, _paired_p(values), tuple(values), None)
    error = combined_error(a[seeds[0]], b[seeds[0]], scale)
    if error is None:
        return _Difference(mean, 1.0, (), None)
    p = 2 * float(stats.norm.sf(abs(mean) / error))
    return _Difference(mean, p, (), error)


def _paired_p(values: list[float]) -> float:
    if len(values) < 2:
        return 1.0
    spread = float(np.std(values, ddof=1))
    if spread == 0:  # no error is known from it
        return 1.0
    t = float(np.mean(values)) / (spread / math.sqrt(len(values)))
    return 2 * float(stats.t.sf(abs(t), len(values) - 1))


def combined_error(a: Reading, b: Reading, scale: Scale) -> float | None:
    """Return the standard error of a difference within one model; None where one is unknown, as one of 0 is."""
    if not a.std_error or not b.std_error:
        return None
    if scale == "log":  # delta method: the error of log v is the relative error of v
        return math.hypot(a.std_error / a.value, b.std_error / b.value)
    return math.hypot(a.std_error, b.std_error)


def _interval(difference: _Difference, level: float) -> tuple[float, float] | None:
    if len(difference.values) >= 2:
        _, low, high = t_interval(difference.values, level=level)
        return float(low), float(high)
    if difference.std_error is None:
        return None
    half = float(stats.norm.isf((1 - level) / 2)) * difference.std_error
    return difference.mean - half, difference.mean + half


def back(value: float, scale: Scale) -> float:
    """Return a difference on a scale as an effect: a ratio on the log scale."""
    return math.exp(value) if scale == "log" else value

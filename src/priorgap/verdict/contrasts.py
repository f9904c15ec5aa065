"""Comparisons of two samplers, and of a measure with its null value; `family` compares all candidates of a cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from priorgap.core.measures import Scale
from priorgap.estimators.uncertainty import holm
from priorgap.verdict.readings import Reading, Readings


@dataclass(frozen=True)
class Contrast:
    """How one sampler differs from another.

    Attributes:
        sampler: the sampler that is compared.
        against: the sampler that it is compared with.
        effect: on the log scale the ratio sampler / against, else the difference sampler − against.
        interval: the interval of `effect`; None where no standard error is known.
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
class Difference:
    """One pair of samplers on the scale on which seeds are averaged.

    Attributes:
        mean: the mean over the common seeds; without a common seed the difference of the means.
        std_error: the mean's standard error; None where it is unknown; then no difference can be shown.
        n_pairs: the common seeds.
    """

    mean: float
    std_error: float | None
    n_pairs: int


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
    df = [math.inf if one_model else difference.n_pairs - 1 for difference in found]
    p_values = [_p_value(*one) for one in zip(found, df, strict=True)]
    results = []
    for place, p_adjusted in enumerate(holm(p_values)):
        difference, p = found[place], p_values[place]
        factor = p_adjusted / p if p > 0 else float(len(found))
        interval = _interval(difference, df[place], 1 - (1 - level) / max(factor, 1.0))
        results.append(
            Contrast(
                *pairs[place],
                effect=back(difference.mean, scale),
                interval=None if interval is None else (back(interval[0], scale), back(interval[1], scale)),
                p_value=float(p_adjusted),
                n_pairs=difference.n_pairs,
                scale=scale,
                shown=interval is not None and (interval[0] > 0 or interval[1] < 0),
            )
        )
    return results


def _difference(a: dict[int, Reading], b: dict[int, Reading], scale: Scale, one_model: bool) -> Difference:
    if one_model and set(a) & set(b):
        return within_model(a, b, scale)
    return paired(*({seed: scaled_mean(own, [seed], scale) for seed in own} for own in (a, b)))


def within_model(a: dict[int, Reading], b: dict[int, Reading], scale: Scale) -> Difference:
    """Return a difference of samplers of the same models, with the error from both within-model errors."""
    seeds = sorted(set(a) & set(b))
    mean = scaled_mean(a, seeds, scale) - scaled_mean(b, seeds, scale)
    return Difference(mean, combined_error(a[seeds[0]], b[seeds[0]], scale), len(seeds))


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Difference:
    """Return a difference of scaled values by seed, with the error from the spread of the pairs."""
    seeds = sorted(set(a) & set(b))
    each = [a[seed] - b[seed] for seed in seeds]
    if not each:
        return Difference(_mean(list(a.values())) - _mean(list(b.values())), None, 0)
    mean, n = _mean(each), len(each)
    spread = math.sqrt(sum((x - mean) ** 2 for x in each) / (n - 1)) if n > 1 else 0.0
    # A spread within rounding error counts as 0, and then no standard error is known.
    known = spread > 1e-12 * max(1.0, *(abs(own[seed]) for own in (a, b) for seed in seeds))
    return Difference(mean, spread / math.sqrt(n) if known else None, n)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _p_value(difference: Difference, df: float) -> float:
    if difference.std_error is None:
        return 1.0
    return 2 * float(scipy.stats.t.sf(abs(difference.mean) / difference.std_error, df))


def combined_error(a: Reading, b: Reading, scale: Scale) -> float | None:
    """Return the standard error of a difference within one model; None where one error is unknown or 0."""
    if not a.std_error or not b.std_error:
        return None
    if scale == "log":  # Delta method: the standard error of log v is the relative error of v.
        return math.hypot(a.std_error / a.value, b.std_error / b.value)
    return math.hypot(a.std_error, b.std_error)


def _interval(difference: Difference, df: float, level: float) -> tuple[float, float] | None:
    if difference.std_error is None:
        return None
    half = float(scipy.stats.t.isf((1 - level) / 2, df)) * difference.std_error
    return difference.mean - half, difference.mean + half


def back(value: float, scale: Scale) -> float:
    """Return a difference on a scale as an effect: as a ratio on the log scale."""
    return math.exp(value) if scale == "log" else value

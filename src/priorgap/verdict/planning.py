"""What the available seeds could have shown, and how many seeds the observed difference would need."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy

from priorgap.core.measures import Scale
from priorgap.estimators.planning import minimal_detectable_difference, pairs_needed
from priorgap.verdict.readings import Readings

_POWER = 0.8
_MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Plan:
    """Planning numbers of one paired comparison, for a two-sided t test at a level corrected for all comparisons.

    Attributes:
        sampler, against: the two samplers that are compared.
        n_seeds: the number of pairs available.
        detectable: the least true difference that these seeds would show with probability `power`: a ratio above 1 on
            the log scale, else an absolute difference.
        seeds_needed: the least number of seeds that would show the observed difference if it were true; None above
            100,000 or where no difference was observed.
        power: the probability of showing it.
        level: the level of one comparison, 1 - (1 - family level) / number of comparisons.
        scale: "log" or "identity".
    """

    sampler: str
    against: str
    n_seeds: int
    detectable: float
    seeds_needed: int | None
    power: float
    level: float
    scale: Scale

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


def plan(
    values: Readings,
    sampler: str,
    against: str,
    *,
    scale: Scale,
    level: float,
    n_comparisons: int,
    pooled_error: float | None = None,
) -> Plan | None:
    """Return the plan for a pair of samplers; None with fewer than 2 common seeds or without any spread.

    Args:
        values: a reading by candidate and seed.
        sampler, against: the pair.
        scale: the scale on which seeds are averaged.
        level: the family-wise level.
        n_comparisons: the number of comparisons that share this level.
        pooled_error: the standard error of the difference, pooled over all samplers; None for the pair's own spread.
    """
    seeds = sorted(set(values[sampler]) & set(values[against]))
    a, b = (np.array([values[name][seed].value for seed in seeds]) for name in (sampler, against))
    if len(seeds) < 2:
        return None
    difference = np.log(a) - np.log(b) if scale == "log" else a - b
    own = 1 - (1 - level) / n_comparisons
    effect, n = float(np.mean(difference)), len(seeds)
    if pooled_error is not None:
        spread = pooled_error * math.sqrt(n)
        least = _pooled_detectable(spread, n, len(values), own)
        needed = _pooled_seeds(effect, spread, len(values), own)
    else:
        spread = float(np.std(difference, ddof=1))
        if spread == 0:
            return None
        least = minimal_detectable_difference(spread, n, level=own, power=_POWER)
        needed = pairs_needed(effect, spread, level=own, power=_POWER)
    # The exponential would overflow above 709.
    least = math.exp(min(least, 700.0)) if scale == "log" else least
    return Plan(sampler, against, n, least, needed, _POWER, own, scale)


def _pooled_power(ratio: float, n_seeds: int, n_samplers: int, level: float) -> float:
    """Return the probability of showing a difference of `ratio` spreads, with a variance pooled over samplers."""
    df = (n_samplers - 1) * (n_seeds - 1)
    critical = float(scipy.stats.t.isf((1 - level) / 2, df))
    return float(scipy.stats.nct.sf(critical, df, ratio * math.sqrt(n_seeds)))


def _pooled_detectable(spread: float, n_seeds: int, n_samplers: int, level: float) -> float:
    high = 1.0
    while _pooled_power(high, n_seeds, n_samplers, level) < _POWER:
        high *= 2
    ratio = scipy.optimize.brentq(lambda r: _pooled_power(r, n_seeds, n_samplers, level) - _POWER, 0.0, high)
    return float(ratio) * spread


def _pooled_seeds(effect: float, spread: float, n_samplers: int, level: float) -> int | None:
    ratio = abs(effect) / spread
    low, high = 1, 2
    while _pooled_power(ratio, high, n_samplers, level) < _POWER:
        low, high = high, 2 * high
        if low > _MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if _pooled_power(ratio, middle, n_samplers, level) < _POWER:
            low = middle
        else:
            high = middle
    return high if high <= _MOST_SEEDS else None

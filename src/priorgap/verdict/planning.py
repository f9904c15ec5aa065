"""What the seeds at hand could have shown, and how many the observed difference would need."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from priorgap.core.measures import Scale
from priorgap.estimators.planning import minimal_detectable_difference, pairs_needed
from priorgap.verdict.readings import Readings

_POWER = 0.8


@dataclass(frozen=True)
class Plan:
    """Planning numbers of one paired comparison, two-sided t at a level that allows for all comparisons.

    Attributes:
        sampler, against: what is compared.
        n_seeds: the pairs at hand.
        detectable: the least true difference that they show with probability `power`: a ratio above 1 on
            the log scale, else an absolute difference.
        seeds_needed: the least number of seeds that shows the observed difference, were it true; None above
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
    values: Readings, sampler: str, against: str, *, scale: Scale, level: float, n_comparisons: int
) -> Plan | None:
    """Return the plan for a pair of samplers, None with fewer than 2 common seeds or without any spread."""
    seeds = sorted(set(values[sampler]) & set(values[against]))
    a, b = (np.array([values[name][seed].value for seed in seeds]) for name in (sampler, against))
    if len(seeds) < 2:
        return None
    difference = np.log(a) - np.log(b) if scale == "log" else a - b
    spread = float(np.std(difference, ddof=1))
    if spread == 0:
        return None
    own = 1 - (1 - level) / n_comparisons
    least = minimal_detectable_difference(spread, len(seeds), level=own, power=_POWER)
    # a ratio beyond all numbers is as good as none
    least = math.exp(min(least, 700.0)) if scale == "log" else least
    needed = pairs_needed(float(np.mean(difference)), spread, level=own, power=_POWER)
    return Plan(sampler, against, len(seeds), least, needed, _POWER, own, scale)

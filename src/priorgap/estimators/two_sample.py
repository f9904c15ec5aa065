"""What a classifier between two sets of draws proves about their distributions: a lower bound of total variation."""

import math
from dataclasses import dataclass

from priorgap.estimators.uncertainty import Estimate


@dataclass(frozen=True)
class VariationBound:
    """2 accuracy - 1 of a classifier on draws it has not seen; its expectation is at most TV(q, p).

    Attributes:
        point: 2 hits / n - 1, and its binomial standard error.
        low: the exact lower confidence limit of TV(q, p).
        high: the exact upper limit of this classifier's 2 accuracy - 1, which is no upper limit of TV.
    """

    point: Estimate
    low: float
    high: float


def clopper_pearson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a binomial proportion.

    Each side errs with probability at most (1 - level) / 2, for every n and every proportion.

    **Source**: Clopper & Pearson (1934).

    Raises:
        ValueError: n < 1, hits outside 0..n, or a level outside (0, 1).

    Example:
        >>> [round(x, 3) for x in clopper_pearson(0, 10)]
        [0.0, 0.308]
    """
    from scipy import stats

    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"hits={hits}, n={n}: expected n >= 1 and hits from 0 to n")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level}: expected a number between 0 and 1")
    tail = 0.5 * (1 - level)
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(stats.beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def total_variation_bound(hits: int, n: int, level: float = 0.95) -> VariationBound:
    """Return 2 accuracy - 1 of a classifier that told draws of q from draws of p, with its exact limits.

    TV(q, p) = max over classifiers of 2 accuracy - 1, each row being of q or of p with probability 1/2; a single
    classifier gives at most that. 0 at chance level, negative below it. Exact when the side of each row was decided
    by a fair coin (then hits are binomial) and neither the classifier nor its choice has seen these rows.

    Args:
        hits: the number of rows that the classifier assigned correctly.
        n: the number of rows.
        level: the two-sided level; `low` holds with probability (1 + level) / 2.

    **Source**: Lopez-Paz & Oquab (2017), "Revisiting classifier two-sample tests".

    Example:
        >>> bound = total_variation_bound(90, 100)
        >>> round(bound.point.value, 2), bound.low > 0.6
        (0.8, True)
    """
    low, high = clopper_pearson(hits, n, level)
    share = (hits + 2) / (n + 4)
    error = 2 * math.sqrt(share * (1 - share) / (n + 4))
    return VariationBound(Estimate(2 * hits / n - 1, error), 2 * low - 1, 2 * high - 1)

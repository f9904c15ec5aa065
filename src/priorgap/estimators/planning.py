"""What a paired comparison over seeds can show: the detectable difference, and the seeds needed for a claim."""

import math

import numpy as np
import scipy

_MOST_PAIRS = 100_000
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)
_LEVELS, _WEIGHTS = 0.5 + 0.5 * _NODES, 0.5 * _WEIGHTS


def paired_power(effect: float, std_deviation: float, n: int, *, level: float = 0.95) -> float:
    """Return the probability that a two-sided paired t test of n pairs shows a true mean difference.

    With t = effect / (sd / sqrt(n)) as noncentrality: P(|T'| > t_crit), T' noncentral t with n - 1 degrees of
    freedom. 1 - level at effect 0. Differences are taken as normal.

    Raises:
        ValueError: n < 2, a standard deviation that is not positive, or a level outside (0, 1).

    Example:
        >>> round(paired_power(1.0, 1.0, 10), 2)
        0.8
    """
    _check(std_deviation, level)
    if n < 2:
        raise ValueError(f"n={n}: expected an integer >= 2")
    shift = abs(effect) / std_deviation * math.sqrt(n)
    critical = float(scipy.stats.t.ppf(0.5 + 0.5 * level, n - 1))
    # T' = (Z + shift) / u with u^2 = chi2 / (n - 1), so the probability is the mean of a normal probability over u's
    # quantiles. Library functions of the noncentral t give NaN far out.
    spread = np.sqrt(scipy.stats.chi2.ppf(_LEVELS, n - 1) / (n - 1))
    hit = scipy.stats.norm.sf(critical * spread - shift) + scipy.stats.norm.cdf(-critical * spread - shift)
    return float(_WEIGHTS @ hit)


def minimal_detectable_difference(
    std_deviation: float, n: int, *, level: float = 0.95, power: float = 0.8
) -> float:
    """Return the true mean difference that n pairs would show with probability `power`, in units of the values.

    On the log scale exp of it is a ratio. For n = 2 it is many standard deviations.

    Raises:
        ValueError: as `paired_power`, or a power not between 1 - level and 1.

    Example:
        >>> round(minimal_detectable_difference(1.0, 5), 2)
        1.68
    """
    _check(std_deviation, level, power)
    if n < 2:
        raise ValueError(f"n={n}: expected an integer >= 2")
    high = 1.0
    while paired_power(high, 1.0, n, level=level) < power:
        high *= 2
    found = scipy.optimize.brentq(
        lambda d: paired_power(d, 1.0, n, level=level) - power, 0.0, high, xtol=1e-10
    )
    return float(found) * std_deviation


def pairs_needed(
    effect: float, std_deviation: float, *, level: float = 0.95, power: float = 0.8
) -> int | None:
    """Return the least number of pairs that show a true difference `effect` with probability `power`.

    None above 100,000. With an estimated effect the number is only a plan, because the estimate is noisy.

    Raises:
        ValueError: as `minimal_detectable_difference`.

    Example:
        >>> pairs_needed(1.0, 1.0)
        10
    """
    _check(std_deviation, level, power)
    if effect == 0 or paired_power(effect, std_deviation, _MOST_PAIRS, level=level) < power:
        return None
    low, high = 1, 2
    while paired_power(effect, std_deviation, high, level=level) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if paired_power(effect, std_deviation, middle, level=level) < power:
            low = middle
        else:
            high = middle
    return high


def _check(std_deviation: float, level: float, power: float | None = None) -> None:
    if not 0 < std_deviation < math.inf:
        raise ValueError(f"std_deviation={std_deviation}: expected a positive number")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: expected a number between 0 and 1")
    if power is not None and not 1 - level < power < 1:
        raise ValueError(f"power={power}: expected a number between 1 - level and 1")

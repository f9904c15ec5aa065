"""All pairs of a cell's candidates as one family: intervals that hold together, and adjusted p-values.

The pairs of interest are chosen from the data (the leader against all others), so the family consists of all pairs:
intervals that hold together for all pairs also hold for the chosen ones.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy

from priorgap.core.measures import Scale
from priorgap.core.random import stream
from priorgap.verdict.contrasts import Contrast, Difference, back, paired, scaled_mean, within_model
from priorgap.verdict.readings import Readings

Pair = tuple[str, str]
# Below this p-value samplers are taken to vary over seeds by different amounts, and their variances are not pooled.
_EQUAL_BELOW = 0.05
_NULL_DRAWS = 4000


@dataclass(frozen=True)
class Family:
    """The differences of all pairs of a cell's candidates.

    Attributes:
        scale: "log" (effects are ratios) or "identity".
        level: the level at which all its intervals hold together, and all of the study's with them.
        n_cells: the number of cells in the study, among which 1 - level is divided.
        pooled: whether one residual variance is used for all samplers.
        df: the degrees of freedom of the standard errors; infinite where there is only one model.
    """

    scale: Scale
    level: float
    n_cells: int
    pooled: bool
    df: float
    n_samplers: int
    differences: Mapping[Pair, Difference]  # Keys are (a, b) with a before b by name.
    adjusted: Mapping[Pair, float]
    critical: float

    def error(self, sampler: str, against: str) -> float | None:
        """Return the standard error of a difference; None where it is unknown."""
        pair = (sampler, against) if (sampler, against) in self.differences else (against, sampler)
        return self.differences[pair].std_error

    def contrast(self, sampler: str, against: str) -> Contrast:
        """Return how one candidate differs from another."""
        pair, sign = ((sampler, against), 1.0)
        if pair not in self.differences:
            pair, sign = (against, sampler), -1.0
        found = self.differences[pair]
        mean = sign * found.mean
        interval = None
        if found.std_error is not None:
            half = self.critical * found.std_error
            interval = (back(mean - half, self.scale), back(mean + half, self.scale))
        p_value = self.adjusted[pair]
        return Contrast(
            sampler, against, back(mean, self.scale), interval, p_value, found.n_pairs, self.scale,
            shown=p_value < 1 - self.level,
        )  # fmt: skip


def family_of(values: Readings, *, scale: Scale, level: float, n_cells: int = 1) -> Family:
    """Compare all candidates of a cell with each other.

    With several models: differences are paired by seed. Where the residual variances of the samplers are not shown
    to be unequal they are pooled over samplers (two-way layout without interaction, (K - 1)(n - 1) degrees of
    freedom), and the intervals are Tukey's: single-step, from the studentized range. A pair whose own differences
    vary more than that uses its own spread instead. Where the variances are unequal, or samplers lack seeds, each
    pair has its own variance, and the intervals are Bonferroni's.

    With one model the within-model standard errors are used, taken as independent.

    The adjusted p-values are those of the intervals, the smaller of Tukey's and Bonferroni's times the number of
    cells: they are below 1 - level exactly where an interval excludes equality. Step-down values (Holm's) have
        slightly more power, but would show differences whose interval includes equality.

    Args:
        values: a reading by candidate and seed, two candidates or more.
        scale: the scale on which seeds are averaged.
        level: the level at which the intervals of all cells hold together.
        n_cells: the number of cells in the study.
    """
    names = sorted(values)
    seeds = {seed for by_seed in values.values() for seed in by_seed}
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    complete = all(set(by_seed) == seeds for by_seed in values.values())
    pooled, df = False, float(len(seeds) - 1)
    if len(seeds) == 1:
        found, df = {(a, b): within_model(values[a], values[b], scale) for a, b in pairs}, math.inf
        pooled = all(d.std_error is not None for d in found.values())  # Tukey-Kramer's method.
    else:
        scaled = {n: {s: scaled_mean(v, [s], scale) for s in v} for n, v in values.items()}
        found = {(a, b): paired(scaled[a], scaled[b]) for a, b in pairs}
        df = float(min((d.n_pairs for d in found.values() if d.n_pairs > 1), default=2) - 1)
        if complete:
            y = np.array([[scaled[name][seed] for seed in sorted(seeds)] for name in names])
            pooled = len(names) == 2 or p_equal_variances(y) >= _EQUAL_BELOW
            df = float((len(names) - 1) * (len(seeds) - 1)) if pooled else df
            found = _with_pooled(found, y, everywhere=pooled)
    alpha = (1 - level) / n_cells
    critical = _critical(len(names), df, alpha, len(pairs), pooled)
    raw = _p_values(found, df)
    adjusted = _adjusted(raw, found, n_cells, alpha, critical, (len(names), df) if pooled else None)
    return Family(scale, level, n_cells, pooled, df, len(names), found, adjusted, critical)


def _residuals(y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    centred = y - y.mean(1, keepdims=True) - y.mean(0, keepdims=True) + y.mean()
    return np.asarray(centred)


def _with_pooled(
    found: Mapping[Pair, Difference], y: npt.NDArray[np.float64], *, everywhere: bool
) -> dict[Pair, Difference]:
    """Return differences with the pooled error, or with a pair's own error where that is larger.

    Without `everywhere` this applies only to pairs without any variation, whose error of 0 is unknown and not small.
    """
    n_samplers, n_seeds = y.shape
    variance = float((_residuals(y) ** 2).sum()) / ((n_samplers - 1) * (n_seeds - 1))
    error = math.sqrt(2 * variance / n_seeds)
    # An error that is due to rounding alone counts as 0.
    error = error if error > 1e-12 * max(1.0, float(np.abs(y).max())) else 0.0
    return {
        pair: replace(d, std_error=max(error, d.std_error or 0.0) or None)
        if everywhere or d.std_error is None
        else d
        for pair, d in found.items()
    }


def _p_values(found: Mapping[Pair, Difference], df: float) -> dict[Pair, float]:
    t = [0.0 if d.std_error is None else abs(d.mean) / d.std_error for d in found.values()]
    return dict(zip(found, (2 * scipy.stats.t.sf(t, df)).tolist(), strict=True))


@lru_cache(maxsize=512)
def _critical(n_samplers: int, df: float, alpha: float, n_pairs: int, tukey: bool) -> float:
    """Return the half width of the intervals, in standard errors."""
    bonferroni = float(scipy.stats.t.isf(alpha / (2 * n_pairs), df))
    if not tukey or n_samplers == 2:
        return bonferroni
    return min(bonferroni, float(scipy.stats.studentized_range.isf(alpha, n_samplers, df)) / math.sqrt(2))


def _adjusted(
    raw: Mapping[Pair, float],
    found: Mapping[Pair, Difference],
    n_cells: int,
    alpha: float,
    critical: float,
    tukey: tuple[int, float] | None,
) -> dict[Pair, float]:
    adjusted = {}
    for pair, one in raw.items():
        p = len(raw) * one
        error = found[pair].std_error
        excluded = error is not None and abs(found[pair].mean) > critical * error
        if tukey is not None and error is not None and excluded and p >= alpha:
            # The integral is slow, so it is computed only where it can change the result.
            range_p = float(
                scipy.stats.studentized_range.sf(abs(found[pair].mean) / error * math.sqrt(2), *tukey)
            )
            p = min(p, range_p)
        adjusted[pair] = min(1.0, n_cells * p)
    return adjusted


def p_equal_variances(y: npt.NDArray[np.float64]) -> float:
    """Return the p-value of equal residual variances of samplers (strictly: of sphericity), [samplers, seeds].

    This is John's test, the locally best invariant one, on the covariance of contrasts; it exists even with fewer
    seeds than samplers. Its null distribution has no parameters and is simulated. Returns 1 with two seeds, which are
    not enough to test it.

    **Source**: John (1971), "Some optimal multivariate tests"; Ledoit & Wolf (2002) for more variables than rows.
    """
    n_samplers, n_seeds = y.shape
    if n_samplers < 3 or n_seeds < 3:
        return 1.0
    statistic = _spherical(_residuals(y)[None])[0]
    if not math.isfinite(statistic):
        return 1.0
    null = _null_of_spherical(n_samplers, n_seeds)
    return float((1 + np.count_nonzero(null >= statistic)) / (1 + len(null)))


def _spherical(residuals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return tr(S²) / tr(S)² of the residuals' covariances [draws, samplers, seeds]."""
    # The seeds × seeds matrix has the same traces and is smaller.
    inner = residuals.swapaxes(1, 2) @ residuals
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((inner**2).sum((1, 2)) / np.trace(inner, axis1=1, axis2=2) ** 2)


@lru_cache(maxsize=64)
def _null_of_spherical(n_samplers: int, n_seeds: int) -> npt.NDArray[np.float64]:
    import torch

    generator = stream(0, "equal variances", n_samplers, n_seeds)
    y = torch.randn(_NULL_DRAWS, n_samplers, n_seeds, generator=generator, dtype=torch.float64).numpy()
    centred = y - y.mean(1, keepdims=True) - y.mean(2, keepdims=True) + y.mean((1, 2), keepdims=True)
    return _spherical(centred)


def rank_agreement(means: Sequence[Sequence[float]]) -> float | None:
    """Return Kendall's tau of two rankings of the same samplers; None with fewer than three."""
    first, second = means
    if len(first) < 3:
        return None
    tau = float(scipy.stats.kendalltau(first, second).statistic)
    return None if math.isnan(tau) else tau

"""Numbers with their standard errors: means, proportions, blocks, the jackknife, t intervals, Holm's correction."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_vector


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error; None where no valid standard error is known."""

    value: float
    std_error: float | None = None

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Return the two-sided normal interval, or None without a standard error."""
        if self.std_error is None:
            return None
        half = normal_quantile(0.5 + 0.5 * level) * self.std_error
        return self.value - half, self.value + half


def normal_quantile(level: float) -> float:
    """Return the `level` quantile of N(0, 1).

    Raises:
        ValueError: the level is not inside (0, 1).

    Example:
        >>> round(normal_quantile(0.975), 2)
        1.96
    """
    from scipy import stats

    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level}: expected a number between 0 and 1")
    return float(stats.norm.ppf(level))


def mean_estimate(x: Float[Tensor, "n"]) -> Estimate:
    """Estimate a mean from independent values: mean, and sd / sqrt(n) (None for n = 1). Unbiased.

    Example:
        >>> mean_estimate(torch.tensor([1.0, 2.0, 3.0])).value
        2.0
    """
    check_vector("x", x)
    x = x.double()
    std_error = float(x.std()) / math.sqrt(len(x)) if len(x) > 1 else None
    return Estimate(float(x.mean()), std_error)


def proportion_estimate(hits: int | float, n: int) -> Estimate:
    """Estimate a proportion: hits / n, with the standard error at (hits + 2) / (n + 4).

    The plain sqrt(p (1 - p) / n) is 0 at p = 0 and p = 1, where the proportion is not known exactly.

    **Source**: Agresti & Coull (1998), "Approximate is better than exact".

    Raises:
        ValueError: n < 1 or hits outside 0..n.

    Example:
        >>> one = proportion_estimate(0, 96)
        >>> one.value, round(one.std_error, 3)  # 0 of 96 is not known exactly
        (0.0, 0.014)
    """
    if n < 1:
        raise ValueError(f"n={n}: expected an integer >= 1")
    if not 0 <= hits <= n:
        raise ValueError(f"hits={hits}: expected a number from 0 to n={n}")
    shrunk = (hits + 2) / (n + 4)
    return Estimate(hits / n, math.sqrt(shrunk * (1 - shrunk) / (n + 4)))


def quantile_estimate(x: Float[Tensor, "n"], level: float) -> Estimate:
    """Estimate a quantile from independent values, with the standard error of the values around it.

    The value of rank ceil(level n); the error is (x_(u) - x_(l)) / 2, ranks u and l a binomial's standard deviation
    away. Biased upwards by at most one rank.

    **Source**: Woodruff (1952), "Confidence intervals for medians and other position measures".

    Raises:
        ValueError: the level is not inside (0, 1), or there is no value.

    Example:
        >>> quantile_estimate(torch.arange(1.0, 101.0), 0.5).value
        50.0
    """
    check_vector("x", x)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level}: expected a number between 0 and 1")
    ordered, n = x.double().sort().values, len(x)
    spread = math.sqrt(n * level * (1 - level))

    def of_rank(rank: float) -> float:
        return float(ordered[min(max(math.ceil(rank), 1), n) - 1])

    value = of_rank(level * n)
    if n < 2:
        return Estimate(value)
    return Estimate(value, 0.5 * (of_rank(level * n + spread) - of_rank(level * n - spread)))


def block_estimate(values: Float[Tensor, "b"]) -> Estimate:
    """Estimate from the values of one statistic on disjoint blocks: their mean, and sd / sqrt(b).

    Valid for any statistic, as blocks share no observation. Its bias is that of one block, not of the whole.

    Raises:
        ValueError: fewer than 2 blocks.

    Example:
        >>> block_estimate(torch.tensor([4.0, 5.0, 6.0])).value
        5.0
    """
    check_vector("values", values, min_length=2)
    return mean_estimate(values)


def t_interval(x: Sequence[float] | Float[Tensor, "n"], level: float = 0.95) -> tuple[float, float, float]:
    """Return (mean, low, high) of Student's t interval for the mean of independent values.

    Raises:
        ValueError: fewer than 2 values, or a level outside (0, 1).

    Example:
        >>> [round(x, 2) for x in t_interval([1.0, 2.0, 3.0])]
        [2.0, -0.48, 4.48]
    """
    from scipy import stats

    values = torch.as_tensor(x, dtype=torch.float64)
    check_vector("x", values, min_length=2)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level}: expected a number between 0 and 1")
    n, mean = len(values), float(values.mean())
    half = float(stats.t.ppf(0.5 + 0.5 * level, n - 1)) * float(values.std()) / math.sqrt(n)
    return mean, mean - half, mean + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the given order.

    adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)); rejecting where adjusted <= a keeps the
    family-wise error at a, whatever the dependence.

    **Source**: Holm (1979), "A simple sequentially rejective multiple test procedure".

    Raises:
        ValueError: a p-value outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    for p in p_values:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p_values has {p}: expected numbers from 0 to 1")
    m, running = len(p_values), 0.0
    adjusted = [0.0] * m
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (m - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def random_groups(n: int, n_groups: int, *, generator: torch.Generator) -> Int[Tensor, "n"]:
    """Assign n rows at random to groups 0..n_groups-1 whose sizes differ by at most one.

    Raises:
        ValueError: n_groups is not from 2 to n.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> random_groups(7, 3, generator=g).bincount().tolist()
        [3, 2, 2]
    """
    if not 2 <= n_groups <= n:
        raise ValueError(f"n_groups={n_groups}: expected an integer from 2 to n={n}")
    group = torch.empty(n, dtype=torch.long)
    group[torch.randperm(n, generator=generator)] = torch.arange(n) % n_groups
    return group


def jackknife_estimate(full: float, left_out: Float[Tensor, "g"]) -> Estimate:
    """Combine a statistic on all rows with its values with one of g equal groups left out.

    value = g * full - (g - 1) * mean(left_out): the bias of order 1/n is gone.
    std_error = sqrt((g - 1) / g * sum (left_out - mean)^2).

    **Source**: Quenouille (1956); Shao & Tu (1995), "The Jackknife and Bootstrap", chapter 2.

    Example:
        >>> jackknife_estimate(10.0, torch.tensor([9.0, 10.0, 11.0])).value
        10.0
    """
    check_vector("left_out", left_out, min_length=2)
    left_out = left_out.double()
    g, mean = len(left_out), left_out.mean()
    spread = (g - 1) / g * (left_out - mean).square().sum()
    return Estimate(g * full - (g - 1) * float(mean), math.sqrt(float(spread)))


def delete_group_jackknife(
    statistic: Callable[[Int[Tensor, "k"]], float], n: int, n_groups: int, *, generator: torch.Generator
) -> Estimate:
    """Debias a statistic of n rows and estimate its standard error by leaving out random groups of rows.

    Valid for smooth statistics only, so not for medians, quantiles or nearest neighbours.

    Args:
        statistic: takes the indices of the rows to use.
        n: the number of rows.
        n_groups: the number of groups, from 2 to n.
        generator: assigns rows to groups.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        >>> round(delete_group_jackknife(lambda rows: float(x[rows].mean()), 6, 3, generator=g).value, 6)
        3.5
    """
    group = random_groups(n, n_groups, generator=generator)
    rows = torch.arange(n)
    left_out = torch.tensor([statistic(rows[group != g]) for g in range(n_groups)], dtype=torch.float64)
    return jackknife_estimate(statistic(rows), left_out)

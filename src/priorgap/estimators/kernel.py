"""The kernel distance (KID) between two sets of features, with limits that hold at the null and away from it."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.uncertainty import Estimate, normal_quantile

# The side of a square of float64 kernel values that stays in a core's cache while it is cubed and summed.
_TILE = 256
# With fewer rows the spread of the kernel's row means cannot be separated from that of its entries.
_LEAST = 4


@dataclass(frozen=True, eq=False)
class WithinSums:
    """Kernel sums within one set; storing them saves a third of each further distance to that set.

    Attributes:
        row: each row's mean kernel with the other rows.
        square: mean square of the kernel over pairs of different rows.
    """

    row: Float[Tensor, "n"]
    square: float


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance and its limits.

    Attributes:
        value: the distance with its standard error at the observed distributions; None for sets of fewer than 4 rows.
        limits: the interval; it is not symmetric about the value. None for sets of fewer than 4 rows.
    """

    value: Estimate
    limits: tuple[float, float] | None


def within_sums(x: Float[Tensor, "n D"]) -> WithinSums:
    """Return the row means and the mean square of (x.y / D + 1)^3 over pairs of different rows of one set.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> round(within_sums(torch.zeros(3, 2)).square, 6)  # (0 + 1)^3, squared
        1.0
    """
    check_matrix("x", x, min_rows=2)
    n = len(x)
    total, _, square = _sums(x, None)
    return WithinSums(total / (n - 1), square / (n * (n - 1)))


def kernel_distance(
    a: Float[Tensor, "n D"],
    b: Float[Tensor, "m D"],
    *,
    within_b: WithinSums | None = None,
    level: float = 0.95,
) -> KernelDistance:
    """Return the kernel distance (KID): the unbiased squared MMD with kernel (x.y / D + 1)^3.

    The value is the U-statistic over all pairs: negative values are usual when the distributions are equal. Its
    variance by Hoeffding's decomposition is F + S, F = 4 V_a / n + 4 V_b / m with V_a the variance over x of E k(x,
    a) - E k(x, b), S = 2 S_aa / (n (n-1)) + 2 S_bb / (m (m-1)) + 4 S_ab / (n m) with S the mean squares of the doubly
    centred kernel. V is corrected for the noise of the means that estimate it. The standard error is
    sqrt(max(F, 0) + S). F vanishes where the distributions are equal, and its estimate rises and falls with the
    value's own error there, so that an interval of that standard error would always hold 0. The limits are the t with
    (value - t)^2 <= z^2 (S + F t / value): all distances that are compatible with the value if F is proportional to
    the distance. For a value not above 0, F / value is 4 (1/n + 1/m) times the root of the centred kernel's mean
    square, the most it can be for distributions that are nearly equal.

    **Source**: Bińkowski et al. (2018), "Demystifying MMD GANs", for the kernel; the peers average over overlapping
    subsets, whose spread is not a standard error.

    Args:
        a, b: two sets.
        within_b: `within_sums(b)`, where it is known already.
        level: the confidence level of the limits.

    Returns:
        Value with standard error and limits, in the kernel's unit (none); 0 at equal distributions.

    Raises:
        ValueError: fewer than 2 rows in a set, different widths, or a `within_b` of another set's size.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> a, b = torch.randn(300, 2, generator=g), torch.randn(300, 2, generator=g)
        >>> low, high = kernel_distance(a, b).limits
        >>> low < 0.0 < high, kernel_distance(a, b + 2.0).limits[0] > 0.0
        (True, True)
    """
    check_matrix("a", a, min_rows=2)
    check_matrix("b", b, min_rows=2, n_columns=a.shape[1])
    of_a, of_b = within_sums(a), within_sums(b) if within_b is None else within_b
    n, m = len(a), len(b)
    if len(of_b.row) != m:
        raise ValueError(f"within_b has {len(of_b.row)} rows: expected {m}, as b has")
    row_ab, row_ba, square = _sums(a, b)
    mean_ab, mean_ba = row_ab / m, row_ba / n
    value = float(of_a.row.mean() + of_b.row.mean() - 2 * mean_ab.mean())
    if min(n, m) < _LEAST:
        return KernelDistance(Estimate(value), None)
    spread_aa = _centred(of_a.square, of_a.row, of_a.row)
    spread_bb = _centred(of_b.square, of_b.row, of_b.row)
    spread_ab = _centred(square / (n * m), mean_ab, mean_ba)
    first_a = float((of_a.row - mean_ab).var()) - spread_aa / n - spread_ab / m
    first_b = float((of_b.row - mean_ba).var()) - spread_bb / m - spread_ab / n
    first = max(4 * first_a / n + 4 * first_b / m, 0.0)
    second = 2 * spread_aa / (n * (n - 1)) + 2 * spread_bb / (m * (m - 1)) + 4 * spread_ab / (n * m)
    limits = _limits(value, first, second, normal_quantile(0.5 + 0.5 * level))
    return KernelDistance(Estimate(value, math.sqrt(first + second)), limits)


def _limits(value: float, first: float, second: float, z: float) -> tuple[float, float]:
    """Return the least and the largest t with (value - t)^2 <= z^2 (second + slope * max(t, 0))."""
    # `second` is 2 (1/n + 1/m)^2 times the kernel's mean square, so this is 4 (1/n + 1/m) times the root of that.
    slope = first / value if value > 0 else 4 * math.sqrt(0.5 * second)
    reach, middle = z * math.sqrt(second), value + 0.5 * z * z * slope
    root = middle * middle - value * value + reach * reach
    half = math.sqrt(max(root, 0.0))
    # For t below 0 the variance is that of equal distributions.
    low = middle - half if value > reach else value - reach
    high = max(middle + half, value + reach) if root >= 0 else value + reach
    return low, high


def _centred(mean_square: float, left: Tensor, right: Tensor) -> float:
    """Return the mean square of a kernel minus its row and column means; 0 where rounding makes it negative."""
    grand = float(left.mean())
    return max(mean_square - float(left.square().mean()) - float(right.square().mean()) + grand**2, 0.0)


def _sums(
    a: Tensor, b: Tensor | None, *, tile: int = _TILE
) -> tuple[Float[Tensor, "n"], Float[Tensor, "m"], float]:
    """Return row sums, column sums and the sum of squares of the kernel; without b, of a with itself except i = j."""
    left = a.double()
    right = left if b is None else b.double()
    over_b = torch.zeros(len(left), dtype=torch.float64)
    over_a = over_b if b is None else torch.zeros(len(right), dtype=torch.float64)
    columns = [(j, right[j : j + tile].T.contiguous()) for j in range(0, len(right), tile)]
    one, square = torch.ones((), dtype=torch.float64), 0.0
    for i in range(0, len(left), tile):
        rows = left[i : i + tile]
        for j, transposed in columns:
            # The kernel of a set with itself is symmetric, so that half of its tiles suffice.
            if b is None and j < i:
                continue
            kernel = torch.addmm(one, rows, transposed, alpha=1 / left.shape[1]).pow_(3)
            on_diagonal = b is None and j == i
            if on_diagonal:
                kernel.fill_diagonal_(0)
            over_b[i : i + tile] += kernel.sum(1)
            if not on_diagonal:
                over_a[j : j + tile] += kernel.sum(0)
            twice = b is None and not on_diagonal
            square += (2 if twice else 1) * float(torch.linalg.vector_norm(kernel)) ** 2
    return over_b, over_a, square

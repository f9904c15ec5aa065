"""The standard error of the kernel distance (KID), right where the laws differ and where they do not."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix


def kernel_standard_error(a: Float[Tensor, "n D"], b: Float[Tensor, "m D"]) -> float:
    """Return the standard error of the unbiased squared MMD with kernel (x.y / D + 1)^3.

    Hoeffding's decomposition: 4 V_a / n + 4 V_b / m + 2 S_aa / (n (n-1)) + 2 S_bb / (m (m-1)) + 4 S_ab / (n m),
    V_a the variance over x of E k(x, a) - E k(x, b), S the mean squares of the doubly centred kernel. The
    first two vanish where the laws are equal; disjoint blocks see the last three as larger than they are.
    V is corrected for the noise of the means that estimate it, and cut at 0.

    Raises:
        ValueError: fewer than 4 rows in a set.
    """
    check_matrix("a", a, min_rows=4)
    check_matrix("b", b, min_rows=4, n_columns=a.shape[1])
    n, m = len(a), len(b)
    row_aa, _, square_aa = _sums(a, a, diagonal=False)
    row_bb, _, square_bb = _sums(b, b, diagonal=False)
    row_ab, row_ba, square_ab = _sums(a, b, diagonal=True)
    mean_aa, mean_bb, mean_ab, mean_ba = row_aa / (n - 1), row_bb / (m - 1), row_ab / m, row_ba / n
    spread_aa = _centred(square_aa / (n * (n - 1)), mean_aa, mean_aa)
    spread_bb = _centred(square_bb / (m * (m - 1)), mean_bb, mean_bb)
    spread_ab = _centred(square_ab / (n * m), mean_ab, mean_ba)
    first_a = max(float((mean_aa - mean_ab).var()) - spread_aa / n - spread_ab / m, 0.0)
    first_b = max(float((mean_bb - mean_ba).var()) - spread_bb / m - spread_ab / n, 0.0)
    second = 2 * spread_aa / (n * (n - 1)) + 2 * spread_bb / (m * (m - 1)) + 4 * spread_ab / (n * m)
    return math.sqrt(4 * first_a / n + 4 * first_b / m + second)


def _centred(mean_square: float, left: Tensor, right: Tensor) -> float:
    """Return the mean square of a kernel less its row and column means, 0 where rounding says less."""
    grand = float(left.mean())
    return max(mean_square - float(left.square().mean()) - float(right.square().mean()) + grand**2, 0.0)


def _sums(
    a: Tensor, b: Tensor, *, diagonal: bool, chunk: int = 1024
) -> tuple[Float[Tensor, "n"], Float[Tensor, "m"], float]:
    """Return row sums, column sums and the sum of squares of the kernel, without equal indices unless `diagonal`."""
    width, right = a.shape[1], b.double()
    rows, columns, square = [], torch.zeros(len(b), dtype=torch.float64), 0.0
    one = torch.ones((), dtype=torch.float64)
    for start in range(0, len(a), chunk):
        kernel = torch.addmm(one, a[start : start + chunk].double(), right.T, alpha=1 / width).pow_(3)
        if not diagonal:
            kernel.diagonal(offset=start).zero_()
        rows.append(kernel.sum(1))
        columns += kernel.sum(0)
        square += float(kernel.square_().sum())
    return torch.cat(rows), columns, square

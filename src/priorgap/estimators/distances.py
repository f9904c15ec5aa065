"""Distances between draws of q and of p in latent space, with their values when the distributions are equal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix, check_vector
from priorgap.estimators.uncertainty import Estimate

# Mean and standard deviation of Kolmogorov's distribution.
_KOLMOGOROV_MEAN = math.sqrt(math.pi / 2) * math.log(2)
_KOLMOGOROV_STD = math.sqrt(math.pi**2 / 12 - _KOLMOGOROV_MEAN**2)


@dataclass(frozen=True)
class NullTest:
    """A distance compared with its values under equal distributions.

    Attributes:
        excess: the distance minus the mean of the null; around 0 at equal distributions.
        p_value: probability of so large a distance at equal distributions.
    """

    excess: Estimate
    p_value: float


def minus_null(observed: Estimate, null: Sequence[float]) -> NullTest:
    """Return a distance minus the mean of its null values, and its rank among them as a p-value.

    The standard error combines the distance's own with the spread of the null values: near equal distributions the
    distance's first derivative vanishes, and its scatter is then that of the null. p = (1 + #{null >= observed}) / (1
    + repeats), exact when the null values are exchangeable with the observed one at equal distributions.

    Raises:
        ValueError: fewer than 2 null values.

    Example:
        >>> minus_null(Estimate(5.0), [1.0, 2.0, 3.0]).p_value  # larger than all three
        0.25
    """
    values = torch.tensor(list(null), dtype=torch.float64)
    check_vector("null", values, min_length=2)
    spread = float(values.std())
    at_least = int((values >= observed.value).sum())
    error = math.hypot(observed.std_error or 0.0, spread * math.sqrt(1 + 1 / len(values)))
    return NullTest(
        Estimate(observed.value - float(values.mean()), error), (1 + at_least) / (1 + len(values))
    )


def squared_mmd(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], *, scale: float | None = None) -> Estimate:
    """Return the unbiased squared MMD with the kernel C / (C + |x - y|²), C = `scale`, by default 2 d.

    U-statistic over all pairs: its mean is 0 at equal distributions, where negative values are usual, and positive
    at any other pair (the kernel is characteristic). No unit. The standard error is that of its linear part, 4 Var
    h_a / n + 4 Var h_b / m, h_a(x) = E k(x, a) - E k(x, b); it vanishes at equal distributions: see `minus_null`.

    **Source**: Gretton et al. (2012), "A kernel two-sample test"; kernel and C as in Tolstikhin et al. (2018).

    Raises:
        ValueError: sets of fewer than 2 rows, or a scale that is not positive.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> a = torch.randn(200, 2, generator=g)
        >>> squared_mmd(a, a + 5.0).value > 0.5
        True
    """
    check_matrix("a", a, min_rows=2)
    check_matrix("b", b, min_rows=2, n_columns=a.shape[1])
    scale = 2.0 * a.shape[1] if scale is None else scale
    if not 0 < scale < math.inf:
        raise ValueError(f"scale={scale}: expected a positive number")
    n, m = len(a), len(b)
    across, back = _kernel_sums(a, b, scale)
    # k(x, x) = 1 is left out of the sums within one set.
    within_a = (_kernel_sums(a, a, scale)[0] - 1) / (n - 1)
    within_b = (_kernel_sums(b, b, scale)[0] - 1) / (m - 1)
    h_a, h_b = within_a - across / m, within_b - back / n
    value = float(within_a.mean() + within_b.mean() - 2 * across.mean() / m)
    return Estimate(value, math.sqrt(4 * float(h_a.var() / n + h_b.var() / m)))


def _kernel_sums(a: Tensor, b: Tensor, scale: float, *, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """Return the kernel's sums over b for each row of a, and over a for each row of b, a chunk at a time."""
    left, right = a.double(), b.double()
    square = right.square().sum(1)
    over_b, over_a = torch.empty(len(a), dtype=torch.float64), torch.zeros(len(b), dtype=torch.float64)
    for start in range(0, len(a), chunk):
        rows = left[start : start + chunk]
        distance = torch.addmm(square[None, :], rows, right.T, alpha=-2) + rows.square().sum(1)[:, None]
        kernel = scale / (scale + distance.clamp_min_(0))
        over_b[start : start + chunk] = kernel.sum(1)
        over_a += kernel.sum(0)
    return over_b, over_a


def sliced_wasserstein(
    a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], *, generator: torch.Generator, n_projections: int = 100
) -> Estimate:
    """Return the squared sliced Wasserstein-2 distance: W2² of the projections, averaged over directions.

    In one dimension W2² is the mean squared difference of sorted values. Latent units squared; for N(m, I) against
    N(0, I) it is |m|² / d. Biased upwards: positive at equal distributions, so use it with `minus_null`. The
    standard error is that of Kantorovich's potentials phi with phi' = 2 (x - T(x)), over both sets, directions held
    fixed; it vanishes at equal distributions.

    **Source**: Rabin et al. (2012) for the distance; del Barrio & Loubes (2019) for its limit distribution.

    Raises:
        ValueError: sets of fewer than 2 rows or of different sizes, or n_projections < 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> a = torch.randn(200, 2, generator=g)
        >>> round(sliced_wasserstein(a, a, generator=g).value, 6)
        0.0
    """
    check_matrix("a", a, min_rows=2)
    check_matrix("b", b, min_rows=2, n_columns=a.shape[1])
    if len(a) != len(b):
        raise ValueError(f"b has {len(b)} rows: expected {len(a)}, as a has")
    if n_projections < 1:
        raise ValueError(f"n_projections={n_projections}: expected an integer >= 1")
    direction = torch.randn(a.shape[1], n_projections, generator=generator, dtype=torch.float64)
    direction /= direction.norm(dim=0)
    (x, order_x), (y, order_y) = ((t.double() @ direction).sort(dim=0) for t in (a, b))
    variance = 0.0
    for own, other, order in ((x, y, order_x), (y, x, order_y)):
        potential = torch.empty_like(own).scatter_(0, order, _potential(own, other))
        variance += float(potential.mean(1).var()) / len(a)
    return Estimate(float((x - y).square().mean()), math.sqrt(variance))


def _potential(x: Float[Tensor, "n L"], target: Float[Tensor, "n L"]) -> Float[Tensor, "n L"]:
    """Return phi at the sorted x, with phi' = 2 (x - target), by the trapezoid rule from the lowest."""
    slope = 2 * (x - target)
    step = 0.5 * (slope[1:] + slope[:-1]) * (x[1:] - x[:-1])
    return torch.cat([torch.zeros_like(x[:1]), step.cumsum(0)])


def radius_test(z: Float[Tensor, "n d"]) -> NullTest:
    """Return the Kolmogorov distance of |z|² from chi-squared with d degrees, minus its null mean.

    In many dimensions N(0, I) is a thin shell of radius sqrt(d) (the soap bubble): a distribution may have its mean
    and covariance and sit inside or outside the shell. 0 to 1, around 0 at equal distributions (0.87 / sqrt n, the
    mean of Kolmogorov's distribution, is taken off). It sees the radius alone: a distribution on the shell with holes
    passes.

    Returns:
        The excess (its standard error is binomial at the point of the largest gap, at least the null's), and
        the p-value of the one-sample Kolmogorov-Smirnov test.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> z = torch.randn(1000, 4, generator=g)
        >>> radius_test(z).p_value > 0.01, radius_test(2 * z).p_value < 0.01
        (True, True)
    """
    from scipy import stats

    check_matrix("z", z, min_rows=2)
    n, d = z.shape
    found = stats.kstest(z.double().square().sum(1).numpy(), stats.chi2(d).cdf)
    root = math.sqrt(n)
    share = float(stats.chi2(d).cdf(found.statistic_location)) + found.statistic_sign * found.statistic
    share = min(max(share, 0.0), 1.0)
    error = max(math.sqrt(share * (1 - share)), _KOLMOGOROV_STD) / root
    return NullTest(Estimate(float(found.statistic) - _KOLMOGOROV_MEAN / root, error), float(found.pvalue))

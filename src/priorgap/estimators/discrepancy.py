"""The Fréchet distance (FID) between two sets of features, with its uncertainty and floors."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.gaussian import sample_moments
from priorgap.estimators.span import in_span
from priorgap.estimators.uncertainty import Estimate

# Below this many null biases a value has no valid standard error by influence functions.
_FLOOR_MULTIPLE = 5.0
_EPS = torch.finfo(torch.float64).eps


def frechet_distance(
    mean_a: Float[Tensor, "D"],
    cov_a: Float[Tensor, "D D"],
    mean_b: Float[Tensor, "D"],
    cov_b: Float[Tensor, "D D"],
) -> float:
    """Return the squared Fréchet (2-Wasserstein) distance between two Gaussians.

    |ma - mb|^2 + tr Ca + tr Cb - 2 tr (A' Cb A)^(1/2), with Ca = A A'. Float64; A is a Cholesky factor, or
    comes from an eigendecomposition where Ca is singular. Coordinates without variance in one of the two add
    nothing to the last trace and are left out of it. Units: features squared; >= 0, 0 for equal moments.

    **Source**: Dowson & Landau (1982), "The Fréchet distance between multivariate normal distributions".

    Example:
        >>> mean, cov = torch.zeros(2), torch.eye(2)
        >>> round(frechet_distance(mean, cov, mean + 3.0, 4 * cov), 6)  # 2 · 3² + 2 (2 - 1)²
        20.0
    """
    return _Transport(mean_a, cov_a, mean_b, cov_b, vectors=False).distance


class _Transport:
    """The Fréchet distance of two Gaussians and, with `vectors`, its derivative with respect to both."""

    def __init__(
        self, mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor, *, vectors: bool
    ) -> None:
        if not mean_a.shape == mean_b.shape == cov_a.shape[:1] == cov_b.shape[:1]:
            shapes = [tuple(t.shape) for t in (mean_a, cov_a, mean_b, cov_b)]
            raise ValueError(f"moments have shapes {shapes}: expected [D], [D, D], [D], [D, D] of one D")
        mean_a, cov_a, mean_b, cov_b = (t.detach().cpu().double() for t in (mean_a, cov_a, mean_b, cov_b))
        self.shift = mean_a - mean_b
        self.alive = ((cov_a.diagonal() > 0) & (cov_b.diagonal() > 0)).nonzero()[:, 0]
        sub_a, sub_b = cov_a, cov_b
        if len(self.alive) < len(cov_a):
            sub_a, sub_b = cov_a[self.alive][:, self.alive], cov_b[self.alive][:, self.alive]
        self.factor, self.inverse = _factor(sub_a, inverse=vectors)
        middle = _congruence(self.factor, sub_b)
        if vectors:
            roots, self.vectors = torch.linalg.eigh(middle, UPLO="L")
        else:
            roots = torch.linalg.eigvalsh(middle, UPLO="L")
        self.roots = roots.clamp_min(0).sqrt()
        total = cov_a.diagonal().sum() + cov_b.diagonal().sum() - 2 * self.roots.sum()
        self.distance = max(0.0, float(self.shift.square().sum() + total))

    def influence(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return the influence of each (centred) row of a and of b on the distance, up to constants.

        d distance / d Ca = I - T with T = A^-T M^(1/2) A^-1, M = A' Cb A; for Cb the same with T's inverse,
        A M^(-1/2) A'. Both are applied to rows, so neither T nor an inverse of a covariance is formed.
        """
        along_a = a[:, self.alive] @ self.inverse.T @ self.vectors
        along_b = b[:, self.alive] @ self.factor @ self.vectors
        top = self.roots.max() if len(self.roots) else torch.tensor(0.0)
        kept = self.roots > math.sqrt(_EPS) * top
        pulled_a = (along_a.square() * self.roots).sum(1)
        pulled_b = (along_b[:, kept].square() / self.roots[kept]).sum(1)
        return (
            a.square().sum(1) - pulled_a + 2 * (a @ self.shift),
            b.square().sum(1) - pulled_b - 2 * (b @ self.shift),
        )


def _factor(cov: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
    """Return A with cov = A A', and its (pseudo-)inverse if asked; A has as many columns as the rank of cov."""
    from scipy.linalg import lapack

    # SciPy's LAPACK works on columns, as torch's does, but needs no copies for a symmetric matrix.
    if len(cov):
        columns, failed = lapack.dpotrf(cov.T.numpy(), lower=1, clean=1)
        factor = torch.from_numpy(columns)
    if len(cov) and failed == 0 and _well_conditioned(factor, cov):
        identity = torch.eye(len(cov) if inverse else 0, len(cov), dtype=cov.dtype).T
        return factor, torch.linalg.solve_triangular(factor, identity, upper=False)
    values, vectors = torch.linalg.eigh(cov)
    kept = values > len(cov) * _EPS * values.max() if len(cov) else values > 0
    root, vectors = values[kept].sqrt(), vectors[:, kept]
    return vectors * root, (vectors / root).T


def _congruence(factor: Tensor, cov: Tensor) -> Tensor:
    """Return A' C A; only its lower triangle is guaranteed, because the eigensolvers read no more.

    For a Cholesky factor LAPACK's reduction of a generalised problem does it in n^3 operations, a quarter of
    those of the two products.
    """
    from scipy.linalg import lapack

    if len(cov) == 0 or factor.shape[0] != factor.shape[1] or bool((factor[:1, 1:] != 0).any()):
        return factor.T @ cov @ factor
    middle, _ = lapack.dsygst(cov.T.numpy(), factor.numpy(), itype=2, lower=1)
    return torch.from_numpy(middle)


def _well_conditioned(factor: Tensor, cov: Tensor) -> bool:
    """Return whether no pivot is so small that rounding errors would dominate the factor's inverse."""
    return bool(factor.diagonal().min().square() > 1e-10 * cov.diagonal().max())


def frechet_from_features(a: Float[Tensor, "n D"], b: Float[Tensor, "m D"]) -> Estimate:
    """Return the Fréchet distance of two feature sets (FID), with a standard error for the draw of both sets.

    The standard error is sqrt(Var(IF_a) / n + Var(IF_b) / m), IF_a(x) = 2 (ma - mb)'(x - ma) +
    (x - ma)' (I - T) (x - ma), T the optimal transport map's matrix from a to b (see `_Transport.influence`).
    It is None below 5 null biases (`frechet_null_bias`), where the derivative vanishes: use
    `frechet_null_interval` there. Biased upwards, by about the null bias; more when n or m is below D. The work grows
    with the cube of D, or of n + m where that is smaller.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> a = torch.randn(2000, 2, generator=g)
        >>> round(frechet_from_features(a, a + 3.0).value, 2)
        18.0
    """
    check_matrix("a", a, min_rows=2)
    check_matrix("b", b, min_rows=2, n_columns=a.shape[1])
    a, b = in_span(a, b)
    (mean_a, cov_a), (mean_b, cov_b) = sample_moments(a), sample_moments(b)
    transport = _Transport(mean_a, cov_a, mean_b, cov_b, vectors=True)
    pooled = (len(a) * cov_a + len(b) * cov_b) / (len(a) + len(b))
    if transport.distance < _FLOOR_MULTIPLE * frechet_null_bias(pooled, len(a), len(b)):
        return Estimate(transport.distance)
    influence_a, influence_b = transport.influence(a.double() - mean_a, b.double() - mean_b)
    variance = float(influence_a.var() / len(a) + influence_b.var() / len(b))
    return Estimate(transport.distance, math.sqrt(variance))


def frechet_null_bias(cov: Float[Tensor, "D D"], n: int, m: int) -> float:
    """Return the expected FID between n and m draws of one Gaussian with covariance `cov`, to first order.

    (1/n + 1/m) [1.25 tr C + 1/2 sum_ij l_i l_j / (l_i + l_j)], l the eigenvalues of C: tr C from the means,
    the rest from the curvature of the Bures distance at the Wishart covariance of the entries. Good for
    n, m well above D; too small for features with heavy tails.

    Raises:
        ValueError: n or m below 2.

    Example:
        >>> round(frechet_null_bias(torch.eye(2), 100, 100), 3)
        0.07
    """
    if min(n, m) < 2:
        raise ValueError(f"n={n}, m={m}: expected integers >= 2")
    values = torch.linalg.eigvalsh(cov.double()).clamp_min(0)
    values = values[values > 0]
    if len(values) == 0:
        return 0.0
    pairs = values[:, None] * values[None, :] / (values[:, None] + values[None, :])
    return (1 / n + 1 / m) * float(1.25 * values.sum() + 0.5 * pairs.sum())


def frechet_null_interval(
    pool: Float[Tensor, "N D"],
    n: int,
    m: int,
    *,
    generator: torch.Generator,
    n_repeats: int = 20,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the range of the FID of n against m images of one population, from a pool of real images.

    Random disjoint subsets of the pool are compared `n_repeats` times; the range is Student's prediction
    interval for one more such value (`n_repeats` are too few for quantiles), cut at 0. An observed FID inside
    it shows no difference.

    Raises:
        ValueError: the pool has fewer than n + m rows, or n_repeats < 3.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> pool = torch.randn(400, 2, generator=g)
        >>> low, high = frechet_null_interval(pool, 100, 100, generator=g)
        >>> 0.0 <= low < high < 0.5
        True
    """
    from scipy import stats

    check_matrix("pool", pool, min_rows=4)
    if min(n, m) < 2 or n + m > len(pool):
        raise ValueError(f"n={n}, m={m}: expected integers >= 2 with n + m <= {len(pool)} rows of pool")
    if n_repeats < 3:
        raise ValueError(f"n_repeats={n_repeats}: expected an integer >= 3")
    values = torch.empty(n_repeats, dtype=torch.float64)
    (pool,) = in_span(pool)
    for repeat in range(n_repeats):
        order = torch.randperm(len(pool), generator=generator)
        first, second = map(sample_moments, in_span(pool[order[:n]], pool[order[n : n + m]]))
        values[repeat] = frechet_distance(*first, *second)
    half = float(stats.t.ppf(0.5 + 0.5 * level, n_repeats - 1)) * float(values.std())
    half *= math.sqrt(1 + 1 / n_repeats)
    middle = float(values.mean())
    return max(0.0, middle - half), middle + half

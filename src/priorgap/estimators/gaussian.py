"""Gaussians in closed form: rates, divergences, log-densities, moments of aggregates and samples."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix, check_posteriors

LOG_2PI = math.log(2 * math.pi)


def rate_per_unit(mean: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Return KL(q(z_j|x_i) || N(0, 1)) for each image i and unit j.

    1/2 (mean^2 + s^2 - 1 - log s^2). Nats, >= 0, exact, float64. The rate of a model is the sum over units,
    averaged over images. A large rate means an informative unit, not a mismatch.

    **Source**: Kingma & Welling (2014), "Auto-Encoding Variational Bayes", appendix B.

    Example:
        >>> rate_per_unit(torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2)).tolist()
        [[2.0, 0.0]]
    """
    check_posteriors(mean, log_var)
    mean, log_var = mean.double(), log_var.double()
    # expm1 keeps precision where s is near 1.
    return 0.5 * (mean.square() + torch.expm1(log_var) - log_var)


def standard_normal_log_prob(z: Float[Tensor, "m d"]) -> Float[Tensor, "m"]:
    """Return log N(z | 0, I), in nats, float64.

    Example:
        >>> round(float(standard_normal_log_prob(torch.zeros(1, 2))), 3)  # -log 2π
        -1.838
    """
    check_matrix("z", z)
    return -0.5 * (z.double().square().sum(1) + z.shape[1] * LOG_2PI)


def _factor(cov: Float[Tensor, "d d"], name: str) -> Float[Tensor, "d d"]:
    factor, failed = torch.linalg.cholesky_ex(cov.double())
    if int(failed) != 0:
        raise ValueError(f"{name} is not positive definite: expected a covariance of full rank")
    found: Tensor = factor
    return found


def gaussian_log_prob(
    z: Float[Tensor, "m d"], mean: Float[Tensor, "d"], cov: Float[Tensor, "d d"]
) -> Float[Tensor, "m"]:
    """Return log N(z | mean, cov), in nats, float64.

    Raises:
        ValueError: cov is not positive definite.

    Example:
        >>> round(float(gaussian_log_prob(torch.zeros(1, 2), torch.zeros(2), torch.eye(2))), 3)
        -1.838
    """
    check_matrix("z", z, n_columns=len(mean))
    factor = _factor(cov, "cov")
    white = torch.linalg.solve_triangular(factor, (z.double() - mean.double()).T, upper=False)
    log_det = 2 * factor.diagonal().log().sum()
    found: Tensor = -0.5 * (white.square().sum(0) + log_det + len(mean) * LOG_2PI)
    return found


def kl_gaussian(
    mean_p: Float[Tensor, "d"],
    cov_p: Float[Tensor, "d d"],
    mean_q: Float[Tensor, "d"],
    cov_q: Float[Tensor, "d d"],
) -> float:
    """Return KL(N(mean_p, cov_p) || N(mean_q, cov_q)), in nats.

    1/2 [tr(Cq^-1 Cp) + (mq - mp)' Cq^-1 (mq - mp) - d + log det Cq - log det Cp].

    Raises:
        ValueError: a covariance is not positive definite.

    Example:
        >>> round(kl_gaussian(torch.ones(2), torch.eye(2), torch.zeros(2), torch.eye(2)), 6)
        1.0
    """
    factor_p, factor_q = _factor(cov_p, "cov_p"), _factor(cov_q, "cov_q")
    ratio = torch.linalg.solve_triangular(factor_q, factor_p, upper=False)
    shift = (mean_q - mean_p).double()[:, None]
    white = torch.linalg.solve_triangular(factor_q, shift, upper=False)
    log_dets = 2 * (factor_q.diagonal().log().sum() - factor_p.diagonal().log().sum())
    return float(0.5 * (ratio.square().sum() + white.square().sum() - len(mean_p) + log_dets))


def kl_to_standard_normal(mean: Float[Tensor, "d"], cov: Float[Tensor, "d d"]) -> float:
    """Return KL(N(mean, cov) || N(0, I)), in nats.

    For any q with these moments it is the part of KL(q || p) due to its first two moments, and a lower bound
    of it.

    Example:
        >>> round(kl_to_standard_normal(torch.ones(2), torch.eye(2)), 6)
        1.0
    """
    d = len(mean)
    zero, unit = torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)
    return kl_gaussian(mean.double(), cov.double(), zero, unit)


def aggregate_moments(
    mean: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"] | None
) -> tuple[Float[Tensor, "d"], Float[Tensor, "d d"]]:
    """Return mean and covariance of the aggregate posterior, by total variance.

    E z = mean of mu;  Cov z = Cov(mu) + diag(mean of s^2). Unbiased for the population that the images come
    from (Cov(mu) divides by n - 1; it is 0 for n = 1), float64. `log_var` None: deterministic encoder, s = 0.

    Example:
        >>> mean, cov = aggregate_moments(torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
        >>> mean.tolist(), cov.tolist()  # 2 of the means, unbiased, and 1 of the posteriors
        ([0.0], [[3.0]])
    """
    check_posteriors(mean, log_var)
    centre, cov = (mean[0].double(), torch.zeros(mean.shape[1], mean.shape[1], dtype=torch.float64))
    if len(mean) > 1:
        centre, cov = sample_moments(mean)
    if log_var is not None:
        cov = cov + torch.diag(log_var.double().exp().mean(0))
    return centre, cov


def sample_moments(
    x: Float[Tensor, "n D"], *, chunk: int = 1024
) -> tuple[Float[Tensor, "D"], Float[Tensor, "D D"]]:
    """Return mean and unbiased covariance of the rows of x, float64.

    Rows are centred before the product (raw sums of squares lose all precision where mean >> sd), a chunk at
    a time, so that a float32 matrix is never copied whole.

    Raises:
        ValueError: fewer than 2 rows.

    Example:
        >>> mean, cov = sample_moments(torch.tensor([[0.0], [2.0]]))
        >>> mean.tolist(), cov.tolist()
        ([1.0], [[2.0]])
    """
    check_matrix("x", x, min_rows=2)
    mean = torch.zeros(x.shape[1], dtype=torch.float64)
    for rows in x.split(chunk):
        mean += rows.double().sum(0)
    mean /= len(x)
    cov = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for rows in x.split(chunk):
        _add_gram(cov, rows.double() - mean)
    return mean, mirrored(cov).div_(len(x) - 1)


def _add_gram(cov: Float[Tensor, "D D"], rows: Float[Tensor, "n D"]) -> None:
    """Add the lower blocks of rows' rows to cov; a symmetric product needs only half of the work."""
    for start, stop in column_blocks(cov.shape[0]):
        cov[start:, start:stop].addmm_(rows[:, start:].T, rows[:, start:stop])


def column_blocks(width: int, *, size: int = 256) -> list[tuple[int, int]]:
    """Return (start, stop) of consecutive blocks of at most `size` columns.

    Example:
        >>> column_blocks(600)
        [(0, 256), (256, 512), (512, 600)]
    """
    return [(start, min(start + size, width)) for start in range(0, width, size)]


def mirrored(lower: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
    """Return the symmetric matrix whose lower triangle is given.

    Example:
        >>> mirrored(torch.tensor([[1.0, 0.0], [2.0, 3.0]])).tolist()
        [[1.0, 2.0], [2.0, 3.0]]
    """
    return lower.tril() + lower.tril(-1).T

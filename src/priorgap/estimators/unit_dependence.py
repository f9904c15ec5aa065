"""How much one latent unit depends on all others, in closed form from moments and from a fitted mixture."""

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.uncertainty import Estimate, mean_estimate

_LOG_2PI = float(torch.tensor(2 * torch.pi, dtype=torch.float64).log())
_ROWS = 2048  # The number of rows at a time, which bounds the memory of one [rows, k, d] block.


def gaussian_dependence(cov: Float[Tensor, "d d"]) -> Float[Tensor, "d"]:
    """Return I(z_j; all other units) of a Gaussian with this covariance, for every unit.

    1/2 log(C_jj (C^-1)_jj) = -1/2 log(1 - R_j^2), R_j^2 the share of z_j's variance that a linear regression on
    the other units explains.

    Returns:
        [d], nats, float64; 0 for uncorrelated units and for d = 1. For other distributions it measures only linear
        dependence, and is neither a lower nor an upper bound.

    Raises:
        ValueError: cov is not a square matrix, or not positive definite (a constant or redundant unit).

    Example:
        >>> cov = torch.tensor([[1.0, 0.6], [0.6, 1.0]])
        >>> [round(x, 3) for x in gaussian_dependence(cov).tolist()]  # -log(1 - 0.6²) / 2
        [0.223, 0.223]
    """
    if cov.ndim != 2 or cov.shape[0] != cov.shape[1] or len(cov) == 0:
        raise ValueError(f"cov has shape {tuple(cov.shape)}: expected [d, d]")
    scale = cov.diagonal().double().clamp_min(0).sqrt()
    if not bool((scale > 0).all()):
        raise ValueError("a latent unit is constant: expected units that vary")
    factor, failed = torch.linalg.cholesky_ex(cov.double() / scale[:, None] / scale[None, :])
    if int(failed) != 0 or float(factor.diagonal().min()) < 1e-6:
        raise ValueError("a latent unit is a linear function of others: expected one that says something new")
    return 0.5 * torch.cholesky_inverse(factor).diagonal().log().clamp_min(0)


def mixture_dependence(
    z: Float[Tensor, "n d"],
    weight: Float[Tensor, "k"],
    mean: Float[Tensor, "k d"],
    cov: Float[Tensor, "k d d"],
) -> list[Estimate]:
    """Return the mean over z of log f(z) - log f(z_j) - log f(z_-j), for every unit j of a Gaussian mixture f.

    A mixture's marginals are mixtures of the components' marginals, so every term is in closed form; with
    z ~ f it estimates I(z_j; z_-j) under f. A component's own term is the Gaussian one: with P its precision,
    log N(z) - log N(z_-j) = log N(z_j | z_-j), of variance 1 / P_jj, so that no marginal's covariance has to be
    factorised.

    Args:
        z: points from the distribution that f was fitted to, but not the points of the fit.
        weight, mean, cov: the mixture.

    Returns:
        One estimate for each unit, nats, with its standard error over z. Unbiased for I(z_j; z_-j) where z ~ f; for
        other z the bias may have either sign and depends on the fit.

    Raises:
        ValueError: the shapes do not match.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> z, mean, cov = torch.randn(500, 2, generator=g), torch.zeros(1, 2), torch.eye(2)[None]
        >>> [round(one.value, 6) + 0.0 for one in mixture_dependence(z, torch.ones(1), mean, cov)]
        [0.0, 0.0]
    """
    k, d = mean.shape
    if z.ndim != 2 or z.shape[1] != d or weight.shape != (k,) or cov.shape != (k, d, d):
        shapes = [tuple(t.shape) for t in (z, weight, mean, cov)]
        raise ValueError(
            f"z, weight, mean, cov have shapes {shapes}: expected [n, d], [k], [k, d], [k, d, d]"
        )
    mixture = (weight.double().log(), mean.double(), cov.double())
    rows = [_dependence_terms(part.double(), *mixture) for part in z.split(_ROWS)]
    return [mean_estimate(column) for column in torch.cat(rows).T]


def _dependence_terms(
    z: Float[Tensor, "n d"],
    log_weight: Float[Tensor, "k"],
    mean: Float[Tensor, "k d"],
    cov: Float[Tensor, "k d d"],
) -> Float[Tensor, "n d"]:
    d = mean.shape[1]
    factor = torch.linalg.cholesky(cov)
    precision = torch.cholesky_inverse(factor)
    centred = z[:, None, :] - mean  # [n, k, d]
    pulled = torch.einsum("nkd,kde->nke", centred, precision)
    log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    log_joint = -0.5 * ((centred * pulled).sum(2) + log_det + d * _LOG_2PI)  # [n, k]
    whole = torch.logsumexp(log_weight + log_joint, 1)
    terms = torch.empty_like(z)
    for j in range(d):
        variance, own = cov[:, j, j], precision[:, j, j]
        log_unit = -0.5 * (centred[:, :, j].square() / variance + variance.log() + _LOG_2PI)
        # z_j given the others has a mean that differs by pulled / P_jj, and the variance 1 / P_jj.
        log_conditional = -0.5 * (pulled[:, :, j].square() / own - own.log() + _LOG_2PI)
        unit = torch.logsumexp(log_weight + log_unit, 1)
        rest = torch.logsumexp(log_weight + log_joint - log_conditional, 1)
        terms[:, j] = whole - unit - rest
    return terms

"""EM for full-covariance Gaussian mixtures, as matrix products.

With phi(z) = [1, z, (z_i z_j) for i <= j], the log-densities of all k components at n points are one product
table @ phi, and all sums that the M step needs are responsibilities @ phi^T. `benchmarks/gmm_em.py` compares this
with scikit-learn's EM from the same start.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.densities.protocols import stable_cholesky

# The numbers in one chunk of phi: 8 MB in float64, which fits into caches for any number of units.
_CHUNK_NUMBERS = 1 << 20
# Up to this many numbers (64 MB) phi is kept from step to step.
_KEPT_NUMBERS = 1 << 23


def expectation_maximisation(
    z: Float[Tensor, "n d"],
    weight: Float[Tensor, "k"],
    mean: Float[Tensor, "k d"],
    cov: Float[Tensor, "k d d"],
    *,
    max_iter: int,
    tolerance: float,
    ridge: float,
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k d"], Float[Tensor, "k d d"]]:
    """Raise the mean log-likelihood of a mixture from a start, in float64 and in bounded memory for any n.

    E: r_ik = weight_k N(z_i; mean_k, cov_k) / sum_l (the same of l).
    M: weight_k, mean_k and cov_k are the weighted moments under r, with `ridge` added to each diagonal.
    Stops after the step before which the mean log-likelihood rose by less than `tolerance` nats.

    Units should be standardised: second moments are taken about 0, so that a mean far above the standard deviation
    would cost precision.

    Returns:
        weight, mean and cov after the last step.
    """
    n, d = z.shape
    upper = torch.triu_indices(d, d)
    rows = max(64, _CHUNK_NUMBERS // (1 + d + upper.shape[1]))
    eye = torch.eye(d, dtype=z.dtype)
    kept = (
        [_features(part) for part in z.split(rows)] if n * (1 + d + upper.shape[1]) <= _KEPT_NUMBERS else None
    )
    before = -math.inf
    for _ in range(max_iter):
        table = _coefficients(weight, mean, cov, upper)
        sums, log_likelihood = torch.zeros_like(table), 0.0
        for phi in kept or map(_features, z.split(rows)):
            joint = table @ phi
            evidence = torch.logsumexp(joint, 0)
            sums += (joint - evidence).exp_() @ phi.T
            log_likelihood += float(evidence.sum())
        # An empty component keeps a positive weight, as in scikit-learn.
        count = sums[:, 0] + 10 * torch.finfo(z.dtype).eps
        weight, mean = count / count.sum(), sums[:, 1 : 1 + d] / count[:, None]
        cov = _symmetric(sums[:, 1 + d :] / count[:, None], upper, d)
        cov = cov - mean[:, :, None] * mean[:, None, :] + ridge * eye
        now = log_likelihood / n
        if abs(now - before) < tolerance:
            break
        before = now
    return weight, mean, cov


def _features(z: Float[Tensor, "n d"]) -> Float[Tensor, "p n"]:
    """Return [1, z, z_i z_j for i <= j] with a column for each point, so that whole rows are written at once."""
    n, d = z.shape
    units = z.T.contiguous()
    phi = torch.empty(1 + d + d * (d + 1) // 2, n, dtype=z.dtype)
    phi[0], phi[1 : 1 + d] = 1, units
    first = 1 + d
    for i in range(d):
        torch.mul(units[i:], units[i], out=phi[first : first + d - i])
        first += d - i
    return phi


def _symmetric(entries: Float[Tensor, "k q"], upper: Tensor, d: int) -> Float[Tensor, "k d d"]:
    """Return the symmetric matrices whose upper triangles are `entries`."""
    half = torch.zeros(len(entries), d, d, dtype=entries.dtype)
    half[:, upper[0], upper[1]] = entries
    return half + half.triu(1).mT


def _coefficients(
    weight: Float[Tensor, "k"], mean: Float[Tensor, "k d"], cov: Float[Tensor, "k d d"], upper: Tensor
) -> Float[Tensor, "k p"]:
    """Return the coefficients of `_features` that give log weight_k + log N(z; mean_k, cov_k)."""
    factor = torch.stack([stable_cholesky(c) for c in cov])
    precision = torch.cholesky_inverse(factor)
    linear = (precision @ mean[:, :, None])[:, :, 0]
    log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    constant = weight.log() - 0.5 * ((mean * linear).sum(1) + log_det + mean.shape[1] * math.log(2 * math.pi))
    quadratic = -precision[:, upper[0], upper[1]]
    quadratic[:, upper[0] == upper[1]] *= 0.5
    return torch.cat([constant[:, None], linear, quadratic], 1)

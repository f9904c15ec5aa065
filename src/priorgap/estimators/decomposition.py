"""The parts of KL(q || p) due to first and second moments, corrected for bias."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_posteriors
from priorgap.estimators.uncertainty import Estimate, jackknife_estimate, random_groups


@dataclass(frozen=True)
class MomentDecomposition:
    """The two closed-form parts of KL(q || N(0, I)), nats; the rest, negentropy, is the bracket minus both.

    Attributes:
        kl_diag: mismatch of each unit's mean and variance; above 0.05 on training posteriors the model has
            not converged.
        kl_corr: -1/2 log det of the correlation matrix.
    """

    kl_diag: Estimate
    kl_corr: Estimate


def moment_decomposition(
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"] | None,
    *,
    generator: torch.Generator,
    n_groups: int = 20,
) -> MomentDecomposition:
    """Return the diagonal-moment and correlation parts of KL(q || N(0, I)), debiased by a jackknife.

    With m, C the mean and covariance of z (`aggregate_moments`):
    kl_diag = 1/2 sum_j (m_j^2 + C_jj - 1 - log C_jj);  kl_corr = -1/2 log det corr(C).
    Both are estimates for the population of images. The plug-in is biased upwards (by about d(d+3)/4n in all
    when every unit is active, less when units have collapsed); the delete-group jackknife over images removes
    that, so small values can come out slightly negative.

    Args:
        mean: posterior means.
        log_var: posterior log-variances, None for a deterministic encoder.
        generator: assigns images to groups.
        n_groups: jackknife groups; n images if there are fewer.

    Raises:
        ValueError: fewer than 3 images, or a unit that is constant (its divergence is infinite).

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> z = torch.randn(5000, 2, generator=g) * torch.tensor([1.0, 2.0])
        >>> parts = moment_decomposition(z, None, generator=g)
        >>> round(parts.kl_diag.value, 1)  # 0 + (4 - 1 - log 4) / 2
        0.8
        >>> abs(parts.kl_corr.value) < 0.01
        True
    """
    check_posteriors(mean, log_var, min_rows=3)
    n, d = mean.shape
    n_groups = min(n_groups, n)
    group = random_groups(n, n_groups, generator=generator)
    # Sums are taken about the overall mean, so that subtracting a group's sums loses no precision.
    centre = mean.double().mean(0)
    count, first, noise = torch.zeros(n_groups), torch.zeros(n_groups, d), torch.zeros(n_groups, d)
    count, first, noise = count.double(), first.double(), noise.double()
    second = torch.zeros(n_groups, d, d, dtype=torch.float64)
    for g in range(n_groups):
        rows = mean[group == g].double() - centre
        count[g], first[g], second[g] = len(rows), rows.sum(0), rows.T @ rows
        if log_var is not None:
            noise[g] = log_var[group == g].double().exp().sum(0)
    sums = (count, first, second, noise)
    full = _parts(centre, *(s.sum(0) for s in sums))
    left_out = torch.stack([_parts(centre, *(s.sum(0) - s[g] for s in sums)) for g in range(n_groups)])
    return MomentDecomposition(
        kl_diag=jackknife_estimate(float(full[0]), left_out[:, 0]),
        kl_corr=jackknife_estimate(float(full[1]), left_out[:, 1]),
    )


def _parts(centre: Tensor, count: Tensor, first: Tensor, second: Tensor, noise: Tensor) -> Tensor:
    """Return [kl_diag, kl_corr] from sums about `centre`."""
    shift = first / count
    cov = (second - count * torch.outer(shift, shift)) / (count - 1) + torch.diag(noise / count)
    variance = cov.diagonal()
    if not bool((variance > 0).all()):
        unit = int((variance <= 0).nonzero()[0])
        raise ValueError(f"latent unit {unit} is constant: its divergence from the prior is infinite")
    kl_diag = 0.5 * ((centre + shift).square() + variance - 1 - variance.log()).sum()
    scale = variance.rsqrt()
    factor, failed = torch.linalg.cholesky_ex(cov * scale[:, None] * scale[None, :])
    if int(failed) != 0:
        raise ValueError("the covariance of the latent units is singular: expected more rows than units")
    return torch.stack([kl_diag, -factor.diagonal().log().sum()])

"""How varied and how sharp a set of samples is, judged without real data."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.uncertainty import Estimate, mean_estimate


def vendi_score(features: Float[Tensor, "n D"]) -> float:
    """Return the Vendi score: the effective number of distinct samples, 1 to min(n, D).

    exp(-sum_i l_i log l_i), l the eigenvalues of K / n, K_ij the cosine similarity of rows i and j (kernel
    x.y / |x||y|, so K_ii = 1). They are those of the D x D matrix X'X / n of normalised rows: the smaller of
    the two is decomposed, in float64. 1 when all rows point the same way, n when all are orthogonal. Biased
    downwards for the population (n samples show at most n kinds): compare at equal n. Higher is more varied,
    not better: noise is varied. Rows of zeros are similar to nothing but themselves.

    **Source**: Friedman & Dieng (2023), "The Vendi Score".

    Example:
        >>> round(vendi_score(torch.eye(3)), 6), round(vendi_score(torch.ones(3, 3)), 6)
        (3.0, 1.0)
    """
    check_matrix("features", features)
    x = features.double()
    norm = x.norm(dim=1, keepdim=True)
    n_zero = int((norm == 0).sum())
    x = (x / norm.where(norm > 0, 1.0))[norm[:, 0] > 0]
    gram = x.T @ x if x.shape[0] > x.shape[1] else x @ x.T
    values = torch.linalg.eigvalsh(gram / len(features)).clamp_min(0)
    entropy = -float(torch.special.xlogy(values, values).sum())
    # Each row of zeros counts as a kind of its own, with eigenvalue 1 / n.
    entropy += n_zero / len(features) * math.log(len(features))
    return math.exp(entropy)


def sharpness(x: Float[Tensor, "n c h w"]) -> Estimate:
    """Return the mean over images of the variance of their Laplacian; higher is sharper.

    The Laplacian is the 5-point stencil on the mean over channels, without padding. Units: squared intensity.
    It is fooled upwards: pixel noise and checkerboards are the sharpest of all, so compare with the value of
    real images and read more than that as artefacts. Standard error over images.

    Raises:
        ValueError: not images with sides of at least 3.

    Example:
        >>> sharpness(torch.ones(2, 1, 8, 8)).value  # flat images
        0.0
    """
    if x.ndim != 4 or min(x.shape[2:]) < 3 or len(x) < 1:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: expected images [n, c, h, w] with sides of at least 3"
        )
    grey = x.double().mean(1)
    middle = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return mean_estimate((around - 4 * middle).flatten(1).var(1, unbiased=False))

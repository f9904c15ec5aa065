"""Sample quality against density ratio: realism of each sample, means within bands of the ratio, and differences."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_matrix, check_vector
from priorgap.estimators.neighbours import squared_radii
from priorgap.estimators.uncertainty import Estimate, mean_estimate


def realism(
    fake: Float[Tensor, "m D"], real: Float[Tensor, "n D"], *, k: int = 5, chunk: int = 512
) -> Float[Tensor, "m"]:
    """Return max_j r_j / (r_j + d(fake, real_j)) per sample, r_j the distance of real j to its k-th neighbour.

    0 to 1, higher is more real: above 1/2 inside the ball of a real point, 1 on a real point. r / (r + d) is
    a bounded, monotone form of the published r / d. The half of the real points with the larger balls is left out,
    because the large ball of an outlier would make any sample look real.

    **Source**: Kynkäänniemi et al. (2019), "Improved precision and recall metric", section 5 (realism score).

    Raises:
        ValueError: fewer than k + 1 real points, or k < 1.

    Example:
        >>> real = torch.arange(10.0)[:, None]
        >>> realism(torch.tensor([[4.0], [100.0]]), real, k=1)[0].item()
        1.0
    """
    if k < 1:
        raise ValueError(f"k={k}: expected an integer >= 1")
    check_matrix("real", real, min_rows=k + 1)
    check_matrix("fake", fake, n_columns=real.shape[1])
    centre = real.double().mean(0)
    points = real.double() - centre
    radius = squared_radii(points, k).sqrt()
    kept = radius <= radius.median()
    points, radius = points[kept], radius[kept]
    norm, found = points.square().sum(1), []
    for rows in (fake.double() - centre).split(chunk):
        squared = torch.addmm(norm[None, :], rows, points.T, alpha=-2.0)
        distance = squared.add_(rows.square().sum(1)[:, None]).clamp_min_(0).sqrt_()
        # A real point with k copies has radius 0; a sample on it gives 0 / 0, which counts as 1.
        best = (radius / (radius + distance)).nan_to_num_(nan=1.0).amax(1)
        found.append(best)
    return torch.cat(found)


def entropy(logits: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
    """Return the entropy of each row's softmax, nats, 0 to log k.

    Example:
        >>> entropy(torch.zeros(1, 10)).exp().round(decimals=4).tolist()
        [10.0]
    """
    log_p = torch.log_softmax(logits.double(), dim=1)
    return -(log_p.exp() * log_p).sum(1)


def band_edges(*ratios: Float[Tensor, "_"], n_bands: int) -> Float[Tensor, "b"]:
    """Return the n_bands - 1 inner edges: quantiles of the pooled ratios, in which each set has the same weight.

    Raises:
        ValueError: n_bands < 2.

    Example:
        >>> band_edges(torch.arange(101.0), n_bands=2).tolist()
        [50.0]
    """
    if n_bands < 2:
        raise ValueError(f"n_bands={n_bands}: expected an integer >= 2")
    for ratio in ratios:
        check_vector("ratio", ratio)
    levels = torch.arange(1, n_bands, dtype=torch.float64) / n_bands
    pooled = torch.cat([r.double() for r in ratios])
    weight = torch.cat([torch.full((len(r),), 1 / len(r), dtype=torch.float64) for r in ratios])
    order = pooled.argsort()
    cumulative = weight[order].cumsum(0) / weight.sum()
    return pooled[order][torch.searchsorted(cumulative, levels).clamp_max(len(pooled) - 1)]


def bands(ratio: Float[Tensor, "n"], edges: Float[Tensor, "b"]) -> Int[Tensor, "n"]:
    """Return each value's band, 0 for the lowest.

    Example:
        >>> bands(torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.3, 0.6])).tolist()
        [0, 1, 2]
    """
    return torch.searchsorted(edges, ratio.double().contiguous(), right=True)


def band_difference(a: Float[Tensor, "n"], b: Float[Tensor, "m"]) -> Estimate | None:
    """Return mean(a) - mean(b) of two independent sets, None with fewer than 2 values in either.

    Example:
        >>> band_difference(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).value
        1.5
    """
    if min(len(a), len(b)) < 2:
        return None
    first, second = mean_estimate(a), mean_estimate(b)
    error = math.hypot(first.std_error or 0.0, second.std_error or 0.0)
    return Estimate(first.value - second.value, error)


def unit_steps(gradient: Float[Tensor, "n d"], length: float) -> Float[Tensor, "n d"]:
    """Return the gradient's direction scaled to a given length; rows of zeros stay zero.

    Example:
        >>> unit_steps(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), 10.0).tolist()
        [[6.0, 8.0], [0.0, 0.0]]
    """
    norm = gradient.norm(dim=1, keepdim=True)
    return torch.where(norm > 0, gradient * (length / norm.clamp_min(1e-300)), torch.zeros_like(gradient))

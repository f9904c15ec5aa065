"""Precision, recall, density and coverage: do samples lie where real points do, and the reverse."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.uncertainty import Estimate, block_estimate


@dataclass(frozen=True)
class PRDC:
    """Four neighbourhood measures of fake against real points; higher is better.

    Attributes:
        precision: share of fakes inside the k-neighbour ball of a real point, 0 to 1.
        recall: share of reals inside the k-neighbour ball of a fake point, 0 to 1.
        density: mean number of real balls a fake lies in, divided by k; about 1 at equal laws, unbounded.
        coverage: share of real balls that hold a fake, 0 to 1; at equal laws and sizes about 1 - 2^-k.
    """

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def precision_recall_density_coverage(
    real: Float[Tensor, "n D"],
    fake: Float[Tensor, "m D"],
    *,
    generator: torch.Generator,
    k: int = 5,
    n_blocks: int = 10,
) -> PRDC:
    """Return precision, recall, density and coverage of `fake` against `real`, with standard errors.

    A point's ball reaches to its k-th nearest neighbour in its own set, itself not counted. All four depend
    on n and m, so compare at equal sizes only. Standard errors: both sets are cut at random into `n_blocks`
    disjoint blocks, each block of fakes is measured against its block of reals, and the spread of the blocks
    divided by sqrt(n_blocks) is taken: no point is ever met twice, as a bootstrap's duplicates would be. They
    describe the scatter, not the change of the value with the sample size; they err towards too large (up to
    twice, seen for recall near 1). None where a block would have fewer than 2 k + 2 points.

    **Source**: Kynkäänniemi et al. (2019): precision, recall; Naeem et al. (2020): density, coverage.

    Raises:
        ValueError: a set has fewer than k + 1 rows, or k < 1.
    """
    if k < 1:
        raise ValueError(f"k={k}: expected an integer >= 1")
    check_matrix("real", real, min_rows=k + 1)
    check_matrix("fake", fake, min_rows=k + 1, n_columns=real.shape[1])
    values = _prdc(real, fake, k)
    size = min(len(real), len(fake)) // n_blocks
    if n_blocks < 2 or size < 2 * k + 2:
        return PRDC(*(Estimate(v) for v in values))
    real_blocks = torch.randperm(len(real), generator=generator).tensor_split(n_blocks)
    fake_blocks = torch.randperm(len(fake), generator=generator).tensor_split(n_blocks)
    blocks = [_prdc(real[i], fake[j], k) for i, j in zip(real_blocks, fake_blocks, strict=True)]
    spread = [block_estimate(column) for column in torch.tensor(blocks, dtype=torch.float64).T]
    return PRDC(*(Estimate(v, s.std_error) for v, s in zip(values, spread, strict=True)))


def _prdc(real: Tensor, fake: Tensor, k: int) -> tuple[float, float, float, float]:
    # the common mean is taken off: distances do not change, and the expanded square keeps its digits
    centre = real.double().mean(0)
    real, fake = real.double() - centre, fake.double() - centre
    real_radius, fake_radius = squared_radii(real, k), squared_radii(fake, k)
    real_norm, chunk = real.square().sum(1), 512
    covered = torch.zeros(len(real), dtype=torch.bool)
    recalled = torch.zeros(len(real), dtype=torch.bool)
    n_inside, n_precise = 0, 0
    for start in range(0, len(fake), chunk):
        rows = fake[start : start + chunk]
        squared = _squared_distances(rows, real, real_norm)
        inside = squared < real_radius
        n_inside += int(inside.count_nonzero())
        n_precise += int(inside.any(1).count_nonzero())
        # a ball holds a fake exactly if the nearest fake is inside it
        covered |= inside.any(0)
        recalled |= (squared < fake_radius[start : start + chunk, None]).any(0)
    m = len(fake)
    return n_precise / m, float(recalled.double().mean()), n_inside / (k * m), float(covered.double().mean())


def _squared_distances(rows: Tensor, points: Tensor, point_norm: Tensor) -> Tensor:
    squared = torch.addmm(point_norm[None, :], rows, points.T, alpha=-2.0)
    return squared.add_(rows.square().sum(1)[:, None]).clamp_min_(0)


def squared_radii(points: Float[Tensor, "n D"], k: int, *, chunk: int = 512) -> Float[Tensor, "n"]:
    """Return each point's squared Euclidean distance to its k-th nearest other point of the set."""
    norm, radii = points.square().sum(1), torch.empty(len(points), dtype=points.dtype)
    for start in range(0, len(points), chunk):
        rows = points[start : start + chunk]
        squared = _squared_distances(rows, points, norm)
        # the point itself, at distance 0 but for rounding, must not count as a neighbour
        squared[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = -1.0
        # topk is several times faster than kthvalue for small k
        radii[start : start + chunk] = squared.topk(k + 1, dim=1, largest=False).values[:, -1]
    return radii

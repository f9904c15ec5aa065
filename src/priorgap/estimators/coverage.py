"""Precision, recall, density and coverage: do samples lie where real points do, and the reverse."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.uncertainty import Estimate, block_estimate

# rows of a product at a time, a multiple of 8: what is done with the product then finds it in the cache
_CHUNK = 256
_EPS = torch.finfo(torch.float32).eps
# neighbours beyond the k-th that float32 may have put in the wrong order
_SPARE = 2
_BLOCK = 32


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


@dataclass(frozen=True)
class _Points:
    """A set in both precisions, about the common mean: products in float32 find, float64 decides."""

    exact: Tensor
    rough: Tensor
    half_norm: Tensor
    radius: Tensor


def _points(x: Tensor, k: int) -> _Points:
    half_norm = 0.5 * x.square().sum(1)
    rough = x.float()
    return _Points(x, rough, half_norm, _squared_radii(x, rough, half_norm, k, _CHUNK))


def _tolerance(width: int, *half_norms: Tensor) -> float:
    """Return a bound of the rounding of x.y - |x|^2 / 2 - |y|^2 / 2 in float32 (sums grow like a root)."""
    scale = sum(float(h.max()) for h in half_norms)
    return 4 * _EPS * (math.sqrt(width) + 4) * scale


def _prdc(real: Tensor, fake: Tensor, k: int) -> tuple[float, float, float, float]:
    # the common mean is taken off: distances do not change, and the expanded square keeps its digits
    centre = real.double().mean(0)
    reals, fakes = _points(real.double() - centre, k), _points(fake.double() - centre, k)
    margin = _tolerance(real.shape[1], reals.half_norm, fakes.half_norm)
    # one product gives (r_j^2 - |x_i - y_j|^2) / 2: positive where fake i lies in the ball of real j
    left = torch.cat([fakes.rough, torch.ones(len(fake), 1), -fakes.half_norm.float()[:, None]], 1)
    right = torch.cat([reals.rough, (0.5 * reals.radius - reals.half_norm).float()[:, None]], 1)
    right = torch.cat([right, torch.ones(len(real), 1)], 1)
    n, m, width = len(real), len(fake), 8 * -(-len(real) // 8)
    nowhere = torch.zeros(width - n, right.shape[1])
    nowhere[:, -2] = -math.inf
    right = torch.cat([right, nowhere]).T
    reach = (0.5 * fakes.radius).float()[:, None]
    buffer, marks = torch.empty(_CHUNK, width), torch.empty(2, _CHUNK, width, dtype=torch.bool)
    best_real, best_recall = torch.full((2, width), -math.inf)
    covered, precise, n_inside = torch.zeros(n, dtype=torch.bool), torch.zeros(m, dtype=torch.bool), 0
    for start in range(0, m, _CHUNK):
        rows = slice(start, min(start + _CHUNK, m))
        depth = torch.mm(left[rows], right, out=buffer[: rows.stop - start])
        sure = torch.gt(depth, margin, out=marks[0, : len(depth)])
        maybe = torch.gt(depth, -margin, out=marks[1, : len(depth)])
        n_inside += int(sure.count_nonzero())
        precise[rows] = depth.amax(1) > margin
        torch.maximum(best_real, depth.amax(0), out=best_real)
        i, j = _differing(sure, maybe)
        inside = (fakes.exact[i + start] - reals.exact[j]).square().sum(1) < reals.radius[j]
        n_inside += int(inside.sum())
        precise[i[inside] + start], covered[j[inside]] = True, True
        torch.maximum(best_recall, depth.add_(reach[rows]).amax(0), out=best_recall)
    covered |= best_real[:n] > margin
    recalled = _recalled(best_recall[:n].double() - 0.5 * reals.radius, margin, reals, fakes)
    return float(precise.double().mean()), recalled, n_inside / (k * m), float(covered.double().mean())


def _column(values: Tensor | None, like: Tensor | None = None) -> Tensor:
    if values is not None:
        return values.float()[:, None]
    assert like is not None
    return torch.ones(len(like), 1)


def _differing(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column of the entries in which two masks differ (few); eight entries are looked at at once."""
    words = (a.view(torch.int64) != b.view(torch.int64)).nonzero()
    byte = words[:, 1:] * 8 + torch.arange(8)
    row = words[:, :1].expand(-1, 8)
    differ = a[row, byte] != b[row, byte]
    return row[differ], byte[differ]


def _recalled(depth: Tensor, margin: float, reals: _Points, fakes: _Points) -> float:
    """Return the share of reals inside a fake's ball; reals within rounding of a border are decided exactly."""
    recalled = depth > margin
    for j in (depth.abs() <= margin).nonzero()[:, 0].tolist():
        squared = (fakes.exact - reals.exact[j]).square().sum(1)
        recalled[j] = bool((squared < fakes.radius).any())
    return float(recalled.double().mean())


def squared_radii(points: Float[Tensor, "n D"], k: int, *, chunk: int = _CHUNK) -> Float[Tensor, "n"]:
    """Return each point's squared Euclidean distance to its k-th nearest other point of the set, float64."""
    exact = points.double() - points.double().mean(0)
    return _squared_radii(exact, exact.float(), 0.5 * exact.square().sum(1), k, chunk)


def _squared_radii(exact: Tensor, rough: Tensor, half_norm: Tensor, k: int, chunk: int) -> Tensor:
    n, blocks = len(exact), -(-len(exact) // _BLOCK)
    n_candidates = min(k + _SPARE, n - 1)
    # |y|^2 / 2 - x.y orders the neighbours of x; padding is never near
    right = torch.cat([-rough, half_norm.float()[:, None]], 1).T
    left = torch.cat([rough, torch.ones(n, 1)], 1)
    buffer, radius = (
        torch.full((min(chunk, n), _BLOCK * blocks), math.inf),
        torch.empty(n, dtype=torch.float64),
    )
    for start in range(0, n, chunk):
        rows = torch.arange(start, min(start + chunk, n))
        score = buffer[: len(rows)]
        torch.mm(left[rows], right, out=score[:, :n])
        # the point itself must not count as a neighbour
        score[torch.arange(len(rows)), rows] = math.inf
        near = _smallest(score.view(len(rows), _BLOCK, blocks), n_candidates)
        gap = exact[near].sub_(exact[rows, None])
        radius[rows] = gap.square_().sum(2).topk(k, dim=1, largest=False).values[:, -1]
    return radius


def _smallest(score: Tensor, k: int) -> Tensor:
    """Return the places of each row's k smallest of [rows, width, blocks], places counted along both.

    They lie in the k blocks whose least values are smallest: only those are sorted.
    """
    n_rows, width, blocks = score.shape
    chosen = score.amin(1).topk(min(k, blocks), dim=1, largest=False, sorted=False).indices
    within = score.gather(2, chosen[:, None, :].expand(-1, width, -1)).view(n_rows, -1)
    place = within.topk(k, dim=1, largest=False, sorted=False).indices
    n_chosen = chosen.shape[1]
    return place // n_chosen * blocks + chosen.gather(1, place % n_chosen)

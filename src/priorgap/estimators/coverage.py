"""Precision, recall, density and coverage: do samples lie where real points do, and the reverse."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.uncertainty import Estimate, block_estimate

# rows of a product at a time, a multiple of 8: what is done with the product then finds it in the cache;
# below 256, so that a byte counts the marks of a column
_CHUNK = 248
_EPS = torch.finfo(torch.float32).eps
# neighbours beyond the k-th that rounding may have put in the wrong order
_SPARE = 2
# so many scores of a row are partitioned without a choice of groups
_WHOLE = 2048
# pairs decided at a time
_PAIRS = 1 << 15


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
    centre = real.double().mean(0)
    reals, fakes = (_Points(x, x.double() - centre, k) for x in (real, fake))
    values = _prdc(reals, fakes)
    size = min(len(real), len(fake)) // n_blocks
    if n_blocks < 2 or size < 2 * k + 2:
        return PRDC(*(Estimate(v) for v in values))
    real_blocks = torch.randperm(len(real), generator=generator).tensor_split(n_blocks)
    fake_blocks = torch.randperm(len(fake), generator=generator).tensor_split(n_blocks)
    blocks = [_prdc(reals.take(i), fakes.take(j)) for i, j in zip(real_blocks, fake_blocks, strict=True)]
    spread = [block_estimate(column) for column in torch.tensor(blocks, dtype=torch.float64).T]
    return PRDC(*(Estimate(v, s.std_error) for v, s in zip(values, spread, strict=True)))


class _Points:
    """A set of points with balls to their k-th neighbours: float32 finds, float64 decides.

    Products are taken of the points about a common centre, which keeps digits; what they leave open is decided
    from the differences of the points as they were given, so that a tie of integers is a tie.

    Attributes:
        rough: about the centre, float32.
        half_norm: |x|^2 / 2 about the centre, float64.
        reach: r^2 / 2 - |x|^2 / 2, r the radius of the ball, float32 and as exact as that.
    """

    def __init__(self, exact: Tensor, centred: Tensor, k: int, rows: Tensor | None = None):
        self._exact, self._centred, self._rows, self.k = exact, centred, rows, k
        self.rough, self.half_norm = centred.float(), 0.5 * centred.square().sum(1)
        self._find()

    def _find(self) -> None:
        self.reach = _reach(self.rough, self.half_norm.float(), self.k)
        self._radius = torch.full((len(self),), math.nan, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.rough)

    def take(self, rows: Tensor) -> "_Points":
        """Return some of the points as a set of its own; what seldom is needed in float64 is not copied."""
        part = copy.copy(self)
        part._rows, part.rough, part.half_norm = rows, self.rough[rows], self.half_norm[rows]
        part._find()
        return part

    def exact(self, rows: Tensor) -> Tensor:
        """Return some points as they were given, float64."""
        return self._exact[rows if self._rows is None else self._rows[rows]].double()

    def hold(self, ball: Tensor, others: "_Points", point: Tensor) -> Tensor:
        """Return which points (rows of `others`) lie inside their ball (row of these), decided in float64."""
        unknown = torch.unique(ball[self._radius[ball].isnan()])
        if len(unknown):
            rows = slice(None) if self._rows is None else self._rows
            exact, centred = self._exact[rows], self._centred[rows]
            self._radius[unknown] = _squared_radii(exact, centred, self.k, unknown, _CHUNK)
        pairs = zip(ball.split(_PAIRS), point.split(_PAIRS), strict=True)
        squared = [self.exact(j).sub_(others.exact(i)).square_().sum(1) for j, i in pairs]
        return torch.cat(squared) < self._radius[ball]


def _tolerance(width: int, *half_norms: Tensor) -> float:
    """Return a bound of the rounding of x.y - |x|^2 / 2 - |y|^2 / 2 in float32 (sums grow like a root)."""
    scale = sum(float(h.max()) for h in half_norms)
    return 4 * _EPS * (math.sqrt(width) + 4) * scale


def _prdc(reals: _Points, fakes: _Points) -> tuple[float, float, float, float]:
    n, m, width = len(reals), len(fakes), 8 * -(-len(reals) // 8)
    rounding = _tolerance(reals.rough.shape[1], reals.half_norm, fakes.half_norm)
    margin = rounding + _tolerance(reals.rough.shape[1], reals.half_norm, reals.half_norm)
    # one product gives x_i.y_j - |x_i|^2 / 2: above -reach_j where fake i lies in the ball of real j
    left = torch.cat([fakes.rough, -fakes.half_norm.float()[:, None]], 1)
    right = torch.cat([reals.rough, torch.ones(n, 1)], 1)
    right = torch.cat([right, torch.zeros(width - n, right.shape[1])]).T
    border = torch.full((width,), math.inf)
    border[:n] = -reals.reach
    borders = (border + margin).numpy(), (border - margin).numpy()
    radius = (fakes.reach.double() + fakes.half_norm).float()[:, None]
    buffer, marks = torch.empty(_CHUNK, width), torch.empty(2, _CHUNK, width, dtype=torch.bool)
    nearest = np.full(width, -np.inf, dtype=np.float32)
    found = _Found(reals, fakes)
    for start in range(0, m, _CHUNK):
        depth = torch.mm(left[start : start + _CHUNK], right, out=buffer[: min(_CHUNK, m - start)])
        for mark, values in zip(marks, borders, strict=True):
            # numpy compares by vectors, torch one by one
            np.greater(depth.numpy(), values, out=mark[: len(depth)].numpy())
        found.add(marks[:, : len(depth)], start)
        np.maximum(nearest, depth.add_(radius[start : start + _CHUNK]).numpy().max(0), out=nearest)
    found.settle()
    overlap = torch.from_numpy(nearest[:n]).double() - reals.half_norm
    margin = rounding + _tolerance(reals.rough.shape[1], fakes.half_norm, fakes.half_norm)
    return (
        float(found.precise.double().mean()),
        _recall(overlap, margin, reals, fakes),
        found.n_inside / (reals.k * m),
        float(found.covered.double().mean()),
    )


class _Found:
    """What the marks of fakes in the balls of reals add up to."""

    def __init__(self, reals: _Points, fakes: _Points):
        self.reals, self.fakes = reals, fakes
        self.precise = torch.zeros(len(fakes), dtype=torch.bool)
        self.covered = torch.zeros(len(reals), dtype=torch.bool)
        self.n_inside = 0
        self._open: list[tuple[Tensor, Tensor]] = []
        self._n_open = 0

    def add(self, marks: Tensor, start: int) -> None:
        """Add the marks [2, rows, columns] of what surely lies inside, and of what may, of fakes from `start` on.

        Eight marks are added at once, as the bytes of a word.
        """
        words = marks.view(torch.int64)
        sure, maybe = words.sum(1)
        counts = sure.view(torch.uint8)[: len(self.covered)]
        self.n_inside += int(counts.sum())
        self.covered |= counts > 0
        self.precise[start : start + marks.shape[1]] = words[0].amax(1) > 0
        columns = (sure != maybe).nonzero()[:, 0]
        if len(columns):
            both = words[:, :, columns].view(torch.bool)
            i, byte = (both[0] ^ both[1]).nonzero(as_tuple=True)
            self._open.append((i + start, 8 * columns[byte // 8] + byte % 8))
            self._n_open += len(i)
        if self._n_open > _PAIRS:
            self.settle()

    def settle(self) -> None:
        """Decide the pairs within rounding of a border."""
        if not self._open:
            return
        i, j = (torch.cat(side) for side in zip(*self._open, strict=True))
        inside = self.reals.hold(j, self.fakes, i)
        self.n_inside += int(inside.sum())
        self.precise[i[inside]], self.covered[j[inside]] = True, True
        self._open, self._n_open = [], 0


def _recall(overlap: Tensor, margin: float, reals: _Points, fakes: _Points) -> float:
    """Return the share of reals inside a fake's ball, from the deepest that each lies in one, up to rounding."""
    recalled = overlap > margin
    for columns in (overlap.abs() <= margin).nonzero()[:, 0].split(_CHUNK):
        depth = torch.addmm(fakes.reach[:, None], fakes.rough, reals.rough[columns].T)
        i, j = (depth >= (reals.half_norm[columns] - margin).float()).nonzero(as_tuple=True)
        recalled[columns[j[fakes.hold(i, reals, columns[j])]]] = True
    return float(recalled.double().mean())


def squared_radii(points: Float[Tensor, "n D"], k: int, *, chunk: int = _CHUNK) -> Float[Tensor, "n"]:
    """Return each point's squared Euclidean distance to its k-th nearest other point of the set, float64."""
    centred = (points.double() - points.double().mean(0)).float()
    return _squared_radii(points, centred, k, torch.arange(len(points)), chunk)


def _squared_radii(exact: Tensor, centred: Tensor, k: int, of: Tensor, chunk: int) -> Tensor:
    """Return the squared radii of some rows: products of `centred` find the neighbours, differences measure."""
    half_norm = 0.5 * centred.square().sum(1)
    n_candidates, radius = min(k + _SPARE, len(exact) - 1), []
    for rows, score in _scores(centred, half_norm, of, chunk):
        near = _smallest(score, n_candidates)
        gap = exact[near].double().sub_(exact[rows, None].double())
        radius.append(gap.square_().sum(2).topk(k, dim=1, largest=False).values[:, -1])
    return torch.cat(radius)


def _reach(rough: Tensor, half_norm: Tensor, k: int) -> Tensor:
    """Return (r^2 - |x|^2) / 2 of each row, r its distance to its k-th nearest other, up to rounding."""
    rows = torch.arange(len(rough))
    return torch.cat([_kth(score, k) for _, score in _scores(rough, half_norm, rows, 2 * _CHUNK)])


def _scores(x: Tensor, half_norm: Tensor, of: Tensor, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield some rows and their |y|^2 / 2 - x.y against all, [rows, width, groups], which order neighbours.

    The row itself and what fills the last group are at infinity. The next chunk overwrites the last one.
    """
    n, width = len(x), 8 * max(1, len(x) // 1250)
    groups = -(-n // width)
    right = torch.cat([-x, half_norm[:, None]], 1).T
    buffer = torch.full((min(chunk, len(of)), width * groups), math.inf, dtype=x.dtype)
    for rows in of.split(chunk):
        score = buffer[: len(rows)]
        torch.mm(torch.cat([x[rows], x.new_ones(len(rows), 1)], 1), right, out=score[:, :n])
        # the point itself must not count as a neighbour
        score[torch.arange(len(rows)), rows] = math.inf
        yield rows, score.view(len(rows), width, groups)


def _nearest_groups(score: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k groups of each row with the smallest least values, and what they hold: the k smallest of all."""
    n_rows, width, groups = score.shape
    least = score.view(n_rows, 8, width // 8, groups).amin(1).amin(1)
    chosen = least.topk(min(k, groups), dim=1, largest=False, sorted=False).indices
    return chosen, score.gather(2, chosen[:, None, :].expand(-1, width, -1)).view(n_rows, -1)


def _kth(score: Tensor, k: int) -> Tensor:
    """Return each row's k-th smallest of [rows, width, groups]."""
    # a vectorised partition of the whole row is faster up to some width
    few = score.shape[1] * score.shape[2] <= _WHOLE
    within = (score.flatten(1) if few else _nearest_groups(score, k)[1]).numpy()
    return torch.from_numpy(np.partition(within, k - 1, axis=1)[:, k - 1])


def _smallest(score: Tensor, k: int) -> Tensor:
    """Return the places of each row's k smallest of [rows, width, groups], places counted along both."""
    chosen, within = _nearest_groups(score, k)
    place = within.topk(k, dim=1, largest=False, sorted=False).indices
    n_chosen = chosen.shape[1]
    return place // n_chosen * score.shape[2] + chosen.gather(1, place % n_chosen)

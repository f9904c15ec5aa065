"""Precision, recall, density and coverage: whether samples lie where real points do, and the reverse."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.neighbours import kth, radii_of_rows, scores
from priorgap.estimators.uncertainty import Estimate, block_estimate, proportion_estimate

# The rows of a product at a time: below 256, so that the marks of a column can be counted in one byte.
_CHUNK = 250
_EPS = torch.finfo(torch.float32).eps
# The number of pairs that are decided at a time.
_PAIRS = 1 << 15

_Values = tuple[float, float, float, float]


@dataclass(frozen=True)
class PRDC:
    """Four neighbourhood measures of fake against real points; higher is better.

    Attributes:
        precision: share of fakes inside the k-neighbour ball of a real point, 0 to 1.
        recall: share of reals inside the k-neighbour ball of a fake point, 0 to 1.
        density: mean number of real balls a fake lies in, divided by k; about 1 at equal distributions, unbounded.
        coverage: share of real balls that hold a fake, 0 to 1; at equal distributions and sizes about 1 - 2^-k.
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
    real_reach: Float[Tensor, "n"] | None = None,
) -> PRDC:
    """Return precision, recall, density and coverage of `fake` against `real`, with standard errors.

    A point's ball reaches to its k-th nearest neighbour in its own set, itself not counted. All four depend
    on n and m, so compare at equal sizes only. Standard errors: both sets are cut at random into `n_blocks`
    disjoint blocks, each block of fakes is measured against its block of reals, and the spread of the blocks
    divided by sqrt(n_blocks) is taken: no point is ever met twice, as a bootstrap's duplicates would be. They
    describe the scatter, not how the value changes with the sample size; they tend to be too large (up to twice, seen
    for recall near 1). None where a block would have fewer than 2 k + 2 points.

    **Source**: Kynkäänniemi et al. (2019): precision, recall; Naeem et al. (2020): density, coverage.

    Args:
        real, fake: two sets.
        generator: draws the blocks.
        k: the neighbour that sets a ball's radius.
        n_blocks: blocks behind the standard errors.
        real_reach: `ball_reach(real, k)`, where it is known already.

    Raises:
        ValueError: a set has fewer than k + 1 rows, k < 1, or a `real_reach` of another set's size.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> real, far = torch.randn(200, 2, generator=g), torch.randn(200, 2, generator=g) + 100.0
        >>> found = precision_recall_density_coverage(real, far, generator=g)
        >>> found.precision.value, found.coverage.value
        (0.0, 0.0)
    """
    _check_k(k)
    check_matrix("real", real, min_rows=k + 1)
    check_matrix("fake", fake, min_rows=k + 1, n_columns=real.shape[1])
    if real_reach is not None and len(real_reach) != len(real):
        raise ValueError(f"real_reach has {len(real_reach)} rows: expected {len(real)}, as real has")
    centre = real.double().mean(0)
    size = min(len(real), len(fake)) // n_blocks
    if n_blocks < 2 or size < 2 * k + 2:
        whole, _ = _prdc(_Points(real, centre, k, reach=real_reach), _Points(fake, centre, k))
        return PRDC(*(Estimate(v) for v in whole))
    blocks = [torch.randperm(len(x), generator=generator).tensor_split(n_blocks) for x in (real, fake)]
    whole, parts = _prdc(_Points(real, centre, k, blocks[0], real_reach), _Points(fake, centre, k, blocks[1]))
    spread = [block_estimate(column) for column in torch.tensor(parts, dtype=torch.float64).T]
    return PRDC(*(Estimate(v, s.std_error) for v, s in zip(whole, spread, strict=True)))


def half_sample_errors(
    real: Float[Tensor, "n D"],
    fake: Float[Tensor, "m D"],
    *,
    generator: torch.Generator,
    k: int = 5,
    n_halves: int = 10,
) -> tuple[float, float, float, float] | None:
    """Return standard errors of precision, recall, density and coverage by random halves; None for too few points.

    The standard deviation of the four over pairs of halves, each drawn without replacement: halves of n differ by as
    much as sets of n of the population do (the delete-half jackknife, Shao & Wu 1989), and a ball of a half is only
    2^(1/D) times as wide. Balls of smaller blocks are wider, and miss the scatter of fakes that lie on a thinner set
    than the reals (errors of .13 to .6 of the true one). Where nothing varies over halves the error of a share is
    that of `proportion_estimate`; the density's is then 0.

    Raises:
        ValueError: as for the four; or n_halves < 2.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> real, fake = torch.randn(200, 2, generator=g), torch.randn(200, 2, generator=g)
        >>> all(0.0 < error < 0.2 for error in half_sample_errors(real, fake, generator=g))
        True
    """
    _check_k(k)
    check_matrix("real", real, min_rows=k + 1)
    check_matrix("fake", fake, min_rows=k + 1, n_columns=real.shape[1])
    if n_halves < 2:
        raise ValueError(f"n_halves={n_halves}: expected an integer >= 2")
    if min(len(real), len(fake)) // 2 < 2 * k + 2:
        return None
    values = []
    for _ in range(n_halves):
        halves = [x[torch.randperm(len(x), generator=generator)[: len(x) // 2]] for x in (real, fake)]
        centre = halves[0].double().mean(0)
        values.append(_prdc(*(_Points(half, centre, k) for half in halves))[0])
    found = torch.tensor(values, dtype=torch.float64)
    # In an odd set the part left out has one point more than the half.
    errors = [float(column.std()) * math.sqrt(len(real) // 2 / -(-len(real) // 2)) for column in found.T]
    for place, n in ((0, len(fake)), (1, len(real)), (3, len(real))):
        if errors[place] == 0:
            errors[place] = proportion_estimate(round(float(found[0, place]) * n), n).std_error or 0.0
    precision, recall, density, coverage = errors
    return precision, recall, density, coverage


def ball_reach(real: Float[Tensor, "n D"], k: int) -> Float[Tensor, "n"]:
    """Return the term of each ball's test that needs real points only; storing it saves a third of a comparison.

    The term is (r^2 - |x|^2) / 2, with x about the mean and r the distance to the k-th nearest other point, float32.

    Raises:
        ValueError: fewer than k + 1 rows, or k < 1.

    Example:
        >>> points = torch.arange(4.0)[:, None]
        >>> tuple(ball_reach(points, 1).shape)
        (4,)
    """
    _check_k(k)
    check_matrix("real", real, min_rows=k + 1)
    return _Points(real, real.double().mean(0), k).whole.reach


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k={k}: expected an integer >= 1")


@dataclass(frozen=True)
class _Balls:
    """Points with balls to their k-th neighbours, searched in float32 and decided in float64.

    Products use the points minus a common centre, which reduces rounding; pairs that they cannot decide are decided
    from differences of the given points, so that ties between integers remain ties.

    Attributes:
        given: the points as given.
        centred: about the centre, float64.
        rough: the same, float32.
        half_norm: |x|^2 / 2 about the centre, float64.
        reach: (r^2 - |x|^2) / 2, r the radius of the ball, float32 and as exact as that.
        radius: r^2, float64, computed where a decision needed it; nan elsewhere.
        k: the radius reaches to the k-th nearest other point.
    """

    given: Tensor
    centred: Tensor
    rough: Tensor
    half_norm: Tensor
    reach: Tensor
    radius: Tensor
    k: int

    def __len__(self) -> int:
        return len(self.given)

    def part(self, rows: slice, reach: Tensor) -> "_Balls":
        """Return the points of some rows (not copied), with the balls that these points have among themselves."""
        given, centred, rough = self.given[rows], self.centred[rows], self.rough[rows]
        unknown = torch.full_like(self.radius[rows], math.nan)
        return _Balls(given, centred, rough, self.half_norm[rows], reach[rows], unknown, self.k)

    def hold(self, ball: Tensor, others: "_Balls", point: Tensor) -> Tensor:
        """Return which points (rows of `others`) lie inside of their ball (a row of these), decided in float64."""
        unknown = torch.unique(ball[self.radius[ball].isnan()])
        if len(unknown):
            self.radius[unknown] = radii_of_rows(self.given, self.centred, self.half_norm, self.k, unknown)
        squared = [
            self.given[j].double().sub_(others.given[i].double()).square_().sum(1)
            for j, i in zip(ball.split(_PAIRS), point.split(_PAIRS), strict=True)
        ]
        return torch.cat(squared) < self.radius[ball]


class _Points:
    """A set of points with balls, of the whole set and of each block; its rows are sorted by block."""

    def __init__(
        self, x: Tensor, centre: Tensor, k: int, blocks: Sequence[Tensor] = (), reach: Tensor | None = None
    ):
        order = torch.cat(list(blocks)) if blocks else slice(None)
        given = x[order]
        edges = [0, *accumulate(map(len, blocks or [x]))]
        self.slices = [slice(*edge) for edge in pairwise(edges)]
        centred = given.double() - centre
        rough, half_norm = centred.float(), 0.5 * centred.square().sum(1)
        found, inner = torch.empty(2, len(x))
        if reach is None:
            for rows, score in scores(
                rough, half_norm.float(), (rows for _, rows in self.chunks(2 * _CHUNK))
            ):
                found[rows] = kth(score, k)
                if blocks:
                    own = next(s for s in self.slices if s.start <= int(rows[0]) < s.stop)
                    inner[rows] = kth(score.flatten(1)[:, None, own], k)
        else:
            found = reach[order]
            for own in self.slices if blocks else ():
                self._reach_within(own, rough[own], half_norm[own].float(), k, inner)
        radius = torch.full((len(x),), math.nan, dtype=torch.float64)
        self.whole = _Balls(given, centred, rough, half_norm, found, radius, k)
        self.blocks = [self.whole.part(rows, inner) for rows in self.slices] if blocks else []

    @staticmethod
    def _reach_within(own: slice, rough: Tensor, half_norm: Tensor, k: int, out: Tensor) -> None:
        """Write the reach of a block's points, computed among themselves, to `out`."""
        pieces = torch.arange(len(rough)).split(2 * _CHUNK)
        for rows, score in scores(rough, half_norm, pieces):
            out[rows + own.start] = kth(score, k)

    def chunks(self, size: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the rows in pieces of at most `size`, none across two blocks, with the block of each."""
        for block, rows in enumerate(self.slices):
            n_rows = rows.stop - rows.start
            for piece in torch.arange(rows.start, rows.stop).tensor_split(-(-n_rows // size)):
                yield block, piece


def _prdc(reals: _Points, fakes: _Points) -> tuple[_Values, list[_Values]]:
    """Return precision, recall, density and coverage of the whole sets and of each pair of blocks."""
    whole = _Overlap(reals.whole, fakes.whole)
    # One product gives x_i.y_j - |x_i|^2 / 2, which is above -reach_j where fake i lies in the ball of real j.
    left = torch.cat([fakes.whole.rough, -fakes.whole.half_norm.float()[:, None]], 1)
    right = torch.cat([reals.whole.rough, torch.ones(len(reals.whole), 1)], 1).T
    buffer, parts = torch.empty(_CHUNK, len(reals.whole)), []
    for block, pieces in groupby(fakes.chunks(_CHUNK), key=lambda item: item[0]):
        part = _Overlap(reals.blocks[block], fakes.blocks[block]) if fakes.blocks else None
        for _, rows in pieces:
            first, last = int(rows[0]), int(rows[-1]) + 1
            depth = torch.mm(left[first:last], right, out=buffer[: last - first])
            if part is not None:
                part.add(depth[:, reals.slices[block]].clone(), first - fakes.slices[block].start)
            whole.add(depth, first)
        if part is not None:
            parts.append(part.values())
    return whole.values(), parts


def _tolerance(width: int, *half_norms: Tensor) -> float:
    """Return a bound of the float32 rounding error of x.y - |x|^2 / 2 - |y|^2 / 2 (sums grow like a square root)."""
    scale = sum(float(h.max()) for h in half_norms)
    return 4 * _EPS * (math.sqrt(width) + 4) * scale


class _Overlap:
    """Counts of which fakes and reals lie in each other's balls, accumulated over chunks of their products."""

    def __init__(self, reals: _Balls, fakes: _Balls):
        self.reals, self.fakes = reals, fakes
        norms = reals.half_norm, fakes.half_norm
        self.margins = [_tolerance(reals.rough.shape[1], *norms, own, own) for own in norms]
        n, width = len(reals), 8 * -(-len(reals) // 8)
        self.borders = (-reals.reach + self.margins[0]).numpy(), (-reals.reach - self.margins[0]).numpy()
        self.radius = (fakes.reach.double() + fakes.half_norm).float()[:, None]
        # Marks of points that surely lie inside, and of those that may; the padding of the last word stays 0.
        self.marks = torch.zeros(2, _CHUNK, width, dtype=torch.bool)
        self.deepest = np.full(n, -np.inf, dtype=np.float32)
        self.precise = torch.zeros(len(fakes), dtype=torch.bool)
        self.covered = torch.zeros(n, dtype=torch.bool)
        self.n_inside = 0
        self.undecided: list[tuple[Tensor, Tensor]] = []

    def add(self, depth: Tensor, start: int) -> None:
        """Add x_i.y_j - |x_i|^2 / 2 of some fakes, from row `start` on, with all reals; overwrites `depth`."""
        marks, rows = self.marks[:, : len(depth)], slice(start, start + len(depth))
        for mark, border in zip(marks, self.borders, strict=True):
            # numpy's comparison is vectorised, torch's is not.
            np.greater(depth.numpy(), border, out=mark[:, : len(border)].numpy())
        np.maximum(self.deepest, depth.add_(self.radius[rows]).numpy().max(0), out=self.deepest)
        # Eight marks, the bytes of a 64-bit word, are added at once.
        words = marks.view(torch.int64)
        sure, maybe = words[0].sum(0), words[1].sum(0)
        counts = sure.view(torch.uint8)[: len(self.covered)]
        self.n_inside += int(counts.sum())
        self.covered |= counts > 0
        self.precise[rows] = words[0].amax(1) > 0
        columns = (sure != maybe).nonzero()[:, 0]
        if len(columns):
            both = words[:, :, columns].view(torch.bool)
            i, byte = (both[0] ^ both[1]).nonzero(as_tuple=True)
            self.undecided.append((i + start, 8 * columns[byte // 8] + byte % 8))
        if sum(len(i) for i, _ in self.undecided) > _PAIRS:
            self._decide()

    def _decide(self) -> None:
        """Decide in float64 the pairs that are within rounding error of a border."""
        if self.undecided:
            i, j = (torch.cat(side) for side in zip(*self.undecided, strict=True))
            inside = self.reals.hold(j, self.fakes, i)
            self.n_inside += int(inside.sum())
            self.precise[i[inside]], self.covered[j[inside]] = True, True
            self.undecided = []

    def values(self) -> _Values:
        """Return precision, recall, density and coverage."""
        self._decide()
        return (
            float(self.precise.double().mean()),
            float(self._recalled().double().mean()),
            self.n_inside / (self.reals.k * len(self.fakes)),
            float(self.covered.double().mean()),
        )

    def _recalled(self) -> Tensor:
        """Return which reals lie inside of a fake's ball."""
        reals, fakes, margin = self.reals, self.fakes, self.margins[1]
        overlap = torch.from_numpy(self.deepest).double() - reals.half_norm
        recalled = overlap > margin
        for columns in (overlap.abs() <= margin).nonzero()[:, 0].split(_CHUNK):
            depth = torch.addmm(fakes.reach[:, None], fakes.rough, reals.rough[columns].T)
            i, j = (depth >= (reals.half_norm[columns] - margin).float()).nonzero(as_tuple=True)
            recalled[columns[j[fakes.hold(i, reals, columns[j])]]] = True
        return recalled

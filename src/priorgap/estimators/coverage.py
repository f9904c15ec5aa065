"""Precision, recall, density and coverage: whether samples lie where real points do, and the reverse."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.balls import (
    CHUNK,
    PAIRS,
    Balls,
    PointSet,
    check_k,
    tolerance,
)
from priorgap.estimators.checks import check_matrix
from priorgap.estimators.uncertainty import Estimate, block_estimate

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

    Raises:
        ValueError: a set has fewer than k + 1 rows, or k < 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> real, far = torch.randn(200, 2, generator=g), torch.randn(200, 2, generator=g) + 100.0
        >>> found = precision_recall_density_coverage(real, far, generator=g)
        >>> found.precision.value, found.coverage.value
        (0.0, 0.0)
    """
    check_k(k)
    check_matrix("real", real, min_rows=k + 1)
    check_matrix("fake", fake, min_rows=k + 1, n_columns=real.shape[1])
    size, blocks = min(len(real), len(fake)) // n_blocks if n_blocks > 1 else 0, []
    if size >= 2 * k + 2:
        blocks = [torch.randperm(len(x), generator=generator).tensor_split(n_blocks) for x in (real, fake)]
    centre = real.double().mean(0)
    reals, fakes = (
        PointSet(x, centre, k, blocks[place] if blocks else ()) for place, x in enumerate((real, fake))
    )
    whole, parts = _prdc(reals, fakes)
    if not blocks:
        return PRDC(*(Estimate(v) for v in whole))
    spread = [block_estimate(column) for column in torch.tensor(parts, dtype=torch.float64).T]
    return PRDC(*(Estimate(v, s.std_error) for v, s in zip(whole, spread, strict=True)))


def _prdc(reals: PointSet, fakes: PointSet) -> tuple[_Values, list[_Values]]:
    """Return precision, recall, density and coverage of the whole sets and of each pair of blocks."""
    whole = _Overlap(reals.whole, fakes.whole)
    # One product gives x_i.y_j - |x_i|^2 / 2, which is above -reach_j where fake i lies in the ball of real j.
    left = torch.cat([fakes.whole.rough, -fakes.whole.half_norm.float()[:, None]], 1)
    right = torch.cat([reals.whole.rough, torch.ones(len(reals.whole), 1)], 1).T
    buffer, parts = torch.empty(CHUNK, len(reals.whole)), []
    for block, pieces in groupby(fakes.chunks(CHUNK), key=lambda item: item[0]):
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


class _Overlap:
    """Counts of which fakes and reals lie in each other's balls, accumulated over chunks of their products."""

    def __init__(self, reals: Balls, fakes: Balls):
        self.reals, self.fakes = reals, fakes
        norms = reals.half_norm, fakes.half_norm
        self.margins = [tolerance(reals.rough.shape[1], *norms, own, own) for own in norms]
        n, width = len(reals), 8 * -(-len(reals) // 8)
        self.borders = (-reals.reach + self.margins[0]).numpy(), (-reals.reach - self.margins[0]).numpy()
        self.radius = (fakes.reach.double() + fakes.half_norm).float()[:, None]
        # Marks of points that surely lie inside, and of those that may; the padding of the last word stays 0.
        self.marks = torch.zeros(2, CHUNK, width, dtype=torch.bool)
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
        if sum(len(i) for i, _ in self.undecided) > PAIRS:
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
        for columns in (overlap.abs() <= margin).nonzero()[:, 0].split(CHUNK):
            depth = torch.addmm(fakes.reach[:, None], fakes.rough, reals.rough[columns].T)
            i, j = (depth >= (reals.half_norm[columns] - margin).float()).nonzero(as_tuple=True)
            recalled[columns[j[fakes.hold(i, reals, columns[j])]]] = True
        return recalled

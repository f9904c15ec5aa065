"""Points with balls to their k-th neighbours: found in float32, decided in float64 where rounding could matter."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.neighbours import kth, radii_of_rows, scores, smallest

# The rows of a product at a time: below 256, so that the marks of a column can be counted in one byte.
CHUNK = 250
# The number of pairs that are decided at a time.
PAIRS = 1 << 15
_EPS = torch.finfo(torch.float32).eps


def check_k(k: int) -> None:
    """Refuse k below 1.

    Example:
        >>> check_k(5)
    """
    if k < 1:
        raise ValueError(f"k={k}: expected an integer >= 1")


@dataclass(frozen=True, eq=False)
class OwnNeighbours:
    """The nearest other points of each point in its own set, which all its balls can be read from.

    The score of y for x is |y|^2 / 2 - x.y = (|x - y|^2 - |x|^2) / 2 about the centre, float32: the k-th score gives
    the ball that reaches to the k-th neighbour, in the set and in any part of it that holds k of them.

    Attributes:
        score: the smallest scores, in ascending order.
        index: whose they are.
        centre: the vector subtracted before the products, float64.
    """

    score: Float[Tensor, "n near"]
    index: Int[Tensor, "n near"]
    centre: Float[Tensor, "D"]

    @classmethod
    def of(
        cls, points: Float[Tensor, "n D"], k: int, *, centre: Float[Tensor, "D"] | None = None
    ) -> "OwnNeighbours":
        """Find 4 k + 4 neighbours of each point, which hold k of a random half but once in a thousand.

        Args:
            points: the set.
            k: the neighbour that a ball reaches to.
            centre: the points' mean by default; sets that are compared need the same.

        Raises:
            ValueError: fewer than k + 1 points, or k < 1.

        Example:
            >>> near = OwnNeighbours.of(torch.tensor([[0.0], [1.0], [3.0]]), 1)
            >>> near.index[:, 0].tolist()
            [1, 0, 1]
        """
        check_k(k)
        check_matrix("points", points, min_rows=k + 1)
        centre = points.double().mean(0) if centre is None else centre
        rough, half_norm = _centred(points, centre)[1:]
        n_near = min(4 * k + 4, len(points) - 1)
        score, index = torch.empty(len(points), n_near), torch.empty(len(points), n_near, dtype=torch.long)
        for rows, among in scores(rough, half_norm.float(), torch.arange(len(points)).split(2 * CHUNK)):
            index[rows] = smallest(among, n_near)
            score[rows] = among.flatten(1).gather(1, index[rows])
        return cls(score, index, centre)

    def __len__(self) -> int:
        return len(self.score)

    def check(self, name: str, n: int, k: int) -> None:
        """Refuse neighbours of another number of points, or fewer than k of each."""
        if len(self) != n:
            raise ValueError(f"{name} has {len(self)} rows: expected {n}, one for each point")
        if self.score.shape[1] < k:
            raise ValueError(
                f"{name} has {self.score.shape[1]} neighbours of each point: expected k={k} or more"
            )

    def reach(self, k: int) -> Float[Tensor, "n"]:
        """Return (r^2 - |x|^2) / 2 of each ball, r its radius."""
        return self.score[:, k - 1]


def _centred(points: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the points about a centre in float64 and float32, and |x|^2 / 2 of each, float64."""
    centred = points.double() - centre
    return centred, centred.float(), 0.5 * centred.square().sum(1)


@dataclass(frozen=True)
class Balls:
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

    @classmethod
    def of(cls, given: Tensor, centre: Tensor, k: int, reach: Tensor) -> "Balls":
        """Return points whose balls' reach is known."""
        radius = torch.full((len(given),), math.nan, dtype=torch.float64)
        return cls(given, *_centred(given, centre), reach, radius, k)

    def __len__(self) -> int:
        return len(self.given)

    def part(self, rows: slice | Tensor, reach: Tensor) -> "Balls":
        """Return the points of some rows (a slice copies none), with the balls that they have among themselves."""
        given, centred, rough = self.given[rows], self.centred[rows], self.rough[rows]
        unknown = torch.full_like(self.radius[rows], math.nan)
        return Balls(given, centred, rough, self.half_norm[rows], reach[rows], unknown, self.k)

    def hold(self, ball: Tensor, others: "Balls", point: Tensor) -> Tensor:
        """Return which points (rows of `others`) lie inside of their ball (a row of these), decided in float64."""
        unknown = torch.unique(ball[self.radius[ball].isnan()])
        if len(unknown):
            self.radius[unknown] = radii_of_rows(self.given, self.centred, self.half_norm, self.k, unknown)
        squared = [
            self.given[j].double().sub_(others.given[i].double()).square_().sum(1)
            for j, i in zip(ball.split(PAIRS), point.split(PAIRS), strict=True)
        ]
        return torch.cat(squared) < self.radius[ball]


class PointSet:
    """A set of points with balls, of the whole set and of each block; its rows are sorted by block."""

    def __init__(self, x: Tensor, centre: Tensor, k: int, blocks: Sequence[Tensor] = ()):
        given = x[torch.cat(list(blocks))] if blocks else x
        edges = [0, *accumulate(map(len, blocks or [x]))]
        self.slices = [slice(*edge) for edge in pairwise(edges)]
        reach, inner = torch.empty(2, len(x))
        self.whole = Balls.of(given, centre, k, reach)
        half_norm = self.whole.half_norm.float()
        pieces = (rows for _, rows in self.chunks(2 * CHUNK))
        for rows, score in scores(self.whole.rough, half_norm, pieces):
            reach[rows] = kth(score, k)
            if blocks:
                own = next(s for s in self.slices if s.start <= int(rows[0]) < s.stop)
                inner[rows] = kth(score.flatten(1)[:, None, own], k)
        self.blocks = [self.whole.part(rows, inner) for rows in self.slices] if blocks else []

    def chunks(self, size: int) -> Iterator[tuple[int, Tensor]]:
        """Yield the rows in pieces of at most `size`, none across two blocks, with the block of each."""
        for block, rows in enumerate(self.slices):
            n_rows = rows.stop - rows.start
            for piece in torch.arange(rows.start, rows.stop).tensor_split(-(-n_rows // size)):
                yield block, piece


def tolerance(width: int, *half_norms: Tensor) -> float:
    """Return a bound of the float32 rounding error of x.y - |x|^2 / 2 - |y|^2 / 2 (sums grow like a square root).

    Example:
        >>> half_norms = torch.ones(2), torch.ones(3)
        >>> 0 < tolerance(16, *half_norms) < 1e-4
        True
    """
    scale = sum(float(h.max()) for h in half_norms)
    return 4 * _EPS * (math.sqrt(width) + 4) * scale

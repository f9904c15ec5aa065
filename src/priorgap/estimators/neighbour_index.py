"""An index of a set of points: exact nearest neighbours, found by a lower bound in a few principal directions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_matrix

# The number of principal directions in the bound; one more column holds the length of the remainder.
_DIRECTIONS = 64
# The number of rows of the set to which the directions are fitted.
_FIT_ROWS = 4096
# The number of scores of queries against the whole set that are computed at a time: 64 MB.
_SCORES = 1 << 24
# The number of coordinates of pairs of rows that are measured at a time, chosen to stay in the cache.
_COORDINATES = 1 << 19
# The number of pairs of rows that are sorted at a time.
_PAIRS = 1 << 20
# A query with more candidates than this may have them reduced first by products of all columns.
_CROWD = 256
# The cost of converting a point, in units of measuring one pair.
_CONVERSION = 4
# The number of rows that are centred, and of queries with many candidates that are processed, at a time.
_TILE, _QUERIES = 4096, 512
_EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True, eq=False)
class NeighbourIndex:
    """A set of points with projections ("shadows") that `nearest` compares before it measures distances.

    With P the projection on the directions and r_x the length of the remainder of x - centre,
    |x - y|² >= |P (x - y)|² + (|r_x| - |r_y|)²: the squared distance of shadows (P x, |r_x|), float32. Points whose
    bound is above a measured distance cannot be nearest; all others are measured, by differences in float64.
    Distances are those of a loop over all pairs, bit for bit, whatever the directions are.

    Attributes:
        points: the set, as given.
        centre: the vector subtracted before the projection, float64.
        directions: orthonormal columns, float64.
        shadows: (P x, |r_x|) of each point, float32.
        half_square: |shadow|² / 2, float32.
    """

    points: Float[Tensor, "n D"]
    centre: Float[Tensor, "D"]
    directions: Float[Tensor, "D k"]
    shadows: Float[Tensor, "n s"]
    half_square: Float[Tensor, "n"]

    @classmethod
    def of(cls, points: Float[Tensor, "n D"], *, n_directions: int = _DIRECTIONS) -> "NeighbourIndex":
        """Index a set, with directions from at most 4,096 evenly spaced rows; O(n D n_directions)."""
        check_matrix("points", points)
        if n_directions < 1:
            raise ValueError(f"n_directions={n_directions}: expected an integer >= 1")
        rows = torch.linspace(0, len(points) - 1, min(len(points), _FIT_ROWS), dtype=torch.float64).long()
        some = points[rows].double()
        centre = some.mean(0)
        return cls._shadowed(points, centre, _directions(some - centre, n_directions))

    @classmethod
    def _shadowed(cls, points: Tensor, centre: Tensor, directions: Tensor) -> "NeighbourIndex":
        shadows = _shadows(points, centre, directions)
        half = torch.cat([0.5 * part.double().square().sum(1) for part in shadows.split(_FIT_ROWS)])
        return cls(points, centre, directions, shadows, half.float())

    def __len__(self) -> int:
        return len(self.points)

    def over(self, points: Float[Tensor, "m D"]) -> "NeighbourIndex":
        """Return an index of another set with the same directions: as exact, and cheaper than new directions."""
        check_matrix("points", points, n_columns=self.points.shape[1])
        return self._shadowed(points, self.centre, self.directions)

    def take(self, rows: Int[Tensor, "m"]) -> "NeighbourIndex":
        """Return the index of some of the points."""
        own = self.points[rows], self.shadows[rows], self.half_square[rows]
        return NeighbourIndex(own[0], self.centre, self.directions, own[1], own[2])

    def nearest(
        self, queries: Float[Tensor, "m D"], *, exclude: Int[Tensor, "m"] | None = None
    ) -> tuple[Float[Tensor, "m"], Int[Tensor, "m"]]:
        """Return each query's Euclidean distance to its nearest point, float64, and that point's index.

        Among points at equal distance any may be returned. Memory beyond the points and their shadows is bounded.

        Args:
            queries: rows of the points' width.
            exclude: exclude[i] = j leaves point j out for query i; -1 leaves out none.

        Raises:
            ValueError: the width differs, or `exclude` leaves no point to search.
        """
        check_matrix("queries", queries, n_columns=self.points.shape[1])
        if exclude is not None and (exclude.shape != (len(queries),) or len(self) < 2):
            raise ValueError(
                f"exclude has shape {tuple(exclude.shape)}: expected [{len(queries)}] and at least 2 points"
            )
        squared, index = self._nearest(queries, 1, exclude)
        return squared[:, 0].sqrt(), index[:, 0]

    def nearest_two(self, queries: Float[Tensor, "m D"]) -> tuple[Float[Tensor, "m 2"], Int[Tensor, "m 2"]]:
        """Return each query's distances to its two nearest points, float64, the nearest first, and their indices.

        Raises:
            ValueError: the width differs, or there are fewer than 2 points.
        """
        check_matrix("queries", queries, n_columns=self.points.shape[1])
        if len(self) < 2:
            raise ValueError(f"{len(self)} points: expected at least 2")
        squared, index = self._nearest(queries, 2, None)
        return squared.sqrt(), index

    def squared_radii(self, k: int) -> Float[Tensor, "n"]:
        """Return each point's squared distance to its k-th nearest other point, float64.

        Raises:
            ValueError: k is below 1, or not below the number of points.
        """
        if not 1 <= k < len(self):
            raise ValueError(f"k={k}: expected an integer from 1 to {len(self) - 1}")
        return self._nearest(self.points, k, torch.arange(len(self)))[0][:, -1]

    @cached_property
    def _centred(self) -> tuple[Tensor, Tensor]:
        """The centred points and |x|² / 2, float32; computed only for queries with too many candidates."""
        points, half = [], []
        for rows in self.points.split(_TILE):
            centred = rows.double() - self.centre
            points.append(centred.float())
            half.append((0.5 * centred.square().sum(1)).float())
        return torch.cat(points), torch.cat(half)

    def _nearest(self, queries: Tensor, k: int, exclude: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the k smallest squared distances of each query in order, and the indices of their points: [m, k]."""
        distance = torch.empty(len(queries), k, dtype=torch.float64)
        index = torch.empty(len(queries), k, dtype=torch.long)
        # One product gives |t|² / 2 - s.t, which orders the points of a query as the bound does.
        right = torch.cat([-self.shadows, self.half_square[:, None]], 1).T
        chunk = max(1, min(len(queries), _SCORES // len(self)))
        buffer = torch.empty(chunk, len(self))
        for start in range(0, len(queries), chunk):
            some = slice(start, min(start + chunk, len(queries)))
            shadows = _shadows(queries[some], self.centre, self.directions)
            score = torch.mm(
                torch.cat([shadows, torch.ones(len(shadows), 1)], 1), right, out=buffer[: len(shadows)]
            )
            left_out = None if exclude is None else exclude[some]
            distance[some], index[some] = self._of_chunk(queries[some], shadows, score, k, left_out)
        return distance, index

    def _of_chunk(
        self, queries: Tensor, shadows: Tensor, score: Tensor, k: int, exclude: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        _leave_out(score, exclude)
        values = score.numpy()
        column = torch.from_numpy(_smallest(values, k))
        row = torch.arange(len(queries)).repeat_interleave(k)
        # The k points with the smallest bounds are measured; points with bounds above the largest of these are ruled
        # out.
        squared, order = squared_distances(queries, self.points, row, column.flatten()).view(-1, k).sort(1)
        found, reached = column.gather(1, order), squared[:, -1]
        half = 0.5 * shadows.double().square().sum(1)
        rounding = _rounding(half, float(self.half_square.max()), shadows.shape[1])
        wanted = values <= (0.5 * reached - half + rounding).float().numpy()[:, None]
        # A query with k points at distance 0 needs no further search.
        wanted[(reached == 0).numpy()] = False
        for rows in _crowded(wanted):
            left_out = None if exclude is None else exclude[rows]
            wanted[rows.numpy()] &= self._within(queries[rows], k, left_out)
        for piece in _pieces(np.count_nonzero(wanted, axis=1)):
            some, near, whose = self._least(queries[piece], wanted[piece], k)
            squared[piece][some], found[piece][some] = near, whose
        return squared, found

    def _within(self, queries: Tensor, k: int, exclude: Tensor | None) -> "_Marks":
        """Mark the points that may be among a query's k nearest, by products of all columns in float32."""
        rows = (queries.double() - self.centre).float()
        points, square = self._centred
        score = torch.addmm(square[None], rows, points.T, alpha=-1)
        _leave_out(score, exclude)
        values = score.numpy()
        rounding = _rounding(0.5 * rows.double().square().sum(1), float(square.max()), queries.shape[1])
        kth = np.partition(values, k - 1, axis=1)[:, k - 1 : k]
        near: np.ndarray = values <= kth + (2 * rounding).float().numpy()[:, None]
        return near

    def _least(self, queries: Tensor, wanted: "_Marks", k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries with candidates, and for each the k smallest squared distances and their points."""
        row, column = (torch.from_numpy(part) for part in np.divmod(np.flatnonzero(wanted), wanted.shape[1]))
        if queries.dtype == self.points.dtype == torch.float32:
            row, column = self._survivors(queries, row, column, k)
        squared = squared_distances(queries, self.points, row, column)
        some = row.unique_consecutive()
        chosen = _least_of_each(row, squared, k)
        return some, squared[chosen], column[chosen]

    def _survivors(self, queries: Tensor, row: Tensor, column: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the pairs that are among their query's k nearest, up to the rounding of float32 differences."""
        rough = squared_distances(queries, self.points, row, column, dtype=torch.float32)
        limit = torch.zeros(len(queries))
        limit[row.unique_consecutive()] = rough[_least_of_each(row, rough, k)[:, -1]]
        # Sums of squares have no cancellation: in both sums each term and each addition rounds once.
        kept = rough <= (limit * (1 + 4 * (queries.shape[1] + 2) * _EPS) + 1e-36)[row]
        return row[kept], column[kept]


_Marks = np.ndarray[Any, np.dtype[np.bool_]]


def _leave_out(score: Tensor, column: Tensor | None) -> None:
    """Set the score of one column of each row to infinity; column numbers outside of the range mean none."""
    if column is not None:
        row = ((column >= 0) & (column < score.shape[1])).nonzero()[:, 0]
        score[row, column[row]] = math.inf


def _rounding(half: Tensor, largest: float, width: int) -> Tensor:
    """Return a bound of the float32 rounding error of |t|² / 2 - s.t, half = |s|² / 2 (sums grow like a root)."""
    return 4 * _EPS * (math.sqrt(width) + 4) * (half + largest)


def _crowded(wanted: _Marks) -> Iterator[Tensor]:
    """Yield groups of rows with so many candidates that products of all columns cost less than measuring them."""
    count = np.count_nonzero(wanted, axis=1)
    crowded = count > _CROWD
    # The products convert and read each point once.
    if count[crowded].sum() > _CONVERSION * wanted.shape[1]:
        yield from torch.from_numpy(np.flatnonzero(crowded)).split(_QUERIES)


def _pieces(count: "np.ndarray[Any, np.dtype[np.int64]]") -> Iterator[slice]:
    """Yield runs of rows with at most 2^20 candidates together, or a single row; skip runs without candidates."""
    total, start = np.concatenate([[0], np.cumsum(count)]), 0
    while start < len(count):
        stop = max(start + 1, int(np.searchsorted(total, total[start] + _PAIRS, side="right")) - 1)
        if total[stop] > total[start]:
            yield slice(start, stop)
        start = stop


def _least_of_each(row: Tensor, value: Tensor, k: int) -> Tensor:
    """Return, for each row that occurs (in ascending order), the positions of its k smallest values, sorted."""
    order = value.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    start = torch.searchsorted(row, row.unique_consecutive())
    return order[start[:, None] + torch.arange(k)]


def squared_distances(
    a: Tensor, b: Tensor, i: Tensor, j: Tensor, *, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "m"]:
    """Return |a_i - b_j|² of pairs of rows, computed by differences.

    Example:
        >>> a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
        >>> squared_distances(a, b, torch.tensor([0]), torch.tensor([0])).tolist()
        [25.0]
    """
    n_pairs = max(1, _COORDINATES // a.shape[1])
    parts = [
        a.index_select(0, rows).to(dtype).sub_(b.index_select(0, others).to(dtype)).square_().sum(1)
        for rows, others in zip(i.split(n_pairs), j.split(n_pairs), strict=True)
    ]
    return torch.cat(parts)


def _shadows(x: Tensor, centre: Tensor, directions: Tensor) -> Float[Tensor, "n s"]:
    parts = []
    for rows in x.split(max(1, _COORDINATES // x.shape[1])):
        centred = rows.double() - centre
        along = centred @ directions
        rest = (centred.square().sum(1) - along.square().sum(1)).clamp_min(0).sqrt()
        parts.append(torch.cat([along, rest[:, None]], 1).float())
    return torch.cat(parts)


def _directions(centred: Tensor, k: int) -> Float[Tensor, "D k"]:
    """Return approximately the k principal directions by subspace iteration: O(n D k) for any D."""
    width = centred.shape[1]
    if k >= width:
        return torch.eye(width, dtype=torch.float64)
    start = torch.randn(width, k, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(start)[0]
    for _ in range(4):
        basis = torch.linalg.qr(centred.T @ (centred @ basis))[0]
    return basis


def _smallest(
    values: "np.ndarray[Any, np.dtype[np.float32]]", k: int
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the positions of each row's k smallest values, in any order."""
    if k > 2:
        return np.argpartition(values, k - 1, axis=1)[:, :k]
    # For small k two passes over the values cost a tenth of a partition.
    rows, places = np.arange(len(values)), [values.argmin(1)]
    if k == 2:
        least = values[rows, places[0]]
        values[rows, places[0]] = np.inf
        places.append(values.argmin(1))
        values[rows, places[0]] = least
    return np.stack(places, 1)

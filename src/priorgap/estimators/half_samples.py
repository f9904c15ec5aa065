"""Standard errors of precision, recall, density and coverage by random halves, from one pass over all pairs."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from priorgap.estimators.balls import CHUNK, Balls, OwnNeighbours, check_k, tolerance
from priorgap.estimators.checks import check_matrix
from priorgap.estimators.coverage import PRDC, precision_recall_density_coverage
from priorgap.estimators.uncertainty import Estimate, proportion_estimate

# More pairs than this for each point are not kept: each half is then measured by itself.
_MOST_PAIRS = 128

_Values = tuple[float, float, float, float]
_Part = tuple[Tensor, Tensor]


def prdc_by_halves(
    real: Float[Tensor, "n D"],
    fake: Float[Tensor, "m D"],
    *,
    generator: torch.Generator,
    k: int = 5,
    n_halves: int = 10,
    real_neighbours: OwnNeighbours | None = None,
) -> PRDC:
    """Return precision, recall, density and coverage with standard errors by random halves; none for too few points.

    The values are those of `precision_recall_density_coverage`, digit for digit. An error is the standard deviation
    of the four over pairs of halves, each drawn without replacement: halves of n differ by as much as sets of n of
    the population do (the delete-half jackknife, Shao & Wu 1989), and a ball of a half is only 2^(1/D) times as wide.
    Balls of smaller blocks are wider, and miss the scatter of fakes that lie on a thinner set than the reals (errors
    of .13 to .6 of the true one). Where nothing varies over halves the error of a share is that of
    `proportion_estimate`; the density's is then 0.

    All balls are read from each point's neighbours in the whole set, and the pairs that lie in the widest of them are
    found once: a product of both sets in place of one for each half.

    Args:
        real, fake: two sets.
        generator: draws the halves.
        k: the neighbour that sets a ball's radius.
        n_halves: the number of pairs of halves.
        real_neighbours: `OwnNeighbours.of(real, k)`, where it is known already.

    Raises:
        ValueError: a set has fewer than k + 1 rows, k < 1, n_halves < 2, or neighbours of another set's size.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> real, fake = torch.randn(200, 2, generator=g), torch.randn(200, 2, generator=g)
        >>> 0.0 < prdc_by_halves(real, fake, generator=g).precision.std_error < 0.2
        True
    """
    check_k(k)
    check_matrix("real", real, min_rows=k + 1)
    check_matrix("fake", fake, min_rows=k + 1, n_columns=real.shape[1])
    if n_halves < 2:
        raise ValueError(f"n_halves={n_halves}: expected an integer >= 2")
    if real_neighbours is not None:
        real_neighbours.check("real_neighbours", len(real), k)
    if min(len(real), len(fake)) // 2 < 2 * k + 2:
        return precision_recall_density_coverage(real, fake, generator=generator, k=k, n_blocks=1)
    halves = [(_half(len(real), generator), _half(len(fake), generator)) for _ in range(n_halves)]
    reals = real_neighbours or OwnNeighbours.of(real, k)
    fakes = OwnNeighbours.of(fake, k, centre=reals.centre)
    whole, *parts = _values(_Set(real, reals, k), _Set(fake, fakes, k), halves)
    # In an odd set the part left out has one point more than the half.
    odd = math.sqrt(len(real) // 2 / -(-len(real) // 2))
    errors = [float(column.std()) * odd for column in torch.tensor(parts, dtype=torch.float64).T]
    for place, n in ((0, len(fake)), (1, len(real)), (3, len(real))):
        if errors[place] == 0:
            errors[place] = proportion_estimate(round(parts[0][place] * n), n).std_error or 0.0
    return PRDC(*map(Estimate, whole, errors))


def _half(n: int, generator: torch.Generator) -> Int[Tensor, "rows"]:
    return torch.randperm(n, generator=generator)[: n // 2]


class _Set:
    """A set of points with its neighbours, and the balls of its parts."""

    def __init__(self, points: Tensor, near: OwnNeighbours, k: int):
        self.near, self.k = near, k
        self.balls = Balls.of(points, near.centre, k, near.reach(k))

    def reach(self, part: Int[Tensor, "rows"]) -> Float[Tensor, "n"]:
        """Return (r^2 - |x|^2) / 2 of a part's balls, which reach to the k-th neighbour within it; -inf elsewhere."""
        among = self.members(part)
        within = among[self.near.index]
        place = (within.cumsum(1) == self.k) & within
        reach = torch.full((len(self.near),), -math.inf)
        known = among & place.any(1)
        reach[known] = self.near.score[place & known[:, None]]
        # A point with fewer than k of the part among its neighbours is compared with the whole part.
        for rows in (among & ~known).nonzero()[:, 0].split(CHUNK):
            reach[rows] = self._reach_of(rows, part)
        return reach

    def _reach_of(self, rows: Tensor, part: Tensor) -> Tensor:
        rough, half_norm = self.balls.rough, self.balls.half_norm.float()
        score = half_norm[part] - rough[rows] @ rough[part].T
        score[rows[:, None] == part] = math.inf
        return score.kthvalue(self.k).values

    def members(self, part: Int[Tensor, "rows"]) -> Bool[Tensor, "n"]:
        """Return which points are of a part."""
        among = torch.zeros(len(self.near), dtype=torch.bool)
        among[part] = True
        return among


@dataclass(frozen=True)
class _Pairs:
    """The pairs of a fake and a real that may lie in each other's balls in some part.

    Attributes:
        fake, real: the rows.
        depth: x.y - |x|^2 / 2 of fake x and real y about the centre, float32.
    """

    fake: Int[Tensor, "p"]
    real: Int[Tensor, "p"]
    depth: Float[Tensor, "p"]


def _values(reals: _Set, fakes: _Set, halves: list[_Part]) -> list[_Values]:
    """Return precision, recall, density and coverage of the whole sets, then of each pair of halves."""
    parts = [(torch.arange(len(reals.near)), torch.arange(len(fakes.near))), *halves]
    reaches = [(reals.reach(i), fakes.reach(j)) for i, j in parts]
    widest = [torch.stack(of_all).amax(0) for of_all in zip(*reaches, strict=True)]
    pairs = _close_pairs(reals.balls, fakes.balls, widest[0], widest[1])
    if pairs is None:
        return [_alone(reals, fakes, part) for part in parts]
    return [_of_part(reals, fakes, part, reach, pairs) for part, reach in zip(parts, reaches, strict=True)]


def _alone(reals: _Set, fakes: _Set, part: _Part) -> _Values:
    """Return the four of a pair of parts from all their pairs, however many lie in each other's balls."""
    found = precision_recall_density_coverage(
        reals.balls.given[part[0]],
        fakes.balls.given[part[1]],
        generator=torch.Generator(),
        k=reals.k,
        n_blocks=1,
    )
    return found.precision.value, found.recall.value, found.density.value, found.coverage.value


def _margins(reals: Balls, fakes: Balls) -> tuple[float, float]:
    """Return bounds of the rounding error of a test of a real's ball and of a fake's."""
    width, norms = reals.rough.shape[1], (reals.half_norm, fakes.half_norm)
    in_real, in_fake = (tolerance(width, *norms, own, own) for own in norms)
    return in_real, in_fake


def _close_pairs(reals: Balls, fakes: Balls, real_reach: Tensor, fake_reach: Tensor) -> _Pairs | None:
    """Return the pairs that lie in a ball of these reaches, up to rounding; None for too many of them."""
    in_real, in_fake = _margins(reals, fakes)
    left = torch.cat([fakes.rough, -fakes.half_norm.float()[:, None]], 1)
    right = torch.cat([reals.rough, torch.ones(len(reals), 1)], 1).T
    of_real = (-real_reach - in_real).numpy()
    # A fake's ball: depth + radius > half norm of the real, the radius being reach + half norm.
    of_fake = (reals.half_norm.float() - in_fake).numpy()
    radius = (fake_reach.double() + fakes.half_norm).float()[:, None]
    buffer, shifted = torch.empty(2, CHUNK, len(reals))
    parts, n_pairs, most = [], 0, _MOST_PAIRS * (len(reals) + len(fakes))
    for rows in torch.arange(len(fakes)).split(CHUNK):
        first, last = int(rows[0]), int(rows[-1]) + 1
        depth = torch.mm(left[first:last], right, out=buffer[: len(rows)])
        near = np.greater(depth.numpy(), of_real)
        near |= np.greater(torch.add(depth, radius[rows], out=shifted[: len(rows)]).numpy(), of_fake)
        flat = torch.from_numpy(np.flatnonzero(near))
        n_pairs += len(flat)
        if n_pairs > most:
            return None
        fake, real = flat // len(reals), flat % len(reals)
        parts.append((fake + first, real, depth.view(-1)[flat]))
    fake, real, depth = (torch.cat(side) for side in zip(*parts, strict=True))
    return _Pairs(fake, real, depth)


def _of_part(reals: _Set, fakes: _Set, part: _Part, reach: _Part, pairs: _Pairs) -> _Values:
    """Return precision, recall, density and coverage of a pair of parts."""
    margins = _margins(reals.balls, fakes.balls)
    kept = reals.members(part[0])[pairs.real] & fakes.members(part[1])[pairs.fake]
    fake, real, depth = pairs.fake[kept], pairs.real[kept], pairs.depth[kept].double()
    gap = depth + reach[0][real]
    in_real, open_real = gap > margins[0], gap.abs() <= margins[0]
    gap = depth + (reach[1].double() + fakes.balls.half_norm)[fake] - reals.balls.half_norm[real]
    in_fake, open_fake = gap > margins[1], gap.abs() <= margins[1]
    if bool((open_real | open_fake).any()):
        # What float32 leaves open is decided among the part's own points.
        own_real, own_fake = reals.balls.part(part[0], reach[0]), fakes.balls.part(part[1], reach[1])
        row_real, row_fake = _numbered(part[0], len(reals.near)), _numbered(part[1], len(fakes.near))
        i, j = row_real[real], row_fake[fake]
        in_real[open_real] = own_real.hold(i[open_real], own_fake, j[open_real])
        in_fake[open_fake] = own_fake.hold(j[open_fake], own_real, i[open_fake])
    n_real, n_fake = len(part[0]), len(part[1])
    return (
        len(fake[in_real].unique()) / n_fake,
        len(real[in_fake].unique()) / n_real,
        int(in_real.sum()) / (reals.k * n_fake),
        len(real[in_real].unique()) / n_real,
    )


def _numbered(part: Tensor, n: int) -> Int[Tensor, "n"]:
    """Return each point's row in a part; -1 elsewhere."""
    row = torch.full((n,), -1)
    row[part] = torch.arange(len(part))
    return row

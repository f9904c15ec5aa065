"""Distances to the k-th nearest neighbour: products find the neighbours, direct differences give the distances."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

# The number of rows of a product that are processed at a time.
_CHUNK = 256
# The number of neighbours beyond the k-th that are measured, too, because rounding may change the order.
_SPARE = 2
# Up to this many scores a whole row is partitioned, without selecting groups first.
_WHOLE = 2048


def squared_radii(points: Float[Tensor, "n D"], k: int, *, chunk: int = _CHUNK) -> Float[Tensor, "n"]:
    """Return each point's squared Euclidean distance to its k-th nearest other point of the set, float64.

    Neighbours are found in float32: among points that are closer to each other than 1e-3 of the set's extent any may
    be used.

    Example:
        >>> squared_radii(torch.tensor([[0.0], [1.0], [3.0]]), 1).tolist()
        [1.0, 1.0, 4.0]
    """
    centred = (points.double() - points.double().mean(0)).float()
    half_norm, n_candidates = 0.5 * centred.square().sum(1), min(k + _SPARE, len(points) - 1)
    return torch.cat(
        [
            _measured(points, rows, smallest(score, n_candidates), k)
            for rows, score in scores(centred, half_norm, torch.arange(len(points)).split(chunk))
        ]
    )


def radii_of_rows(
    points: Float[Tensor, "n D"],
    centred: Float[Tensor, "n D"],
    half_norm: Float[Tensor, "n"],
    k: int,
    rows: Int[Tensor, "r"],
) -> Float[Tensor, "r"]:
    """Return the squared radii of some rows, float64; the neighbours are found in float64, too.

    Args:
        points: the set as given, whose differences give the distances.
        centred: the same points minus any centre, whose products find the neighbours.
        half_norm: |x|^2 / 2 of `centred`.
        k: the radius reaches to the k-th nearest other point.
        rows: the rows whose radii are returned.

    Example:
        >>> points = torch.tensor([[0.0], [1.0], [3.0]])
        >>> radii_of_rows(points, points, points.square().sum(1) / 2, 1, torch.tensor([2])).tolist()
        [4.0]
    """
    n_candidates, radius = min(k + _SPARE, len(points) - 1), []
    for some in rows.split(_CHUNK):
        score = torch.addmm(half_norm, centred[some], centred.T, alpha=-1)
        score[torch.arange(len(some)), some] = math.inf
        near = score.topk(n_candidates, largest=False).indices
        radius.append(_measured(points, some, near, k))
    return torch.cat(radius)


def _measured(points: Tensor, rows: Tensor, near: Tensor, k: int) -> Tensor:
    """Return each row's k-th smallest squared distance to its candidates, by differences in float64."""
    gap = points[near].double().sub_(points[rows, None].double())
    return gap.square_().sum(2).topk(k, largest=False).values[:, -1]


def scores(x: Tensor, half_norm: Tensor, chunks: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield chunks of rows and their scores |y|^2 / 2 - x.y against all points, [rows, width, groups].

    The scores order each row's neighbours. The row itself and the padding of the last group have the score infinity.
    The next chunk overwrites the previous one.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [3.0]])
        >>> ((rows, score),) = scores(x, x.square().sum(1) / 2, [torch.arange(3)])
        >>> [one.flatten().argmin().item() for one in score]  # each point's nearest other one
        [1, 0, 1]
    """
    n, width, chunks = len(x), 8 * max(1, len(x) // 1250), list(chunks)
    groups = -(-n // width)
    right = torch.cat([-x, half_norm[:, None]], 1).T
    buffer = torch.full((max(map(len, chunks)), width * groups), math.inf, dtype=x.dtype)
    for rows in chunks:
        score = buffer[: len(rows)]
        torch.mm(torch.cat([x[rows], x.new_ones(len(rows), 1)], 1), right, out=score[:, :n])
        # A point must not count as its own neighbour.
        score[torch.arange(len(rows)), rows] = math.inf
        yield rows, score.view(len(rows), width, groups)


def _nearest_groups(score: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return each row's k groups with the smallest minima, and their scores, which include its k smallest."""
    n_rows, width, groups = score.shape
    least = score.view(n_rows, 8, width // 8, groups).amin(1).amin(1)
    chosen = _least(least, k) if k < groups else torch.arange(groups).expand(n_rows, -1)
    return chosen, score.gather(2, chosen[:, None, :].expand(-1, width, -1)).view(n_rows, -1)


def _least(values: Tensor, k: int) -> Tensor:
    """Return the positions of each row's k smallest values."""
    among = values.numpy()
    # numpy's vectorised partition gives the k-th value; only ties or infinities select more than k.
    places = np.flatnonzero(among <= np.partition(among, k - 1)[:, k - 1 : k])
    if len(places) == k * len(values):
        return torch.from_numpy(places % values.shape[1]).view(-1, k)
    return values.topk(k, largest=False).indices


def kth(score: Tensor, k: int) -> Tensor:
    """Return each row's k-th smallest value of [rows, width, groups].

    Example:
        >>> kth(torch.tensor([[3.0, 1.0, 2.0]])[..., None], 2).tolist()
        [2.0]
    """
    # Up to some length a vectorised partition of the whole row is faster.
    few = score.shape[1] * score.shape[2] <= _WHOLE
    within = score.flatten(1).clone() if few else _nearest_groups(score, k)[1]
    among = within.numpy()
    among.partition(k - 1)
    return within[:, k - 1]


def smallest(score: Tensor, k: int) -> Tensor:
    """Return the positions of each row's k smallest values of [rows, width, groups], the smallest first.

    Positions are numbered along both axes.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [3.0]])
        >>> ((rows, score),) = scores(x, x.square().sum(1) / 2, [torch.arange(3)])
        >>> smallest(score, 2).tolist()  # of each point, the nearest and the second nearest other one
        [[1, 2], [0, 2], [1, 0]]
    """
    chosen, within = _nearest_groups(score, k)
    place = within.topk(k, largest=False).indices
    n_chosen = chosen.shape[1]
    return place // n_chosen * score.shape[2] + chosen.gather(1, place % n_chosen)

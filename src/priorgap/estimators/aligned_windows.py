"""Distances between windows of series after the best shift of a few steps, over the steps that they share."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.series import stride_of

MAX_STEPS = 4
# Two windows are compared over at least this share of their steps.
_LEAST_SHARE = 0.75
# The number of pairs of windows that are processed at a time.
_PAIRS = 4_000_000


@dataclass(frozen=True, eq=False)
class AlignedWindows:
    """Windows, training windows first, and how many consecutive ones share steps.

    Where windows overlap, the next window is the same one shifted, so it is left out in the search for the second
    nearest. A copy may be nearest to any of such windows, so that `stretch` consecutive ones count as one.

    Attributes:
        windows: float64, minus the mean of each channel.
        stretch: the number of consecutive windows that share steps; 1 where none do.
        n_train: the number of training windows.
    """

    windows: Float[Tensor, "n T f"]
    centre: Float[Tensor, "f"]
    stretch: int
    n_train: int

    @classmethod
    def of(cls, train: Float[Tensor, "n T f"], unseen: Float[Tensor, "m T f"]) -> "AlignedWindows | None":
        """Index two sets of windows, each in order of time; None where they are too few or too short.

        Raises:
            ValueError: the sets are not [n, T, f] with the same T and f.
        """
        if train.ndim != 3 or min(len(train), len(unseen)) < 1 or train.shape[1:] != unseen.shape[1:]:
            raise ValueError(
                f"windows have shapes {tuple(train.shape)} and {tuple(unseen.shape)}: expected [n, T, f] of one T, f"
            )
        stride = stride_of(train)
        stretch = 1 if stride is None else -(-train.shape[1] // stride)
        # Whichever window is the nearest, the set must hold another one that shares no steps with it.
        if max_shift(train.shape[1]) < 1 or len(train) + len(unseen) < 2 * stretch:
            return None
        windows = torch.cat([train, unseen]).double()
        centre = windows.mean((0, 1))
        return cls(windows - centre, centre, stretch, len(train))

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of stretches of training windows, and of unseen windows."""
        n_unseen = len(self.windows) - self.n_train
        return -(-self.n_train // self.stretch), -(-n_unseen // self.stretch)

    def nearest_two(self, queries: Float[Tensor, "m T f"]) -> tuple[Float[Tensor, "m 2"], Int[Tensor, "m 2"]]:
        """Return distances to the nearest window and the nearest that shares no steps with it, and their stretches.

        A distance is the root mean square difference over the steps that both have after the best shift; the search
        is exact. All windows are treated alike.

        Raises:
            ValueError: the queries have another shape.
        """
        if queries.shape[1:] != self.windows.shape[1:]:
            raise ValueError(
                f"queries has shape {tuple(queries.shape)}: expected windows {tuple(self.windows.shape[1:])}"
            )
        centred = queries.double() - self.centre
        place = torch.arange(len(self.windows))
        found = []
        for x in centred.split(max(1, _PAIRS // len(self.windows))):
            scores = self._scores(x)
            first = scores.argmin(1, keepdim=True)
            scores[(place - first).abs() < self.stretch] = torch.inf
            found.append(torch.cat([first, scores.argmin(1, keepdim=True)], 1))
        index = torch.cat(found)
        # Matrix products find the windows; direct differences then give exact distances.
        distance = aligned_distance(centred, self.windows[index])
        # Rounding of the products may have swapped two windows at nearly equal distances.
        order = distance.argsort(dim=1, stable=True)
        return distance.gather(1, order), self._stretches(index.gather(1, order))

    def _scores(self, x: Float[Tensor, "b T f"]) -> Float[Tensor, "b n"]:
        """Return mean squared differences after the best shift, computed by matrix products."""
        (n_steps, n_channels), rows, flat = x.shape[1:], x.flatten(1), self.windows.flatten(1)
        best = torch.full((len(x), len(flat)), torch.inf, dtype=torch.float64)
        for own, other in _overlaps(n_steps):
            a, b = (rows_of[:, part.start * n_channels : part.stop * n_channels]
                    for rows_of, part in ((rows, own), (flat, other)))  # fmt: skip
            gaps = torch.addmm(b.square().sum(1), a, b.T, alpha=-2) + a.square().sum(1, keepdim=True)
            best = torch.minimum(best, gaps / a.shape[1])
        return best

    def _stretches(self, index: Int[Tensor, "m 2"]) -> Int[Tensor, "m 2"]:
        unseen = self.sizes[0] + (index - self.n_train) // self.stretch
        return torch.where(index < self.n_train, index // self.stretch, unseen)


def max_shift(n_steps: int) -> int:
    """Return the largest shift of windows with this many steps: 4, and less for windows shorter than 16.

    Example:
        >>> max_shift(48), max_shift(4)
        (4, 1)
    """
    return min(MAX_STEPS, n_steps - int(-(-n_steps * _LEAST_SHARE // 1)))


def aligned_distance(x: Float[Tensor, "m T f"], candidates: Float[Tensor, "m k T f"]) -> Float[Tensor, "m k"]:
    """Return each window's least root mean square difference to each candidate, over shifts and shared steps.

    Example:
        >>> x = torch.arange(12.0)[None, :, None]
        >>> aligned_distance(x, (x + 1.0)[None]).item()  # the same line, one step on
        0.0
    """
    gaps = [
        (x[:, None, own].double() - candidates[:, :, other].double()).square().mean((2, 3))
        for own, other in _overlaps(x.shape[1])
    ]
    return torch.stack(gaps).amin(0).sqrt()


def _overlaps(n_steps: int) -> list[tuple[slice, slice]]:
    """Return for each shift the steps of two windows that coincide."""
    reach = max_shift(n_steps)
    return [
        (slice(max(0, shift), n_steps + min(0, shift)), slice(max(0, -shift), n_steps - max(0, shift)))
        for shift in range(-reach, reach + 1)
    ]

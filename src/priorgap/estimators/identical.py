"""Rows that are equal in every column (or images equal up to a grey level): found, and counted with exact limits."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from priorgap.estimators.two_sample import clopper_pearson
from priorgap.estimators.uncertainty import Estimate, proportion_estimate

if TYPE_CHECKING:
    from scipy.spatial import KDTree

_DIGEST_BYTES = 16


@dataclass(frozen=True)
class ExactShare:
    """A proportion of independent rows with its exact limits (Clopper-Pearson), which never coincide.

    Attributes:
        estimate: hits / n, with a standard error that is not 0 at 0 or 1.
        low, high: each limit fails with probability at most (1 - level) / 2, for every n and every proportion.
    """

    estimate: Estimate
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, n: int, *, level: float = 0.95) -> "ExactShare":
        """Return the share of `hits` among `n`.

        Raises:
            ValueError: n below 1, hits outside 0..n, or a level outside (0, 1).
        """
        low, high = clopper_pearson(hits, n, level)
        return cls(proportion_estimate(hits, n), low, high)


@dataclass(frozen=True, eq=False)
class RowSet:
    """The rows of a data set, prepared for look-ups of whether a given row is one of them.

    Attributes:
        digests: one for each distinct row.
        n: the number of rows.
        levels: finds images that differ by a few grey levels; None where only equal rows count.
    """

    digests: frozenset[bytes]
    n: int
    levels: "GreyLevels | None" = None

    @classmethod
    def of(cls, rows: Tensor, *, within: int = 0) -> "RowSet":
        """Build the set from rows [n, ...], in the type in which they are stored.

        Args:
            rows: the rows of the set; uint8 images that differ slightly may count as equal.
            within: the number of grey levels by which a pixel may differ: noise of 1/255 changes a rounded pixel by
                1.

        Raises:
            ValueError: `within` is negative, or positive for rows other than uint8 images.
        """
        if within < 0 or (within and rows.dtype != torch.uint8):
            raise ValueError(f"within={within}: expected 0, or for uint8 images an integer above it")
        levels = GreyLevels.of(rows, within) if within and len(rows) else None
        return cls(frozenset(_digests(rows)), len(rows), levels)

    def holds(self, rows: Tensor) -> Bool[Tensor, "m"]:
        """Return which of these rows (of the same type) are in the set."""
        found = torch.tensor([digest in self.digests for digest in _digests(rows)], dtype=torch.bool)
        if self.levels is not None and not bool(found.all()):
            found[~found] = self.levels.holds(rows[~found])
        return found

    def shared(self, rows: Tensor) -> int:
        """Return how many of these rows are in the set."""
        return int(self.holds(rows).sum())


# An image whose pixels span fewer levels is nearly flat, and two nearly flat images are no evidence of copying.
_LEAST_SPAN = 16
_BLOCKS = 16
_CANDIDATES = 8


@dataclass(frozen=True, eq=False)
class GreyLevels:
    """Images with a search for one that differs from a given image by at most `within` grey levels in every pixel.

    If every pixel differs by at most `within`, so do means over blocks of pixels. A tree over these means finds the 8
    nearest candidates in the maximum norm, which are then compared pixel by pixel. Images whose pixels span fewer
    than 16 levels are left out, because flat images resemble each other.

    Attributes:
        images: the images as flat rows.
        tree: a tree over the means of their blocks.
        within: the number of grey levels by which a pixel may differ.
    """

    images: UInt8[Tensor, "n D"]
    tree: "KDTree"
    within: int

    @classmethod
    def of(cls, images: Tensor, within: int) -> "GreyLevels | None":
        """Build the index from the distinct ones of uint8 images [n, ...]; None where all of them are flat."""
        from scipy.spatial import KDTree

        rows = images.detach().cpu().flatten(1)
        rows = rows[_spans(rows) >= _LEAST_SPAN]
        if len(rows) == 0:
            return None
        # Viewed as void scalars, rows are sorted by their bytes, many times faster than column by column.
        _, first = np.unique(rows.contiguous().numpy().view(f"V{rows.shape[1]}"), return_index=True)
        rows = rows[torch.from_numpy(np.sort(first))]
        return cls(rows, KDTree(_block_means(rows)), within)

    def holds(self, images: Tensor) -> Bool[Tensor, "m"]:
        """Return which of these uint8 images are in the set, up to `within` grey levels."""
        rows = images.detach().cpu().flatten(1)
        found = torch.zeros(len(rows), dtype=torch.bool)
        asked = (_spans(rows) >= _LEAST_SPAN).nonzero()[:, 0]
        if len(asked) == 0:
            return found
        k = min(_CANDIDATES, len(self.images))
        reach = self.within + 1e-3
        _, near = self.tree.query(_block_means(rows[asked]), k=k, p=np.inf, distance_upper_bound=reach)
        near = torch.from_numpy(near.reshape(len(asked), k))
        query, rank = (near < len(self.images)).nonzero(as_tuple=True)
        for part in torch.arange(len(query)).split(4096):
            mine, theirs = asked[query[part]], near[query[part], rank[part]]
            apart = (rows[mine].short() - self.images[theirs].short()).abs().amax(1)
            found[mine[apart <= self.within]] = True
        return found


def _spans(rows: Tensor) -> Tensor:
    low, high = rows.aminmax(dim=1)
    return high.short() - low.short()


def _block_means(rows: Tensor) -> npt.NDArray[np.float64]:
    blocks = rows.tensor_split(min(_BLOCKS, rows.shape[1]), dim=1)
    return np.stack(
        [(block.sum(1, dtype=torch.int64) / block.shape[1]).double().numpy() for block in blocks], 1
    )


def _digests(rows: Tensor) -> list[bytes]:
    flat = rows.detach().cpu().flatten(1)
    # -0.0 equals 0.0, so both must have the same digest.
    flat = flat + 0.0 if flat.is_floating_point() else flat
    return [blake2b(row.tobytes(), digest_size=_DIGEST_BYTES).digest() for row in flat.contiguous().numpy()]

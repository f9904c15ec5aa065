"""Rows that are equal in every column: found by digests, counted with exact limits."""

from dataclasses import dataclass
from hashlib import blake2b

import torch
from jaxtyping import Bool
from torch import Tensor

from priorgap.estimators.two_sample import clopper_pearson
from priorgap.estimators.uncertainty import Estimate, proportion_estimate

_DIGEST_BYTES = 16


@dataclass(frozen=True)
class ExactShare:
    """A proportion of independent rows with its exact limits (Clopper-Pearson), which are never equal.

    Attributes:
        estimate: hits / n, with a standard error that is not 0 at 0 or 1.
        low, high: each limit errs with probability (1 - level) / 2 at most, for every n and every proportion.
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


@dataclass(frozen=True)
class RowSet:
    """The rows of a data set by their digests, to be asked whether a row is one of them.

    Attributes:
        digests: one for each distinct row.
        n: how many rows there were.
    """

    digests: frozenset[bytes]
    n: int

    @classmethod
    def of(cls, rows: Tensor) -> "RowSet":
        """Take the rows of a set, [n, ...], as they are stored."""
        return cls(frozenset(_digests(rows)), len(rows))

    def holds(self, rows: Tensor) -> Bool[Tensor, "m"]:
        """Return which rows, of the same type, are equal to one of the set in every column."""
        return torch.tensor([digest in self.digests for digest in _digests(rows)], dtype=torch.bool)

    def shared(self, rows: Tensor) -> int:
        """Return how many rows are equal to one of the set in every column."""
        return int(self.holds(rows).sum())


def _digests(rows: Tensor) -> list[bytes]:
    flat = rows.detach().cpu().flatten(1)
    # -0 equals 0, and must have its digest
    flat = flat + 0.0 if flat.is_floating_point() else flat
    return [blake2b(row.tobytes(), digest_size=_DIGEST_BYTES).digest() for row in flat.contiguous().numpy()]

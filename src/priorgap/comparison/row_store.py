"""Rows that arrive in batches, collected in one tensor: all of them, or a seeded sample of as many as fit."""

import numpy as np
import torch
from torch import Tensor

# The bytes of rows that are kept from a loader or data set, with images as bytes and vectors as 32-bit floats.
MOST_BYTES = 512 * 2**20
# Random numbers are drawn in blocks of this size, so that the sample does not depend on the batches.
_KEYS = 4096


class RowStore:
    """Rows in one preallocated tensor; if they do not all fit, a uniform sample of them without replacement.

    **Source**: algorithm R of Vitter (1985), "Random sampling with a reservoir".
    """

    def __init__(self, x: Tensor, generator: torch.Generator) -> None:
        self._x, self._generator = x, generator
        self._kept = np.empty(len(x), np.int64)
        self._keys = np.empty(0)
        self.n_seen = 0

    @classmethod
    def like(cls, x: Tensor, n: int | None, generator: torch.Generator) -> "RowStore":
        """Return a store for rows like those of `x`, n of them if that is known."""
        row = x[0].numel() * x.element_size()
        most = max(1, MOST_BYTES // row)
        # The operating system takes memory only when it is written to.
        return cls(torch.empty((most if n is None else min(n, most), *x.shape[1:]), dtype=x.dtype), generator)

    def add(self, x: Tensor) -> None:
        """Add the next rows."""
        room = max(0, len(self._x) - self.n_seen)
        head = x[:room]
        self._x[self.n_seen : self.n_seen + len(head)] = head
        self._kept[self.n_seen : self.n_seen + len(head)] = np.arange(self.n_seen, self.n_seen + len(head))
        numbers = np.arange(self.n_seen + len(head), self.n_seen + len(x))
        self.n_seen += len(x)
        if len(numbers):
            place = (self._uniform(len(numbers)) * (numbers + 1)).astype(np.int64)
            chosen = place < len(self._x)
            # Where several rows were drawn for one place, the last one is kept.
            last = {int(p): i for i, p in zip(np.flatnonzero(chosen), place[chosen], strict=True)}
            to, of = np.array(list(last), np.int64), np.array(list(last.values()), np.int64)
            self._x[torch.from_numpy(to)] = x[torch.from_numpy(of) + len(head)]
            self._kept[to] = numbers[of]

    def _uniform(self, n: int) -> np.ndarray:
        while len(self._keys) < n:
            fresh = torch.rand(_KEYS, generator=self._generator, dtype=torch.float64).numpy()
            self._keys = np.concatenate([self._keys, fresh])
        found, self._keys = self._keys[:n], self._keys[n:]
        return found

    def rows(self) -> tuple[Tensor, np.ndarray | None]:
        """Return the kept rows, and their numbers if these are not all."""
        if self.n_seen <= len(self._x):
            return self._x[: self.n_seen], None
        return self._x, self._kept

"""In-memory batches whose order and noise depend on (seed, epoch) alone."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from priorgap.data.splits import Split
from priorgap.streams import stream

Batch = tuple[Tensor, Tensor]


class TrainBatches:
    """Yields (x as stored, noise) over a permutation that belongs to the epoch.

    Epoch e draws its permutation from stream(seed, "order", e), its noise from stream(seed, "noise", e), so a
    run that resumes at an epoch's boundary sees what an undisturbed run would have seen.

    Args:
        split: the data.
        latent_dim: columns of the noise.
        batch_size: rows per batch; the last may be smaller.
        seed: the run's seed.
        epoch: returns the current epoch, asked once at the start of each pass.
    """

    def __init__(
        self, split: Split, latent_dim: int, batch_size: int, *, seed: int, epoch: Callable[[], int]
    ) -> None:
        self._split, self._latent_dim, self._batch_size = split, latent_dim, batch_size
        self._seed, self._epoch = seed, epoch

    def __len__(self) -> int:
        return -(-len(self._split) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch()
        order = torch.randperm(len(self._split), generator=stream(self._seed, "order", epoch))
        noise = stream(self._seed, "noise", epoch)
        for rows in order.split(self._batch_size):
            yield self._split.x[rows], torch.randn(len(rows), self._latent_dim, generator=noise)


class ValidationBatches:
    """Yields (x as stored, noise) in order, with the same noise in every epoch."""

    def __init__(self, split: Split, latent_dim: int, batch_size: int, *, seed: int) -> None:
        self._x = split.x
        generator = stream(seed, "validation noise")
        self._noise = torch.randn(len(split), latent_dim, generator=generator)
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._x) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        yield from zip(self._x.split(self._batch_size), self._noise.split(self._batch_size), strict=True)

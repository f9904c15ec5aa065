"""In-memory batches whose order and noise depend on (seed, epoch) alone."""

import math
from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor

from priorgap.core.random import stream
from priorgap.data.binarize import training_images
from priorgap.data.splits import Split

# x as stored, noise and, for conditional models, labels
Batch = tuple[Tensor, ...]

# Lightning's hooks cost more than a small network's step: it is handed blocks of this many batches
BLOCK = 25


def _blocks(batches: Iterator[Batch]) -> Iterator[list[Batch]]:
    while block := list(islice(batches, BLOCK)):
        yield block


def _n_blocks(n_rows: int, batch_size: int) -> int:
    return math.ceil(math.ceil(n_rows / batch_size) / BLOCK)


def _label_of(split: Split) -> Tensor:
    if split.label is None:
        raise ValueError("the model is conditional: expected data with labels")
    return split.label


class TrainBatches:
    """Yields blocks of (x as stored, noise[, label]) over a permutation that belongs to the epoch.

    Epoch e draws its permutation from stream(seed, "order", e), its noise from stream(seed, "noise", e), so a
    run that resumes at an epoch's boundary sees what an undisturbed run would have seen; so do the images of a
    split that is binarised anew in each epoch.

    Args:
        split: the data.
        latent_dim: columns of the noise.
        batch_size: rows per batch; the last may be smaller.
        seed: the run's seed.
        epoch: returns the current epoch, asked once at the start of each pass.
        labels: whether batches carry the split's labels, for a conditional model.
    """

    def __init__(
        self,
        split: Split,
        latent_dim: int,
        batch_size: int,
        *,
        seed: int,
        epoch: Callable[[], int],
        labels: bool = False,
    ) -> None:
        self._split, self._latent_dim, self._batch_size = split, latent_dim, batch_size
        self._seed, self._epoch = seed, epoch
        self._label = _label_of(split) if labels else None

    def __len__(self) -> int:
        return _n_blocks(len(self._split), self._batch_size)

    @property
    def n_steps(self) -> int:
        """Batches of one epoch."""
        return math.ceil(len(self._split) / self._batch_size)

    def __iter__(self) -> Iterator[list[Batch]]:
        return _blocks(self._batches())

    def _batches(self) -> Iterator[Batch]:
        epoch = self._epoch()
        order = torch.randperm(len(self._split), generator=stream(self._seed, "order", epoch))
        noise = stream(self._seed, "noise", epoch)
        x = training_images(self._split, seed=self._seed, epoch=epoch)
        for rows in order.split(self._batch_size):
            drawn = torch.randn(len(rows), self._latent_dim, generator=noise)
            # index_select copies rows whole, which indexing does not
            yield (x.index_select(0, rows), drawn, *([] if self._label is None else [self._label[rows]]))


class ValidationBatches:
    """Yields blocks of (x as stored, noise[, label]) in order, with the same noise in every epoch."""

    def __init__(
        self, split: Split, latent_dim: int, batch_size: int, *, seed: int, labels: bool = False
    ) -> None:
        self._x = split.x
        generator = stream(seed, "validation noise")
        self._noise = torch.randn(len(split), latent_dim, generator=generator)
        self._batch_size = batch_size
        self._parts = [self._x, self._noise, *([_label_of(split)] if labels else [])]

    def __len__(self) -> int:
        return _n_blocks(len(self._x), self._batch_size)

    def __iter__(self) -> Iterator[list[Batch]]:
        return _blocks(zip(*(part.split(self._batch_size) for part in self._parts), strict=True))

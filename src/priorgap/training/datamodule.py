"""A data set in memory as Lightning's data module; an epoch's order and draws depend only on (seed, epoch)."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from priorgap.core.random import stream
from priorgap.data.binarize import training_images
from priorgap.data.splits import Dataset, Split
from priorgap.training.config import VALIDATION_BATCH
from priorgap.training.lightning import pl

# Lightning's loop around a batch costs up to a tenth of a small network's step (benchmarks/sweep.py, part a).
_STEPS_OF_A_BATCH = 8
_BYTES_OF_A_BATCH = 2**24


def steps_of_a_batch(rows: Tensor, batch_size: int) -> int:
    """Return for how many steps Lightning gets rows at a time, at least 1; fewer where rows are large."""
    size = batch_size * rows[:1].numel() * rows.element_size()
    return max(1, min(_STEPS_OF_A_BATCH, _BYTES_OF_A_BATCH // max(size, 1)))


class Batch(NamedTuple):
    """Some rows of a split.

    Attributes:
        x: the rows as they are stored.
        noise: noise for validation rows, the same in every epoch; None for training rows, whose noise is drawn at
            each step.
        label: the labels, for conditional models.
    """

    x: Tensor
    noise: Tensor | None
    label: Tensor | None

    def split(self, n_rows: int) -> "list[Batch]":
        """Return the rows of each step, `n_rows` of them or, in the last step, what is left.

        Parts are copied, because the last bits of a product may depend on the address where its input starts.
        """
        if len(self.x) <= n_rows:
            return [self]
        columns = [() if part is None else part.split(n_rows) for part in self]
        return [
            Batch(x.clone(), *(None if part is None else part.clone() for part in others))
            for x, *others in zip_longest(*columns)
        ]


class Rows(TorchDataset[Batch]):
    """The rows of a split, gathered one batch at a time.

    Args:
        split: the data.
        labels: whether batches carry the split's labels, for a conditional model.
        noise: one row of noise for each row of the split, or None.

    Raises:
        ValueError: labels are requested, and the split has none.
    """

    def __init__(self, split: Split, *, labels: bool = False, noise: Tensor | None = None) -> None:
        if labels and split.label is None:
            raise ValueError("the model is conditional: expected data with labels")
        self.x, self._noise = split.x, noise
        self._label = split.label if labels else None

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Return the batch of these rows; PyTorch calls this method to get many rows at once."""
        index = torch.tensor(rows)
        # index_select copies whole rows, which is faster than indexing.
        parts = (self.x, self._noise, self._label)
        return Batch(*(None if part is None else part.index_select(0, index) for part in parts))  # type: ignore[arg-type]


class EpochSampler(Sampler[int]):
    """A permutation of the training rows that depends on (seed, epoch): stream(seed, "order", epoch).

    Lightning calls `set_epoch` before each epoch, after a resume too, so that a run resumed between epochs gets the
    same order as an uninterrupted run. The same holds for images that are binarised anew in each epoch.

    Args:
        rows: the rows that are sampled; their images are set for each epoch.
        split: the split that they come from.
        seed: the run's seed.
    """

    def __init__(self, rows: Rows, split: Split, seed: int) -> None:
        self._rows, self._split, self._seed = rows, split, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        self._rows.x = training_images(self._split, seed=self._seed, epoch=self._epoch)
        order = torch.randperm(len(self._rows), generator=stream(self._seed, "order", self._epoch))
        return iter(order.tolist())


def _whole(batch: Any) -> Any:
    """Return the argument, because `Rows` has already built the batch."""
    return batch


class ImageData(pl.LightningDataModule):
    """Training rows in a new order in each epoch, validation rows in order with fixed noise.

    Args:
        dataset: the data set, of which `train` and `validation` are read.
        latent_dim: the number of columns of the noise.
        batch_size: rows per step; the last of an epoch may be smaller.
        seed: the run's seed.
        labels: whether batches carry labels, for a conditional model.
        n_steps: the number of steps for which Lightning gets rows at a time.
    """

    def __init__(
        self,
        dataset: Dataset,
        latent_dim: int,
        batch_size: int,
        *,
        seed: int,
        labels: bool = False,
        n_steps: int = 1,
    ) -> None:
        super().__init__()
        self._dataset, self._seed = dataset, seed
        self._batch_size, self._n_steps = batch_size, n_steps
        self._train = Rows(dataset.train, labels=labels)
        noise = torch.randn(len(dataset.validation), latent_dim, generator=stream(seed, "validation noise"))
        self._validation = Rows(dataset.validation, labels=labels, noise=noise)

    @property
    def training_rows(self) -> Split:
        """The training data."""
        return self._dataset.train

    @property
    def steps_per_epoch(self) -> int:
        """The number of training steps of an epoch."""
        return -(-len(self._train) // self._batch_size)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the training batches."""
        sampler = EpochSampler(self._train, self._dataset.train, self._seed)
        return self._loader(self._train, self._batch_size * self._n_steps, sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation batches."""
        return self._loader(self._validation, VALIDATION_BATCH, None)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch of at most three tensors; Lightning's own method would search through nested collections."""
        return Batch(*(None if part is None else part.to(device, non_blocking=True) for part in batch))  # type: ignore[arg-type]

    @staticmethod
    def _loader(rows: Rows, batch_size: int, sampler: EpochSampler | None) -> DataLoader[Batch]:
        # Without a generator of its own PyTorch's loader draws from the global stream.
        return DataLoader(
            rows, batch_size, sampler=sampler, collate_fn=_whole, num_workers=0, generator=torch.Generator()
        )

"""A data set in memory as Lightning's data module: order and draws of an epoch depend on (seed, epoch) alone."""

from collections.abc import Iterator, Sequence
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


class Batch(NamedTuple):
    """Some rows.

    Attributes:
        x: as stored.
        noise: of validation rows, the same in every epoch; training draws its own.
        label: for conditional models.
    """

    x: Tensor
    noise: Tensor | None
    label: Tensor | None


class Rows(TorchDataset[Batch]):
    """The rows of a split, gathered a batch at a time.

    Args:
        split: the data.
        labels: whether batches carry the split's labels, for a conditional model.
        noise: a row for each of the split's, or none.

    Raises:
        ValueError: labels are asked for, and there are none.
    """

    def __init__(self, split: Split, *, labels: bool = False, noise: Tensor | None = None) -> None:
        if labels and split.label is None:
            raise ValueError("the model is conditional: expected data with labels")
        self.x, self._noise = split.x, noise
        self._label = split.label if labels else None

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Return the batch of these rows: PyTorch's way to ask for many at once."""
        index = torch.tensor(rows)
        # index_select copies rows whole, which indexing does not
        parts = (self.x, self._noise, self._label)
        return Batch(*(None if part is None else part.index_select(0, index) for part in parts))  # type: ignore[arg-type]


class EpochSampler(Sampler[int]):
    """A permutation of the training rows that belongs to (seed, epoch): stream(seed, "order", epoch).

    Lightning calls `set_epoch` before each epoch, after a resume too, so that a run that goes on at an epoch's
    boundary sees what an undisturbed run would have seen; so do images that are binarised anew in each epoch.

    Args:
        rows: what is sampled; its images are those of the epoch.
        split: where they come from.
        seed: the run's.
    """

    def __init__(self, rows: Rows, split: Split, seed: int) -> None:
        self._rows, self._split, self._seed = rows, split, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        self._rows.x = training_images(self._split, seed=self._seed, epoch=self._epoch)
        order = torch.randperm(len(self._rows), generator=stream(self._seed, "order", self._epoch))
        return iter(order.tolist())


def _whole(batch: Any) -> Any:
    """Return what `Rows` gathered: a batch already."""
    return batch


class ImageData(pl.LightningDataModule):
    """Training rows in an order of their own in each epoch, validation rows in order with the same noise.

    Args:
        dataset: `train` and `validation` are read.
        latent_dim: columns of the noise.
        batch_size: rows per step; the last of an epoch may be smaller.
        seed: the run's.
        labels: whether batches carry labels, for a conditional model.
    """

    def __init__(
        self, dataset: Dataset, latent_dim: int, batch_size: int, *, seed: int, labels: bool = False
    ) -> None:
        super().__init__()
        self._dataset, self._batch_size, self._seed = dataset, batch_size, seed
        self._train = Rows(dataset.train, labels=labels)
        noise = torch.randn(len(dataset.validation), latent_dim, generator=stream(seed, "validation noise"))
        self._validation = Rows(dataset.validation, labels=labels, noise=noise)

    @property
    def training_rows(self) -> Split:
        """The training data."""
        return self._dataset.train

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the training batches."""
        sampler = EpochSampler(self._train, self._dataset.train, self._seed)
        return self._loader(self._train, self._batch_size, sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation batches."""
        return self._loader(self._validation, VALIDATION_BATCH, None)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch: three tensors at most, where Lightning's own way looks through nested collections."""
        return Batch(*(None if part is None else part.to(device, non_blocking=True) for part in batch))  # type: ignore[arg-type]

    @staticmethod
    def _loader(rows: Rows, batch_size: int, sampler: EpochSampler | None) -> DataLoader[Batch]:
        # a generator of its own: without one PyTorch draws from the global stream
        return DataLoader(
            rows, batch_size, sampler=sampler, collate_fn=_whole, num_workers=0, generator=torch.Generator()
        )

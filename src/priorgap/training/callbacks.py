"""What happens at the end of an epoch: curves, best weights, early stopping, checkpoint, progress."""

import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from priorgap.core.artifacts import write_bytes
from priorgap.training.config import Record
from priorgap.training.datamodule import TrainBatches
from priorgap.training.lightning import TorchCheckpointIO, pl
from priorgap.training.module import Trainee


class History(pl.Callback):
    """Curves by epoch and, with `patience`, the best weights and the decision to stop; all survive a resume.

    Args:
        patience: epochs without a better validation loss before training stops; None never stops early.
        on_epoch: called with each new epoch's record.
    """

    def __init__(self, patience: int | None, on_epoch: Callable[[Record], None] | None = None) -> None:
        self.patience = patience
        self._on_epoch = on_epoch
        self.curves: list[Record] = []
        self.best_epoch = -1
        self.best_weights: dict[str, Tensor] = {}
        self.stopped = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch; validation has run already."""
        assert isinstance(pl_module, Trainee)
        record: Record = {"epoch": trainer.current_epoch, **pl_module.take_means()}
        self.curves.append(record)
        if self.patience is not None:
            best = self.curves[self.best_epoch]["validation_loss"] if self.best_epoch >= 0 else float("inf")
            if record["validation_loss"] < best:
                self.best_epoch = trainer.current_epoch
                weights = pl_module.network.state_dict()
                self.best_weights = {k: v.detach().to("cpu", copy=True) for k, v in weights.items()}
            self.stopped = trainer.current_epoch - self.best_epoch >= self.patience
            trainer.should_stop = trainer.should_stop or self.stopped
        if self._on_epoch is not None:
            self._on_epoch(dict(record))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resume needs."""
        return {
            "curves": [dict(r) for r in self.curves],
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "stopped": self.stopped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        self.curves = [dict(r) for r in state_dict["curves"]]
        self.best_epoch = state_dict["best_epoch"]
        self.best_weights = state_dict["best_weights"]
        self.stopped = state_dict["stopped"]


class EpochCheckpoint(pl.callbacks.Checkpoint):
    """Writes one checkpoint at the end of each epoch; Lightning runs it after all other callbacks."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace the checkpoint."""
        trainer.save_checkpoint(self._path)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, synced to disk."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write to a temporary name, sync, rename."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), buffer.getvalue())


class ProgressBar(pl.Callback):
    """One bar over all steps, on standard error, so that standard output stays free for results."""

    def __init__(self) -> None:
        self._bar: "tqdm[Any] | None" = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        batches = trainer.train_dataloader
        assert isinstance(batches, TrainBatches)
        steps = batches.n_steps
        self._bar = tqdm(
            total=steps * (trainer.max_epochs or 0),
            initial=steps * trainer.current_epoch,
            desc="train",
            unit="step",
            file=sys.stderr,
            dynamic_ncols=True,
        )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the bar by a block's steps."""
        if self._bar is not None:
            self._bar.update(len(batch))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's losses."""
        history = next((c for c in trainer.callbacks if isinstance(c, History)), None)  # type: ignore[attr-defined]
        if self._bar is not None and history is not None and history.curves:
            last = history.curves[-1]
            self._bar.set_postfix(
                epoch=int(last["epoch"]) + 1,
                train=f"{last['train_loss']:.4g}",
                validation=f"{last['validation_loss']:.4g}",
            )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

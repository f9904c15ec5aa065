"""Callbacks at the end of an epoch: curves, best weights, one checkpoint, progress."""

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from tqdm import tqdm

from priorgap.core.artifacts import write_bytes
from priorgap.training.config import Record
from priorgap.training.datamodule import ImageData
from priorgap.training.lightning import pl
from priorgap.training.module import MONITOR, Trainee

# The key of the history in a checkpoint.
HISTORY = "History"


class History:
    """Curves by epoch and, on request, the best epoch's weights; `EpochCheckpoint` adds to it and saves it.

    Args:
        keep_best: whether to keep the weights of the best validation loss.
        listeners: called with each new epoch's record.
    """

    def __init__(self, keep_best: bool, listeners: Sequence[Callable[[Record], None]] = ()) -> None:
        self._keep_best, self._listeners = keep_best, listeners
        self.curves: list[Record] = []
        self.best_epoch = -1
        self.best_weights: dict[str, Tensor] = {}
        self.stopped = False

    def add(self, record: Record, network: nn.Module) -> None:
        """Add an epoch; only a strictly smaller loss counts as better."""
        self.curves.append(record)
        if self._keep_best:
            best = self.curves[self.best_epoch][MONITOR] if self.best_epoch >= 0 else float("inf")
            if record[MONITOR] < best:
                self.best_epoch = len(self.curves) - 1
                weights = network.state_dict()
                self.best_weights = {k: v.detach().to("cpu", copy=True) for k, v in weights.items()}
        for listener in self._listeners:
            listener(dict(record))

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which training is resumed."""
        return {
            "curves": [dict(r) for r in self.curves],
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "stopped": self.stopped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.curves = [dict(r) for r in state_dict["curves"]]
        self.best_epoch = state_dict["best_epoch"]
        self.best_weights = state_dict["best_weights"]
        self.stopped = state_dict["stopped"]


class EpochCheckpoint(pl.callbacks.ModelCheckpoint):
    """Writes one file at the end of each epoch, in full or not at all, with everything that a resume needs.

    Lightning's own checkpoint writes best and last epoch to two files, which a kill can leave at different epochs,
    and loses its scores when the store is moved. Here `best_model_path` and `last_model_path` are the same file,
    because the history in it holds the best epoch's weights. Lightning runs this callback after all others.

    Args:
        path: the path of the file.
        history: the history, which each epoch is added to and which is saved in the file.
        at_the_end: whether the last epoch is saved only after training has ended, because a callback may change the
            weights then.
    """

    def __init__(self, path: Path, history: History, *, at_the_end: bool = False) -> None:
        super().__init__(
            dirpath=path.parent, filename=path.stem, monitor=MONITOR, mode="min", save_top_k=1,
            save_on_train_epoch_end=True, enable_version_counter=False,
        )  # fmt: skip
        self._path, self._history, self._at_the_end = path, history, at_the_end

    @property
    def state_key(self) -> str:
        """The key of this callback's state in the checkpoint."""
        return HISTORY

    def state_dict(self) -> dict[str, Any]:
        """Return the history."""
        return self._history.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the history."""
        self._history.load_state_dict(state_dict)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Do nothing, because the path is given."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do nothing."""

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Do nothing, because no checkpoint within an epoch can be resumed exactly."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do nothing, because the epoch has not ended."""

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Do nothing, because a checkpoint within an epoch could not be resumed exactly."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch to the history and save."""
        assert isinstance(pl_module, Trainee)
        epoch = trainer.current_epoch
        self._history.add({"epoch": epoch, **pl_module.means}, pl_module.network)
        # Early stopping has run before and made its decision.
        self._history.stopped = trainer.should_stop
        is_last = trainer.should_stop or epoch + 1 == trainer.max_epochs
        if not (self._at_the_end and is_last):
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the final weights, which callbacks may have changed at the end of training."""
        if self._at_the_end:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self._path)
        self.best_model_path = self.last_model_path = str(self._path)
        self.best_model_score = trainer.callback_metrics.get(MONITOR)


class AtomicCheckpointIO(pl.plugins.TorchCheckpointIO):
    """Writes a checkpoint in full or not at all."""

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
        self._hook: RemovableHandle | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar, which moves whenever the last of the optimisers takes a step."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        steps = data.steps_per_epoch
        self._hook = trainer.optimizers[-1].register_step_post_hook(self._move)
        self._bar = tqdm(
            total=steps * (trainer.max_epochs or 0),
            initial=steps * trainer.current_epoch,
            desc="train",
            unit="step",
            file=sys.stderr,
            dynamic_ncols=True,
        )

    def _move(self, optimizer: torch.optim.Optimizer, given: object, keywords: object) -> None:
        if self._bar is not None:
            self._bar.update()

    def show(self, record: Record) -> None:
        """Show an epoch's losses."""
        if self._bar is not None:
            self._bar.set_postfix(
                epoch=int(record["epoch"]) + 1,
                train=f"{record['train_loss']:.4g}",
                validation=f"{record['validation_loss']:.4g}",
            )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar, even after an error."""
        if self._hook is not None:
            self._hook.remove()
        if self._bar is not None:
            self._bar.close()
        self._hook = self._bar = None

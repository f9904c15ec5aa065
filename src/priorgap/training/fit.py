"""Train a model with Lightning, resumable at every epoch with identical results."""

import logging
import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from priorgap.data.splits import Dataset
from priorgap.models.conditional import ConditionalVAE
from priorgap.models.controls import Autoencoder
from priorgap.models.losses import ElboLoss
from priorgap.models.vae import VAE, load_weights
from priorgap.training.callbacks import AtomicCheckpointIO, EpochCheckpoint, History, ProgressBar
from priorgap.training.checks import check_data
from priorgap.training.config import VALIDATION_BATCH, Network, Record, TrainerConfig, TrainResult
from priorgap.training.datamodule import TrainBatches, ValidationBatches
from priorgap.training.lightning import pl
from priorgap.training.module import Trainee, VaeModule

CHECKPOINT = "last.ckpt"

_logger = logging.getLogger(__name__)
Trained = TypeVar("Trained", bound=VAE | Autoencoder)


def train_vae(
    vae: Trained,
    dataset: Dataset,
    loss: ElboLoss,
    trainer: TrainerConfig,
    *,
    seed: int,
    directory: Path,
    progress: bool,
    on_epoch: Callable[[Record], None] | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[Trained]:
    """Train a model in place, going on from a checkpoint in `directory` where there is one.

    Order and noise of epoch e come from streams of (seed, e), and the state is written at the end of each
    epoch, so that a run that was killed and started again ends with the same weights, bit for bit, as an
    undisturbed one.

    Args:
        vae: the model with its initial weights.
        dataset: trained on `train`; `validation` alone decides on early stopping; `test` is not read.
        loss: the weights of the objective.
        trainer: how to train.
        seed: of order and noise.
        directory: where the checkpoint is kept; a readable one there is resumed from.
        progress: show a bar on standard error.
        on_epoch: called with each newly run epoch's record.
        callbacks: more Lightning callbacks.

    Raises:
        ValueError: data or objective do not fit the model, or the checkpoint belongs to another model.
        NonFiniteLoss: the loss became NaN or infinite.
    """
    check_data(vae, dataset)
    if vae.prior is not None:
        loss.check_prior(vae.prior)
    module = VaeModule(
        vae,
        loss.in_sum_units(vae.likelihood, math.prod(vae.shape)),
        optimizer=trainer.optimizer,
        learning_rate=trainer.learning_rate,
        weight_decay=trainer.weight_decay,
        gradient_clip=trainer.gradient_clip,
        precision=trainer.precision,
    )
    return run(
        module, vae, dataset, trainer, seed=seed, directory=directory, progress=progress, on_epoch=on_epoch,
        callbacks=callbacks, labels=isinstance(vae, ConditionalVAE),
    )  # fmt: skip


def run(
    module: pl.LightningModule,
    network: Network,
    dataset: Dataset,
    trainer: TrainerConfig,
    *,
    seed: int,
    directory: Path,
    progress: bool,
    on_epoch: Callable[[Record], None] | None = None,
    callbacks: Sequence[pl.Callback] = (),
    labels: bool = False,
) -> TrainResult[Network]:
    """Train the network of a module, as `train_vae` says.

    Args:
        module: a `Trainee` whose steps take blocks of batches.
        network: what it trains, published in the result; it has a latent_dim.
        dataset: trained on `train`; `validation` alone decides on early stopping; `test` is not read.
        trainer: how to train.
        seed: of order and noise.
        directory: where the checkpoint is kept; a readable one there is resumed from.
        progress: show a bar on standard error.
        on_epoch: called with each newly run epoch's record.
        callbacks: more Lightning callbacks.
        labels: whether batches carry labels.
    """
    assert isinstance(module, Trainee)
    history = History(trainer.patience, on_epoch)
    path = directory / CHECKPOINT
    checkpoint = _read_checkpoint(path)
    if checkpoint is not None:
        _take_over(checkpoint, path, module.prefix, network, history)
    if len(history.curves) < trainer.max_epochs and not history.stopped:
        directory.mkdir(parents=True, exist_ok=True)
        own: list[pl.Callback] = [history, *([ProgressBar()] if progress else []), EpochCheckpoint(path)]
        resume = path if checkpoint is not None else None
        _fit(module, dataset, trainer, seed, [*callbacks, *own], resume, _dim(network), labels)
    network.cpu().eval()
    if trainer.patience is not None:
        load_weights(network, history.best_weights, str(path))
    n_epochs = len(history.curves)
    best = history.best_epoch if trainer.patience is not None else n_epochs - 1
    reason: Literal["max_epochs", "early_stopping"] = "early_stopping" if history.stopped else "max_epochs"
    return TrainResult(network, history.curves, n_epochs, best, reason)


def _dim(network: nn.Module) -> int:
    d = network.latent_dim
    assert isinstance(d, int)
    return d


def _fit(
    module: pl.LightningModule,
    dataset: Dataset,
    config: TrainerConfig,
    seed: int,
    callbacks: list[pl.Callback],
    resume: Path | None,
    d: int,
    labels: bool,
) -> None:
    with _quiet():
        trainer = pl.Trainer(
            max_epochs=config.max_epochs,
            accelerator="gpu" if config.accelerator == "cuda" else config.accelerator,
            devices=1,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=False,
            enable_checkpointing=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        train = TrainBatches(
            dataset.train, d, config.batch_size, seed=seed, epoch=lambda: trainer.current_epoch, labels=labels
        )
        validation = ValidationBatches(dataset.validation, d, VALIDATION_BATCH, seed=seed, labels=labels)
        module.train()
        try:
            trainer.fit(module, train, validation, ckpt_path=resume, weights_only=True)
        except SystemExit as stop:
            # Lightning turns Ctrl-C into exit(1) and leaves SIGINT ignored; `_quiet` restores the handler
            if trainer.interrupted:
                raise KeyboardInterrupt from stop
            raise


def _read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return a checkpoint; None where there is none, or (said in the log) where it cannot be read."""
    if not path.is_file():
        return None
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        _ = checkpoint["state_dict"], checkpoint["callbacks"]["History"]
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _logger.warning("%s cannot be read (%s): training starts anew", path, reason)
        path.unlink()
        return None
    return checkpoint


def _take_over(
    checkpoint: dict[str, Any], path: Path, prefix: str, network: nn.Module, history: History
) -> None:
    weights = {name.removeprefix(prefix): t for name, t in checkpoint["state_dict"].items()}
    load_weights(network, weights, str(path))
    history.load_state_dict(checkpoint["callbacks"]["History"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's banners and advice, and keep the process's signal handlers as they were."""
    names = ("pytorch_lightning", "lightning_fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)} if in_main else {}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for number, handler in handlers.items():
            signal.signal(number, handler)

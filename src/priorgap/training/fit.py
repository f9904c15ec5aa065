"""Train a model with Lightning, resumable at every epoch with identical results."""

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from priorgap.core.interrupts import handlers_kept
from priorgap.data.splits import Dataset
from priorgap.models.conditional import ConditionalVAE
from priorgap.models.controls import Autoencoder
from priorgap.models.losses import ElboLoss
from priorgap.models.vae import VAE, load_weights
from priorgap.training.callbacks import HISTORY, AtomicCheckpointIO, EpochCheckpoint, History, ProgressBar
from priorgap.training.checks import check_data, likely_cause
from priorgap.training.config import Network, NonFiniteLoss, Record, TrainerConfig, TrainResult
from priorgap.training.datamodule import ImageData, steps_of_a_batch
from priorgap.training.lightning import LightningEnvironment, Logger, Precision, Profiler, pl
from priorgap.training.mixed import Bf16Products
from priorgap.training.module import OwnSteps, Trainee, VaeModule
from priorgap.training.options import check_callbacks, early_stopping, optimizer_of

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
    on_resume: Callable[[Sequence[Record]], None] | None = None,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> TrainResult[Trained]:
    """Train a model in place, resuming from a checkpoint in `directory` if there is one.

    Order and noise of epoch e come from streams of (seed, e), and the state is written at the end of each
    epoch, so that a run that was killed and restarted ends with the same weights, bit for bit, as an uninterrupted
    one.

    Args:
        vae: the model with its initial weights.
        dataset: trained on `train`; `validation` alone decides on early stopping; `test` is not read.
        loss: the weights of the objective.
        trainer: how to train.
        seed: the seed of order and noise.
        directory: the folder of the checkpoint, from which training resumes if it is readable.
        progress: show a bar on standard error.
        on_epoch: called with each newly run epoch's record.
        on_resume: called with the records of earlier epochs, if there are any.
        callbacks: additional Lightning callbacks.
        loggers: Lightning loggers, which get each epoch's means.

    Raises:
        ValueError: data, objective or callbacks do not fit the model, or the checkpoint belongs to another model.
        NonFiniteLoss: the loss became NaN or infinite.
    """
    check_data(vae, dataset)
    if vae.prior is not None:
        loss.check_prior(vae.prior)
    options = RunOptions(directory, progress, on_epoch, on_resume, callbacks, loggers)
    clip = trainer.gradient_clip
    module = VaeModule(
        vae,
        loss.in_sum_units(vae.likelihood, math.prod(vae.shape)),
        seed=seed,
        optimizer=partial(optimizer_of, trainer),
        scheduler=trainer.scheduler,
        steps=None if options.watched else OwnSteps(trainer.batch_size, clip),
    )
    data = ImageData(
        dataset, vae.latent_dim, trainer.batch_size, seed=seed, labels=isinstance(vae, ConditionalVAE),
        n_steps=options.n_steps(dataset, trainer),
    )  # fmt: skip
    products = None if trainer.precision is None else Bf16Products(vae.encoder, vae.decoder)
    return run(
        module, vae, data, trainer, options, precision=products, clip=clip if options.watched else None
    )


@dataclass(frozen=True)
class RunOptions:
    """The options of a training run other than model, data and settings.

    Attributes:
        directory: the folder of the checkpoint, from which training resumes if it is readable.
        progress: show a bar on standard error.
        on_epoch: called with each newly run epoch's record.
        on_resume: called with the records of earlier epochs, if there are any.
        callbacks: additional Lightning callbacks.
        loggers: Lightning loggers, which get each epoch's means.
    """

    directory: Path
    progress: bool
    on_epoch: Callable[[Record], None] | None = None
    on_resume: Callable[[Sequence[Record]], None] | None = None
    callbacks: Sequence[pl.Callback] = ()
    loggers: Sequence[Logger] = ()

    @property
    def watched(self) -> bool:
        """Whether callbacks or loggers see Lightning's batches, each of which is one step then."""
        return bool(self.callbacks or self.loggers)

    def n_steps(self, dataset: Dataset, trainer: TrainerConfig) -> int:
        """Return for how many steps Lightning gets rows at a time."""
        return 1 if self.watched else steps_of_a_batch(dataset.train.x, trainer.batch_size)


def run(
    module: pl.LightningModule,
    network: Network,
    data: ImageData,
    trainer: TrainerConfig,
    options: RunOptions,
    *,
    precision: Precision | None = None,
    clip: float | None = None,
) -> TrainResult[Network]:
    """Train the network of a module as `train_vae` does, with the same errors.

    Args:
        module: a `Trainee`.
        network: the network that it trains, which becomes part of the result.
        data: the batches.
        trainer: how to train.
        options: the other options of the run.
        precision: the precision of products in training steps, None for float32.
        clip: the largest norm of the gradient, where Lightning takes the steps.
    """
    assert isinstance(module, Trainee)
    check_callbacks(options.callbacks, trainer, has_logger=bool(options.loggers))
    bar = [ProgressBar()] if options.progress else []
    listeners = [*([] if options.on_epoch is None else [options.on_epoch]), *(b.show for b in bar)]
    history = History(trainer.patience is not None, listeners)
    path = options.directory / CHECKPOINT
    checkpoint = _read_checkpoint(path)
    if checkpoint is not None:
        _take_over(checkpoint, path, module.prefix, network, history)
        if options.on_resume is not None:
            options.on_resume([dict(record) for record in history.curves])
    if len(history.curves) < trainer.max_epochs and not history.stopped:
        options.directory.mkdir(parents=True, exist_ok=True)
        own: list[pl.Callback] = [*bar, *early_stopping(trainer)]
        own.append(EpochCheckpoint(path, history, at_the_end=bool(options.callbacks)))
        lightning = _trainer(trainer, [*options.callbacks, *own], options, precision, clip)
        try:
            _fit(lightning, module, data, path if checkpoint is not None else None)
        except NonFiniteLoss as error:
            raise likely_cause(error, data.training_rows) from error
    network.cpu().eval()
    if trainer.patience is not None:
        load_weights(network, history.best_weights, str(path))
    n_epochs = len(history.curves)
    best = history.best_epoch if trainer.patience is not None else n_epochs - 1
    reason: Literal["max_epochs", "early_stopping"] = "early_stopping" if history.stopped else "max_epochs"
    return TrainResult(network, history.curves, n_epochs, best, reason)


class _NoProfiler(Profiler):
    """Measures nothing, three times as fast as Lightning's own empty profiler, which is called 30 times a step."""

    _nothing = nullcontext()

    def start(self, action_name: str) -> None:
        """Do nothing."""

    def stop(self, action_name: str) -> None:
        """Do nothing."""

    def summary(self) -> str:
        """Return an empty text."""
        return ""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Return a context that does nothing."""
        return self._nothing


def _trainer(
    config: TrainerConfig,
    callbacks: list[pl.Callback],
    options: RunOptions,
    precision: Precision | None,
    clip: float | None,
) -> pl.Trainer:
    # The environment is given explicitly, because inside of a Slurm job Lightning would otherwise requeue the job
    # itself.
    plugins: list[Any] = [
        AtomicCheckpointIO(),
        LightningEnvironment(),
        *([] if precision is None else [precision]),
    ]
    with _quiet():
        return pl.Trainer(
            max_epochs=config.max_epochs,
            accelerator="gpu" if config.accelerator == "cuda" else config.accelerator,
            devices=1,
            callbacks=callbacks,
            plugins=plugins,
            logger=list(options.loggers) or False,
            gradient_clip_val=clip,
            default_root_dir=options.directory,
            profiler=_NoProfiler(),
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )


def _fit(trainer: pl.Trainer, module: pl.LightningModule, data: ImageData, resume: Path | None) -> None:
    with _quiet():
        module.train()
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except SystemExit as stop:
            # Lightning turns Ctrl-C into exit(1) and leaves SIGINT ignored; `_quiet` restores the handler.
            if trainer.interrupted:
                raise KeyboardInterrupt from stop
            raise


def _read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return a checkpoint; None where there is none, or where it is unreadable, which is logged."""
    if not path.is_file():
        return None
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        _ = checkpoint["state_dict"], checkpoint["callbacks"][HISTORY]
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _logger.warning("%s cannot be read (%s): training starts anew", path, reason)
        path.unlink()
        return None
    found: dict[str, Any] | None = checkpoint
    return found


def _take_over(
    checkpoint: dict[str, Any], path: Path, prefix: str, network: nn.Module, history: History
) -> None:
    weights = {name.removeprefix(prefix): t for name, t in checkpoint["state_dict"].items()}
    load_weights(network, weights, str(path))
    history.load_state_dict(checkpoint["callbacks"][HISTORY])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's banners and advice, and restore the process's signal handlers."""
    names = ("pytorch_lightning", "lightning_fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with handlers_kept((signal.SIGINT, signal.SIGTERM)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

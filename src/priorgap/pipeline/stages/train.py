"""train: one model for each combination of data, model, likelihood, prior, loss, trainer and seed."""

import contextlib
import logging
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from priorgap.models.controls import GAN, Autoencoder
from priorgap.models.vae import VAE
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.plan import Job, Step
from priorgap.pipeline.desk import Desk, scratch
from priorgap.pipeline.store import keys
from priorgap.pipeline.store.layout import Files, Store
from priorgap.pipeline.sweep import batched_program
from priorgap.pipeline.sweep.progress import Epochs
from priorgap.pipeline.terminal import LINE
from priorgap.pipeline.training_pictures import picture
from priorgap.pipeline.trainings import kept
from priorgap.training.config import Record, TrainResult
from priorgap.training.fit import train_vae
from priorgap.training.gan import train_gan

log = logging.getLogger(__name__)


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Files]]:
    """Train the model, resuming from the last finished epoch, and yield it."""
    (step,) = job.steps
    cell, dataset = job.model.cell, desk.dataset(job.model)
    trainer = parts.trainer(cell.config)
    if trainer.batched:
        # Its batch failed or did not exist; a batch of one gives the same bits.
        yield step, batched_program.train_alone(job.model, desk).kept(job.model, dataset)
        return
    model = models.build(
        cell.config, dataset.shape, dataset.modality, models.classes_of(cell.config, dataset)
    )
    loss = parts.loss(cell.config)
    log.info("%s: %s", cell.label, model.describe(loss))
    seed, directory = cell.seed, scratch(desk.store, step, keys.key(step, desk.store))
    wanted = bool(cell.config["trainer"]["progress"])
    # A progress bar would write over a live line of this process, or of the process that launched it.
    progress = wanted and sys.stderr.isatty() and LINE.verbose
    epochs = Epochs(cell.label, trainer.max_epochs)
    follower = desk.following.training(job.model)
    look = partial(picture, model, dataset, cell.config, seed)

    def on_epoch(record: Record) -> None:
        epochs.ended(int(record["epoch"]), record["train_loss"])
        follower.epoch(record, look)

    more = parts.callbacks(cell.config)
    # The folder belongs to one model; a resumed training logs into a new version in it.
    loggers = parts.loggers(cell.config, desk.store.root / cell.study / "lightning" / step.path.name)
    result: TrainResult[Any]
    if model.traits.encoder:
        trained = cast("VAE | Autoencoder", model)
        result = train_vae(
            trained, dataset, loss, trainer, seed=seed, directory=directory, progress=progress,
            callbacks=more, loggers=loggers, on_epoch=on_epoch, on_resume=follower.resumed,
        )  # fmt: skip
    else:
        result = train_gan(
            cast(GAN, model), dataset, trainer, seed=seed, directory=directory, progress=progress,
            callbacks=more, loggers=loggers, on_epoch=on_epoch, on_resume=follower.resumed,
        )  # fmt: skip
    yield step, kept(job.model, result, dataset)
    log.info("%s: trained, %s", cell.label, result.reason)


def tidy(step: Step, store: Store) -> None:
    """Remove a finished training's checkpoint, which a kill after publishing may have left."""
    folder = scratch(store, step, keys.key(step, store))
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()

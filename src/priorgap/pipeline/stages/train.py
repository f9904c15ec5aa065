"""train: one model per (data, model, likelihood, prior, loss, trainer, seed)."""

import contextlib
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.data.splits import Dataset
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.plan import Job, PlannedModel, Step
from priorgap.pipeline.desk import Desk, scratch
from priorgap.pipeline.store import keys
from priorgap.pipeline.store.curves import CURVES, curves_text
from priorgap.pipeline.store.layout import Files, Store
from priorgap.training.any_model import train_model
from priorgap.training.fit import TrainResult

log = logging.getLogger(__name__)


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Files]]:
    """Train the model, going on from the last finished epoch, and yield it."""
    (step,) = job.steps
    cell, dataset = job.model.cell, desk.dataset(job.model)
    model = models.build(cell.config, dataset.shape, models.classes_of(cell.config, dataset))
    loss = parts.loss(cell.config)
    log.info("%s: %s", cell.label, model.describe(loss))
    result = train_model(
        model,
        dataset,
        loss,
        parts.trainer(cell.config),
        seed=cell.seed,
        directory=scratch(desk.store, step, keys.key(step, desk.store)),
        progress=bool(cell.config["trainer"]["progress"]) and sys.stderr.isatty(),
    )
    yield step, trained(job.model, result, dataset)
    log.info("%s: trained, %s", cell.label, result.reason)


def trained(model: PlannedModel, result: TrainResult[Any], dataset: Dataset) -> Files:
    """Return what is kept of a training."""

    def write(directory: Path) -> None:
        models.save(directory, result.vae, model.cell.config, dataset.train)
        artifacts.write_text(directory / CURVES, curves_text(result.curves))

    return Files(write)


def tidy(step: Step, store: Store) -> None:
    """Remove the checkpoint of a finished training: a kill between publishing and this must leave none for good."""
    folder = scratch(store, step, keys.key(step, store))
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()

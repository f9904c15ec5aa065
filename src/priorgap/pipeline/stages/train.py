"""train: one model per (data, model, likelihood, prior, loss, trainer, seed)."""

import contextlib
import csv
import io
import logging
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.data.splits import Dataset
from priorgap.models.controls import GAN, Autoencoder
from priorgap.models.families import Model
from priorgap.models.vae import VAE
from priorgap.pipeline import batched_program, components, models
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.stages.train_version import TRAIN_VERSION
from priorgap.pipeline.store import Store, ensure, require, upstream
from priorgap.training.config import TrainResult
from priorgap.training.fit import train_vae
from priorgap.training.gan import train_gan

log = logging.getLogger(__name__)
CURVES = "curves.csv"


def key_of(cell: Cell, store: Store) -> str:
    """Return the key of a training: its slice, the data, and the hand-raised version of the training code."""
    return artifacts.digest(["train", cell.training_slice, upstream([store.data(cell)]), TRAIN_VERSION])


def train(cell: Cell, store: Store) -> Path:
    """Train the model, resuming from the last finished epoch; skipped where that is done."""
    require(store.data(cell), "prepare", cell)
    path = store.model(cell.study, "train", cell.train_id, cell.label)
    key = key_of(cell, store)

    def work(directory: Path) -> Mapping[str, Any] | None:
        if components.trainer(cell.config).batched:
            trained = batched_program.train_alone(cell, store)
            return _write_batched(cell, trained, prepare.load(cell, store), directory)
        _train(cell, store, key, directory)
        return None

    ensure(store, path, key, work, seed=cell.seed)
    # only now: a kill between publishing and tidying up must cost no training, nor leave a checkpoint for good
    shutil.rmtree(_resume(cell, store, key), ignore_errors=True)
    with contextlib.suppress(OSError):
        _resume(cell, store, key).parent.rmdir()
    return path


def _resume(cell: Cell, store: Store, key: str) -> Path:
    # keyed, so that checkpoints of other data or code are never resumed
    return store.study(cell.study) / "resume" / f"{cell.train_id}-{key[:8]}"


def _train(cell: Cell, store: Store, key: str, directory: Path) -> None:
    dataset = prepare.load(cell, store)
    model = models.build(cell.config, dataset.shape, models.classes_of(cell.config, dataset))
    log.info("%s: %s", cell.label, describe(model, cell.config))
    _write(cell, _fit(model, dataset, cell, _resume(cell, store, key)), dataset, directory)


def is_done(cell: Cell, store: Store) -> bool:
    """Whether the cell's model is trained."""
    path = store.model(cell.study, "train", cell.train_id, cell.label)
    return artifacts.is_complete(path, key_of(cell, store))


def left_to_train(cells: Sequence[Cell], store: Store) -> int:
    """Return how many of the cells' models are not complete."""
    without = {path for path in {store.data(cell) for cell in cells} if not artifacts.is_complete(path)}
    own = {cell.train_id: cell for cell in cells}.values()
    return sum(store.data(cell) in without or not is_done(cell, store) for cell in own)


def publish(cell: Cell, store: Store, trained: batched_program.Trained, dataset: Dataset) -> None:
    """Keep a model that the batched program trained."""
    path = store.model(cell.study, "train", cell.train_id, cell.label)
    work = partial(_write_batched, cell, trained, dataset)
    ensure(store, path, key_of(cell, store), work, seed=cell.seed)


def _write_batched(
    cell: Cell, trained: batched_program.Trained, dataset: Dataset, directory: Path
) -> Mapping[str, Any]:
    _write(cell, trained.result(), dataset, directory)
    return trained.provenance


def _write(cell: Cell, result: TrainResult[Any], dataset: Dataset, directory: Path) -> None:
    models.save(directory, result.vae, cell.config, dataset.train)
    artifacts.write_text(directory / CURVES, _curves(result.curves))
    log.info("%s: trained, %s", cell.label, result.reason)


def _fit(
    model: Model, dataset: Dataset, cell: Cell, directory: Path
) -> TrainResult[GAN] | TrainResult[VAE | Autoencoder]:
    trainer = components.trainer(cell.config)
    progress = bool(cell.config["trainer"]["progress"]) and sys.stderr.isatty()
    if isinstance(model, GAN):
        return train_gan(model, dataset, trainer, seed=cell.seed, directory=directory, progress=progress)
    loss = components.loss(cell.config)
    return train_vae(model, dataset, loss, trainer, seed=cell.seed, directory=directory, progress=progress)


def describe(model: Model, config: Mapping[str, Any]) -> str:
    """Return one line that says what the model is trained on."""
    if isinstance(model, GAN):
        return f"a GAN, r1={model.adversary.r1:g}: alpha and beta have no effect"
    line = components.loss(config).describe(model.likelihood, math.prod(model.shape))
    return f"{line}; no prior: beta has no effect" if isinstance(model, Autoencoder) else line


def _curves(curves: list[dict[str, float]]) -> str:
    out = io.StringIO()
    if curves:
        writer = csv.DictWriter(out, fieldnames=list(curves[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(curves)
    return out.getvalue()


def read_curves(path: Path) -> list[Mapping[str, Any]]:
    """Read a model's training curves, one mapping an epoch; verified."""
    artifacts.check(path, CURVES)
    with (path / CURVES).open(newline="", encoding="utf-8") as handle:
        return [
            {k: float(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(handle)
        ]

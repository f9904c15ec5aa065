"""calibrate: the moments of the training posteriors folded into head and first layer; a model of its own."""

from pathlib import Path

import torch

from priorgap.coding import encode_all
from priorgap.data.splits import Split
from priorgap.latents import Latents
from priorgap.models.calibrate import calibrate as fold
from priorgap.pipeline import components, models
from priorgap.pipeline.cells import Cell, Variant
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.stages.work import stage_key
from priorgap.pipeline.store import Store, ensure, require


def calibrate(cell: Cell, variant: Variant, store: Store) -> Path:
    """Make a calibrated model of a trained one; skipped where that is done.

    Raises:
        ValueError: the model cannot be calibrated, with the reason.
    """
    trained = require(store.model(cell.study, "train", cell.train_id, cell.label), "train", cell)
    path = store.model(cell.study, "calibrate", variant.model_id, cell.label)
    inputs = (trained, require(store.data(cell), "prepare", cell))
    key = stage_key("calibrate", {}, inputs, ["priorgap.models.calibrate", "priorgap.coding"])

    def work(directory: Path) -> None:
        model = models.load(trained)
        train = prepare.load(cell, store).train
        # the folding is done in float64 from the posteriors of all training images
        loss = components.loss(cell.config)
        vae = fold(model.vae.cpu(), encode_split(model, train), loss=loss)
        models.save(directory, vae, cell.config, train)

    ensure(store, path, key, work, seed=cell.seed)
    return path


def encode_split(model: models.TrainedModel, split: Split) -> Latents:
    """Encode a split with a model, on the model's device, in its fixed batches.

    Raises:
        ValueError: the model has no encoder.
    """
    if model.encode is None:
        raise ValueError("the model has no encoder")
    device = next(model.vae.parameters(), torch.empty(0)).device
    return encode_all(
        model.encode,
        lambda rows: split.batch(rows, device),
        len(split),
        batch=model.encode_batch,
        label=split.label,
    )

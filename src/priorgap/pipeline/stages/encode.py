"""encode: posteriors of the training, validation and test images, once a model."""

from pathlib import Path

from priorgap import artifacts
from priorgap.latents import Latents
from priorgap.pipeline import models
from priorgap.pipeline.cells import Cell, Variant
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.stages.calibrate import encode_split
from priorgap.pipeline.stages.work import stage_key
from priorgap.pipeline.store import Store, ensure, require

PARTS = ("train", "validation", "test")
ABSENT = "absent.json"


def model_folder(cell: Cell, variant: Variant, store: Store) -> Path:
    """Return the folder of a variant's weights, which must be there."""
    stage = "calibrate" if variant.calibrated else "train"
    return require(store.model(cell.study, stage, variant.model_id, cell.label), stage, cell)


def folder(cell: Cell, variant: Variant, store: Store) -> Path:
    """Return the folder of a variant's posteriors."""
    return store.model(cell.study, "encode", variant.model_id, cell.label)


def encode(cell: Cell, variant: Variant, store: Store) -> Path:
    """Encode all images of a model; skipped where that is done. A model without an encoder leaves that fact."""
    weights = model_folder(cell, variant, store)
    path = folder(cell, variant, store)
    inputs = (weights, require(store.data(cell), "prepare", cell))
    key = stage_key(
        "encode", dict(cell.config["numerics"]), inputs, ["priorgap.coding", "priorgap.models.families"]
    )

    def work(directory: Path) -> None:
        model = models.load(weights)
        if model.encode is None:
            artifacts.save_json(directory / ABSENT, {"reason": "the model has no encoder"})
            return
        dataset = prepare.load(cell, store)
        for part in PARTS:
            latents = encode_split(model, getattr(dataset, part))
            tensors = {"mean": latents.mean}
            if latents.log_var is not None:
                tensors["log_var"] = latents.log_var
            if latents.label is not None:
                tensors["label"] = latents.label
            artifacts.save_tensors(directory / f"{part}.safetensors", tensors)

    ensure(store, path, key, work, seed=cell.seed)
    return path


def load(path: Path) -> dict[str, Latents]:
    """Read the posteriors of the three splits; none for a model without an encoder."""
    result: dict[str, Latents] = {}
    if (path / ABSENT).is_file():
        return result
    for part in PARTS:
        tensors = artifacts.load_tensors(path / f"{part}.safetensors")
        result[part] = Latents(tensors["mean"], tensors.get("log_var"), tensors.get("label"))
    return result

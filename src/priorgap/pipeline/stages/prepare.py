"""prepare: the data set on disk, verified, as whole tensors."""

import logging
from dataclasses import replace
from pathlib import Path

from priorgap import artifacts
from priorgap.building import target_modules
from priorgap.data.binarize import GreySplit, binarized, with_grey
from priorgap.data.splits import Dataset, load_dataset, save_dataset
from priorgap.pipeline import components
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.stages.work import stage_key
from priorgap.pipeline.store import Store, ensure, require

log = logging.getLogger(__name__)
_GREY = "grey.safetensors"


def obtain(cell: Cell, store: Store) -> Dataset:
    """Return the data set: as prepared, or from its source, verified; nothing is written.

    Raises:
        ValueError: it cannot be had, or a file is corrupt, or it cannot be binarised.
    """
    path = store.data(cell)
    if artifacts.is_complete(path, _key(cell)) and not artifacts.damage(path):
        return load(cell, store)
    place = cell.config["data"]
    source = components.data_source(cell.config)
    dataset = source.load(root=Path(place["root"]), download=bool(place["download"]))
    if cell.binarize is None:
        return dataset
    seed = int(place["source"].get("split_seed", 0))
    return binarized(dataset, cell.binarize, seed=seed)


def prepare(cell: Cell, store: Store, dataset: Dataset) -> Path:
    """Store a data set as tensors; skipped where that is done."""

    def work(directory: Path) -> None:
        save_dataset(dataset, directory)
        if isinstance(dataset.train, GreySplit):
            artifacts.save_tensors(directory / _GREY, {"x": dataset.train.grey})

    path = store.data(cell)
    if ensure(store, path, _key(cell), work):
        log.info(
            "%s: %d training, %d validation, %d test observations of shape %s",
            dataset.name, len(dataset.train), len(dataset.validation), len(dataset.test), dataset.shape,
        )  # fmt: skip
    return path


def _key(cell: Cell) -> str:
    node = cell.config["data"]["source"]
    modules = [*target_modules(node), "priorgap.data.splits"]
    if cell.binarize is None:
        return stage_key("prepare", node, (), modules)
    return stage_key("prepare", [node, cell.binarize], (), [*modules, "priorgap.data.binarize"])


def load(cell: Cell, store: Store) -> Dataset:
    """Read the prepared data set; where training redraws its images, with the grey ones that it needs."""
    path = require(store.data(cell), "prepare", cell)
    dataset = load_dataset(path)
    if not (path / _GREY).is_file():
        return dataset
    grey = artifacts.load_tensors(path / _GREY)["x"]
    return replace(dataset, train=with_grey(dataset.train, grey))

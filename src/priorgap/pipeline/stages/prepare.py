"""prepare: the data set on disk, verified, as whole tensors."""

import logging
from pathlib import Path

from priorgap import artifacts
from priorgap.building import target_modules
from priorgap.data.splits import Dataset, load_dataset, save_dataset
from priorgap.pipeline import components
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.stages.work import stage_key
from priorgap.pipeline.store import Store, ensure, require

log = logging.getLogger(__name__)


def obtain(cell: Cell, store: Store) -> Dataset:
    """Return the data set: as prepared, or from its source, verified; nothing is written.

    Raises:
        ValueError: it cannot be had, or a file is corrupt.
    """
    path = store.data(cell)
    if artifacts.is_complete(path, _key(cell)) and not artifacts.damage(path):
        return load_dataset(path)
    place = cell.config["data"]
    source = components.data_source(cell.config)
    return source.load(root=Path(place["root"]), download=bool(place["download"]))


def prepare(cell: Cell, store: Store, dataset: Dataset) -> Path:
    """Store a data set as tensors; skipped where that is done."""

    def work(directory: Path) -> None:
        save_dataset(dataset, directory)

    path = store.data(cell)
    if ensure(store, path, _key(cell), work):
        log.info(
            "%s: %d training, %d validation, %d test observations of shape %s",
            dataset.name, len(dataset.train), len(dataset.validation), len(dataset.test), dataset.shape,
        )  # fmt: skip
    return path


def _key(cell: Cell) -> str:
    node = cell.config["data"]["source"]
    return stage_key("prepare", node, (), [*target_modules(node), "priorgap.data.splits"])


def load(cell: Cell, store: Store) -> Dataset:
    """Read the prepared data set."""
    return load_dataset(require(store.data(cell), "prepare", cell))

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


def prepare(cell: Cell, store: Store) -> Path:
    """Load the data set from its source and store it as tensors; skipped where that is done.

    Raises:
        ValueError: it cannot be had, or a file is corrupt; nothing is written then.
    """
    path = store.data(cell)
    node = cell.config["data"]["source"]
    key = stage_key("prepare", node, (), [*target_modules(node), "priorgap.data.splits"])
    if artifacts.is_complete(path, key) and not artifacts.damage(path):
        return path
    place = cell.config["data"]
    dataset = components.data_source(cell.config).load(
        root=Path(place["root"]), download=bool(place["download"])
    )

    def work(directory: Path) -> None:
        save_dataset(dataset, directory)

    if ensure(store, path, key, work):
        log.info(
            "%s: %d training, %d validation, %d test observations of shape %s",
            dataset.name, len(dataset.train), len(dataset.validation), len(dataset.test), dataset.shape,
        )  # fmt: skip
    return path


def load(cell: Cell, store: Store) -> Dataset:
    """Read the prepared data set."""
    return load_dataset(require(store.data(cell), "prepare", cell))

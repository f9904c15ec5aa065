"""What Hydra launches: one cell, all or some stages; failures are recorded and never stop the others."""

import logging
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from priorgap.pipeline.cells import Cell
from priorgap.pipeline.hydra_app import plain
from priorgap.pipeline.store import Store, forget, keep

log = logging.getLogger(__name__)


def failure_file(store: Store, cell: Cell) -> Path:
    """Where a cell's failure is recorded."""
    return store.study(cell.study) / "failed" / f"{cell.train_id}.json"


def run_cell(config: DictConfig, *, stages: Sequence[str]) -> None:
    """Run some stages of one cell; an exception becomes a record and a log entry."""
    overrides = tuple(str(o) for o in HydraConfig.get().overrides.task)
    cell = Cell(plain(config), overrides)
    store = Store.of(cell)
    record = failure_file(store, cell)
    from priorgap.pipeline.stages import run as stage_functions

    try:
        stage_functions.run_stages(cell, store, stages)
    except Exception as error:
        log.error("%s failed: %s", cell.label, error)
        log.debug("%s", traceback.format_exc())
        keep(
            store,
            record,
            {
                "label": cell.label,
                "overrides": list(overrides),
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
            },
        )
        return
    forget(store, record)

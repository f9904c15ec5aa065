"""What Hydra launches: one cell, all or some stages; failures are recorded and never stop the others."""

import logging
import traceback
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from priorgap.pipeline.cells import Cell
from priorgap.pipeline.hydra_app import plain
from priorgap.pipeline.records import forget_failure, named, record_failure
from priorgap.pipeline.store import Store

log = logging.getLogger(__name__)


def _cell(config: DictConfig, overrides: Sequence[object]) -> tuple[Cell, Store]:
    cell = Cell(plain(config), tuple(str(o) for o in overrides))
    store = Store.of(cell)
    return named(cell, store), store


def run_cell(config: DictConfig, *, stages: Sequence[str], workers: int = 1) -> str | None:
    """Run some stages of one cell, the measures in some processes; an exception becomes a record and a log entry.

    Returns:
        Why the cell failed; None where it did not.
    """
    cell, store = _cell(config, HydraConfig.get().overrides.task)
    from priorgap.pipeline.stages import run as stage_functions

    try:
        stage_functions.run_stages(cell, store, stages, workers=workers)
    except Exception as error:
        log.error("%s failed: %s", cell.label, error)
        log.debug("%s", traceback.format_exc())
        line = f"{type(error).__name__}: {error}"
        record_failure(store, cell, line, traceback.format_exc())
        return line
    forget_failure(store, cell)
    return None


def record_loss(config: DictConfig, reason: str) -> None:
    """Record the failure of a cell whose worker died before it could."""
    cell, store = _cell(config, config.hydra.overrides.task)
    record_failure(store, cell, reason)

"""What Hydra launches: one cell, all or some stages; failures are recorded and never stop the others."""

import contextlib
import logging
import math
import traceback
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd
from omegaconf import DictConfig

from priorgap.pipeline import records
from priorgap.pipeline.cells import Cell, validate
from priorgap.pipeline.config.session import plain
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
    with _where_the_command_was_given():
        cell, store = _cell(config, HydraConfig.get().overrides.task)
        return _run(cell, store, stages, workers)


def run_proposed(config: DictConfig, *, stages: Sequence[str], workers: int = 1) -> float:
    """Run a cell that a sweeper proposed: nothing of it was known, or prepared, before.

    Returns:
        What the sweeper is to make small or large: `verdict.measure` of `verdict.baseline` in `verdict.space`; NaN
        where the cell failed.
    """
    with _where_the_command_was_given():
        cell, store = _cell(config, HydraConfig.get().overrides.task)
        cell = records.record(cell, store)
        from priorgap.pipeline.stages import prepare, reference
        from priorgap.pipeline.stages import run as stage_functions

        try:
            validate([cell])
            stage_functions.set_numerics(cell.config)
            dataset = prepare.obtain(cell, store)
            stage_functions.check_against_data([cell], {cell.data_id: dataset}, store)
            prepare.prepare(cell, store, dataset)
            if "measure" in stages:
                reference.reference(cell, store)
        except Exception as error:
            _record(cell, store, error)
            return math.nan
        failed = _run(cell, store, stages, workers)
        return math.nan if failed is not None or "measure" not in stages else _objective(cell, store)


def _objective(cell: Cell, store: Store) -> float:
    from priorgap.pipeline import reporting

    wanted = cell.config["verdict"]
    table = reporting.gather([cell], store).table
    rows = table[(table["sampler"] == wanted["baseline"]) & (table["space"] == wanted["space"])]
    found = rows[rows["measure"] == wanted["measure"]]["value"]
    return float(found.iloc[0]) if len(found) else math.nan


def _where_the_command_was_given() -> contextlib.AbstractContextManager[None]:
    """Paths of a configuration are relative to the command's folder, also where `hydra.job.chdir` moved the job."""
    return contextlib.chdir(get_original_cwd())


def _run(cell: Cell, store: Store, stages: Sequence[str], workers: int) -> str | None:
    from priorgap.pipeline.stages import run as stage_functions

    try:
        stage_functions.run_stages(cell, store, stages, workers=workers)
    except Exception as error:
        return _record(cell, store, error)
    forget_failure(store, cell)
    return None


def _record(cell: Cell, store: Store, error: Exception) -> str:
    log.error("%s failed: %s", cell.label, error)
    log.debug("%s", traceback.format_exc())
    line = f"{type(error).__name__}: {error}"
    record_failure(store, cell, line, traceback.format_exc())
    return line


def record_loss(config: DictConfig, reason: str) -> None:
    """Record the failure of a cell whose worker died before it could."""
    cell, store = _cell(config, config.hydra.overrides.task)
    record_failure(store, cell, reason)

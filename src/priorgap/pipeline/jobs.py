"""What Hydra launches: one configuration, all or some stages; failures are recorded and never stop the others."""

import logging
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from priorgap.pipeline.cells import Cell
from priorgap.pipeline.hydra_app import plain
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import forget_failure, record_failure

log = logging.getLogger(__name__)


def run_cell(config: DictConfig, *, stages: Sequence[str], workers: int = 1) -> str | None:
    """Run some stages of one configuration; an exception becomes a record and a log entry.

    Args:
        config: composed by Hydra; the plan is made again from it.
        stages: kinds of steps.
        workers: processes that may share out one model's measures.

    Returns:
        Why it failed; None where it did not.
    """
    from priorgap.pipeline.config.plan import plan_of
    from priorgap.pipeline.desk import Desk
    from priorgap.pipeline.execute import execute
    from priorgap.pipeline.precision import set_numerics

    cell = Cell(plain(config), tuple(str(o) for o in HydraConfig.get().overrides.task))
    store = _store(cell)
    try:
        set_numerics(cell.config)
        failed = execute(plan_of([cell]), stages, Desk(store), workers=workers)
    except Exception as error:
        return _failed(store, cell, f"{type(error).__name__}: {error}", traceback.format_exc())
    if failed:
        first = f"{failed[0].name}: {type(failed[0].error).__name__}: {failed[0].error}"
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        trace = "\n".join("".join(traceback.format_exception(one.error)) for one in failed)
        return _failed(store, cell, f"{first}{more}", trace)
    forget_failure(store, cell)
    return None


def _failed(store: Store, cell: Cell, line: str, trace: str) -> str:
    log.error("%s failed: %s", cell.label, line)
    log.debug("%s", trace)
    record_failure(store, cell, line, trace)
    return line


def _store(cell: Cell) -> Store:
    return Store(Path(str(cell.config["output_root"])))


def record_loss(config: DictConfig, reason: str) -> None:
    """Record the failure of a configuration whose worker died before it could."""
    cell = Cell(plain(config), tuple(str(o) for o in config.hydra.overrides.task))
    record_failure(_store(cell), cell, reason)

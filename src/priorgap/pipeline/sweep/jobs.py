"""The task that Hydra launches: stages of one configuration; failures are recorded and never stop other jobs."""

import contextlib
import logging
import math
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_original_cwd
from omegaconf import DictConfig

from priorgap.core.build import allow_plugins
from priorgap.pipeline.config.model_config import ModelConfig, validate
from priorgap.pipeline.config.session import plain
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import forget_failure, record_failure
from priorgap.pipeline.terminal import LINE

if TYPE_CHECKING:
    from priorgap.pipeline.config.plan import Plan
    from priorgap.pipeline.execute import Failed
    from priorgap.pipeline.tracking.access import Agent
    from priorgap.pipeline.tracking.live import LiveRuns

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CellTask:
    """The function that Hydra's launcher calls for each configuration.

    Attributes:
        stages: the kinds of steps to make.
        workers: the largest number of processes for one model's measures.
        grid_is_known: whether all configurations were known and prepared before the first began.
    """

    stages: tuple[str, ...]
    workers: int
    grid_is_known: bool

    def __call__(self, config: DictConfig) -> str | float | None:
        """Run one configuration; return why it failed, or the value that a sweeper optimises."""
        run = run_cell if self.grid_is_known else run_proposed
        found = run(config, stages=self.stages, workers=self.workers)
        LINE.ended(failed=isinstance(found, str))
        return found


def run_cell(config: DictConfig, *, stages: Sequence[str], workers: int = 1) -> str | None:
    """Run some stages of one configuration; an exception becomes a record and a log entry.

    Args:
        config: the configuration composed by Hydra, from which the plan is built again.
        stages: the kinds of steps to make.
        workers: the largest number of processes for one model's measures.

    Returns:
        Why it failed; None where it did not.
    """
    with _where_the_command_was_given():
        cell = ModelConfig(plain(config), tuple(str(o) for o in HydraConfig.get().overrides.task))
        return _run(cell, _store(cell), stages, workers)


def run_proposed(config: DictConfig, *, stages: Sequence[str], workers: int = 1) -> float:
    """Run a configuration that a sweeper proposed, which was not known or prepared before.

    Returns:
        The value that the sweeper minimises or maximises: `verdict.measure` of `verdict.baseline` in `verdict.space`;
        NaN where it failed.
    """
    from priorgap.pipeline.config.plan import plan_of
    from priorgap.pipeline.desk import Desk
    from priorgap.pipeline.execute import execute
    from priorgap.pipeline.facts import check
    from priorgap.pipeline.precision import set_numerics

    with _where_the_command_was_given():
        cell = ModelConfig(plain(config), tuple(str(o) for o in HydraConfig.get().overrides.task))
        store = _store(cell)
        try:
            validate([cell])
            plan = plan_of([cell])
            sweeper = str(HydraConfig.get().runtime.choices["hydra/sweeper"])
            record = replace(records.record_of(cell, iter(plan.models)), proposed_by=sweeper)
            records.write(record, store)
            set_numerics(cell.config)
            desk = Desk(store)
            check(plan.models, desk)
            execute(plan, ["prepare", *(["reference"] if "measure" in stages else [])], desk)
        except Exception as error:
            _failed(store, cell, f"{type(error).__name__}: {error}", traceback.format_exc())
            return math.nan
        failed = _run(cell, store, stages, workers)
        return math.nan if failed is not None or "measure" not in stages else _objective(record, store)


def _objective(record: records.Record, store: Store) -> float:
    from priorgap.pipeline.gathering import gather
    from priorgap.verdict.readings import one_space

    wanted = record.config["verdict"]
    table = gather([record], store).table
    space = one_space(table, wanted["measure"], wanted["space"])
    rows = table[(table["sampler"] == wanted["baseline"]) & (table["space"] == space) & (table["unit"] == "")]
    found = rows[rows["measure"] == wanted["measure"]]["value"]
    return float(found.iloc[0]) if len(found) else math.nan


def _where_the_command_was_given() -> contextlib.AbstractContextManager[None]:
    """Change to the command's folder, to which paths are relative, even if `hydra.job.chdir` moved the job."""
    return contextlib.chdir(get_original_cwd())


def _run(cell: ModelConfig, store: Store, stages: Sequence[str], workers: int) -> str | None:
    from priorgap.pipeline.precision import set_numerics

    try:
        allow_plugins(cell.config)
        set_numerics(cell.config)
        failed = _execute(cell, store, stages, workers)
    except Exception as error:
        return _failed(store, cell, f"{type(error).__name__}: {error}", traceback.format_exc())
    if failed:
        first = f"{failed[0].name}: {type(failed[0].error).__name__}: {failed[0].error}"
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        trace = "\n".join("".join(traceback.format_exception(one.error)) for one in failed)
        return _failed(store, cell, f"{first}{more}", trace)
    forget_failure(store, cell)
    return None


def _execute(cell: ModelConfig, store: Store, stages: Sequence[str], workers: int) -> "list[Failed]":
    """Run the stages of a configuration, with its runs of W&B open from the first epoch to the last measure."""
    from priorgap.pipeline.config.plan import plan_of
    from priorgap.pipeline.desk import Desk
    from priorgap.pipeline.execute import execute
    from priorgap.pipeline.tracking.live import LiveRuns

    plan, settings = plan_of([cell]), cell.config["tracking"]
    # Offline runs cannot be watched while a command of one stage works, so the report writes them.
    wanted = settings["mode"] == "online" or {"train", "measure"} <= set(stages)
    with LiveRuns(settings, store.study(cell.study), wanted=wanted, asked=_asked(plan)) as live:
        failed = execute(plan, stages, Desk(store, live), workers=workers)
        live.failed = bool(failed)
        if wanted and "measure" in stages and settings["mode"] != "off":
            _track(records.record_of(cell, iter(plan.models)), store, live)
    return failed


def _asked(plan: "Plan") -> "tuple[str, Agent] | None":
    """Return the model whose run W&B's agent requested: the first model, if the command has one configuration."""
    from priorgap.pipeline.tracking.access import agent

    known = agent()
    if known is None or HydraConfig.get().mode is RunMode.MULTIRUN:
        return None
    return plan.models[0].id, known


def _track(record: records.Record, store: Store, live: "LiveRuns") -> None:
    from priorgap.pipeline import gathering, reporting
    from priorgap.pipeline.tracking.access import TrackingFailed

    catalogue = gathering.catalogue_of([record], store)
    try:
        reporting.track_models([record], record.config["tracking"], store, catalogue, live)
    except TrackingFailed as error:
        log.warning("%s; the report tries it again", error)


def _failed(store: Store, cell: ModelConfig, line: str, trace: str) -> str:
    log.error("%s failed: %s", cell.label, line)
    log.debug("%s", trace)
    record_failure(store, cell, line, trace)
    return line


def _store(cell: ModelConfig) -> Store:
    return Store(Path(str(cell.config["output_root"])))


def record_loss(config: DictConfig, reason: str) -> None:
    """Record the failure of a configuration whose worker died before it could do so."""
    cell = ModelConfig(plain(config), tuple(str(o) for o in config.hydra.overrides.task))
    record_failure(_store(cell), cell, reason)

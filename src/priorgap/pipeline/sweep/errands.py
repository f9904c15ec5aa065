"""The jobs of a Hydra multirun as errands to nodes that share no disk: one model each, or what it lacks."""

import copy
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, open_dict, read_write

from priorgap.pipeline.config import parts
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import SHARED_KINDS, Plan, plan_of
from priorgap.pipeline.config.session import plain
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store, keep
from priorgap.pipeline.sweep.calls import Call, Prepared
from priorgap.pipeline.sweep.engines.protocol import Engine, Job, Unit
from priorgap.pipeline.sweep.engines.ray_cluster import RayCluster, node_id
from priorgap.pipeline.sweep.exchange import Exchange, exchanging
from priorgap.pipeline.sweep.jobs import CellTask
from priorgap.pipeline.sweep.node_folder import PLAIN, STORE, Answer

log = logging.getLogger(__name__)
# The files that a job leaves in addition to results, in folders of plain files.
_LOG, _FAILED, _LIGHTNING = "log", records.FAILED, "lightning"


@dataclass(frozen=True)
class HydraJob:
    """A Hydra job in a job's folder on a node.

    Attributes:
        call: runs the job.
        study: the study of its model.
    """

    call: Call
    study: str

    def __call__(self, root: Path) -> list[JobReturn]:
        """Run the job with a store at `root`; its log, its failure and its loggers' files become plain files."""
        folder = str(root.parent)
        (config,) = self.call.configs
        with read_write(config), open_dict(config):
            config.hydra.runtime.cwd = folder
        found = replace(self.call, directory=folder)()
        for name in (_FAILED, _LIGHTNING):
            left = root / self.study / name
            if left.is_dir():
                shutil.move(left, root / PLAIN / name)
        return found


@contextmanager
def errands(launcher: Prepared, engine: Engine) -> Iterator[Callable[[Job, Call], Unit]]:
    """Open an exchange with the nodes; yield a function that makes a unit from a job.

    Args:
        launcher: the launcher of the multirun.
        engine: the cluster.
    """
    task = launcher.task_function
    assert isinstance(task, CellTask)
    assert isinstance(engine, RayCluster)
    store = Store(Path(str(launcher.config.output_root)))
    logs = Path(str(launcher.config.hydra.sweep.dir))
    base = launcher.config.hydra.launcher.node_folder
    with exchanging(store, engine, node_id, base) as exchange:

        def errand_of(job: Job, call: Call) -> Unit:
            return _Errands(store, exchange, logs, task.stages).unit(job, call)

        yield errand_of


@dataclass(frozen=True)
class _Errands:
    store: Store
    exchange: Exchange
    logs: Path
    stages: tuple[str, ...]

    def unit(self, job: Job, call: Call) -> Unit:
        """Return a job as a unit: an errand, or its result if nothing is left to do."""
        cell = ModelConfig(plain(job.config), tuple(str(o) for o in job.config.hydra.overrides.task))
        plan = plan_of([cell])
        steps = [step for step in plan.steps.values() if step.kind not in SHARED_KINDS]
        if self.exchange.is_done(cell.train_id, [step for step in steps if step.kind in self.stages]):
            self._forget_failure(cell)
            return Unit((job,), _nothing, known=[_answer(job, None)])
        shared = [step for step in plan.steps.values() if step.kind in SHARED_KINDS]
        there = [step for step in shared if self.store.is_complete(step)]
        work = HydraJob(replace(call, configs=(_for_a_node(job.config),)), cell.study)
        errand = self.exchange.errand(steps, there, work, _own_files(plan))

        def receive(answer: Answer) -> list[JobReturn]:
            try:
                with self.exchange.received(answer, cell.train_id, steps) as plain_files:
                    self._keep(plain_files, job, cell)
            except (ValueError, OSError) as error:
                line = f"{type(error).__name__}: {error}"
                log.error("%s failed: %s", cell.label, line)
                with suppress(OSError):
                    records.record_failure(self.store, cell, line)
                return [_answer(job, line)]
            found: list[JobReturn] = answer.returned
            return found

        return Unit((job,), errand, receive)

    def _keep(self, found: Path, job: Job, cell: ModelConfig) -> None:
        """Keep the files that came with the results: the job's log, its failure, the files of Lightning's loggers."""
        if (found / _LOG).is_dir():
            shutil.copytree(found / _LOG, self.logs / str(job.number), dirs_exist_ok=True)
        if (found / _LIGHTNING).is_dir():
            shutil.copytree(found / _LIGHTNING, self.store.study(cell.study) / _LIGHTNING, dirs_exist_ok=True)
        failed = records.sound_failure(found / _FAILED / f"{cell.train_id}.json")
        if failed is None:
            self._forget_failure(cell)
        else:
            keep(self.store, records.failure_file(self.store, cell.study, cell.train_id), failed)

    def _forget_failure(self, cell: ModelConfig) -> None:
        if os.path.lexists(records.failure_file(self.store, cell.study, cell.train_id)):
            records.forget_failure(self.store, cell)


def _nothing() -> None:
    """Do nothing, for a job without work."""


def _answer(job: Job, line: str | None) -> JobReturn:
    return JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED, _return_value=line)


def _for_a_node(composed: DictConfig) -> DictConfig:
    """Return a job's configuration with paths in its own folder; its runs of W&B are left to the report."""
    config = copy.deepcopy(composed)
    with read_write(config), open_dict(config):
        config.output_root = STORE
        config.tracking.mode = "off"
        config.hydra.sweep.dir = f"{STORE}/{PLAIN}"
        config.hydra.sweep.subdir = _LOG
    return config


def _own_files(plan: Plan) -> dict[str, str]:
    """Return the files that jobs read in addition to results: a user's own data, networks of feature spaces."""
    found: dict[str, str] = {}
    for cell in plan.cells:
        found |= parts.data_files(cell.config)
        for name in cell.config["feature_spaces"]:
            found |= parts.feature_files(cell.config, name)
    return found

"""Runs the jobs of a Hydra multirun on an engine: composed as Hydra does, counted, retried when a worker dies."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from priorgap.pipeline.config.training_precision import settle_for_a_worker
from priorgap.pipeline.sweep.engines.protocol import Engine, Job, Lost, Unit
from priorgap.pipeline.sweep.progress import Progress

log = logging.getLogger(__name__)
_POLL = 0.5


class Prepared(Protocol):
    """A launcher after Hydra's `setup`."""

    config: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction


@dataclass(frozen=True)
class Call:
    """Some jobs, with all that a fresh process needs to run them as Hydra does."""

    context: HydraContext
    task_function: TaskFunction
    configs: tuple[DictConfig, ...]
    singletons: dict[type, object]
    directory: str

    def __call__(self) -> list[JobReturn]:
        """Run the jobs one after the other; what comes back is small, for it may cross a network."""
        os.chdir(self.directory)
        setup_globals()
        Singleton.set_state(self.singletons)
        return [_small(self._run(config)) for config in self.configs]

    def _run(self, config: DictConfig) -> JobReturn:
        return run_job(
            hydra_context=self.context,
            task_function=self._quietly,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    def _quietly(self, config: DictConfig) -> object:
        """Run the task; the sweep speaks for its jobs, whose own lines go to their log files."""
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.WARNING)
        return self.task_function(config)


def _small(found: JobReturn) -> JobReturn:
    return JobReturn(
        overrides=found.overrides,
        working_dir=found.working_dir,
        task_name=found.task_name,
        status=found.status,
        _return_value=found._return_value,
    )


def sweep(
    launcher: Prepared,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
    make_engine: Callable[[int], Engine],
    retries: int,
) -> Sequence[JobReturn]:
    """Compose each job, run all on an engine, return results in job order."""
    setup_globals()
    configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
    Path(str(launcher.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    jobs = []
    shared = set.intersection(*map(set, job_overrides)) if len(job_overrides) > 1 else set()
    for i, overrides in enumerate(job_overrides, start=initial_job_idx):
        config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = f"job_{i}"
            config.hydra.job.num = i
        settle_for_a_worker(config)
        typed = tuple(filter_overrides(overrides))
        jobs.append(Job(i, typed, tuple(o for o in typed if o not in shared), config))
        log.debug("job %s", jobs[-1].label)
    engine = make_engine(len(jobs))
    log.info("%d jobs %s", len(jobs), engine.describe())
    units = [
        _unit(launcher, jobs[first : first + engine.cells_per_unit])
        for first in range(0, len(jobs), engine.cells_per_unit)
    ]
    returns = drive(units, engine, Progress(len(jobs)), retries)
    return [returns[job.number] for job in jobs]


def _unit(launcher: Prepared, jobs: Sequence[Job]) -> Unit:
    configs = tuple(job.config for job in jobs)
    call = Call(
        launcher.hydra_context, launcher.task_function, configs, Singleton.get_state(), str(Path.cwd())
    )
    return Unit(tuple(jobs), call)


def drive(units: Sequence[Unit], engine: Engine, progress: Progress, retries: int) -> dict[int, JobReturn]:
    """Run units until each has answered or was lost once too often; a lost one costs no other."""
    returns: dict[int, JobReturn] = {}
    lost: Counter[Unit] = Counter()
    left = len(units)
    kill = True
    try:
        for unit in units:
            engine.start(unit)
        while left:
            for unit, outcome in engine.wait(_POLL):
                if isinstance(outcome, Lost):
                    lost[unit] += 1
                    again = lost[unit] <= retries
                    _say_lost(
                        unit, outcome, f"tried again, {lost[unit]} of {retries}" if again else "given up"
                    )
                    if again:
                        engine.start(unit)
                        continue
                    outcome = [_given_up(job, outcome) for job in unit.jobs]
                left -= 1
                for job, found in zip(unit.jobs, outcome, strict=True):
                    returns[job.number] = found
                    progress.ended(failed=_failed(found))
            progress.show(engine.running())
        kill = False
    finally:
        engine.close(kill=kill)
        progress.close()
    return returns


def _failed(found: JobReturn) -> bool:
    # a cell that fails says why; only what is no cell's own fault is an exception
    return found.status != JobStatus.COMPLETED or isinstance(found._return_value, str)


def _say_lost(unit: Unit, lost: Lost, then: str) -> None:
    for job in unit.jobs:
        log.warning("job %s: %s; %s", job.label, lost.reason, then)


def _given_up(job: Job, lost: Lost) -> JobReturn:
    from priorgap.pipeline.sweep.jobs import record_loss

    record_loss(job.config, lost.reason)
    return JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED, _return_value=lost.reason)

"""A Hydra job as a call for another process, with everything that Hydra needs there."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from priorgap.pipeline.sweep.engines.protocol import Job


class Prepared(Protocol):
    """A launcher after Hydra's `setup`."""

    config: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction

    @property
    def shared_disk(self) -> bool:
        """Whether its workers can access the store."""
        ...


@dataclass(frozen=True)
class Call:
    """Some jobs, with everything that a new process needs to run them as Hydra does."""

    context: HydraContext
    task_function: TaskFunction
    configs: tuple[DictConfig, ...]
    singletons: dict[type, object]
    directory: str

    def __call__(self) -> list[JobReturn]:
        """Run the jobs one after the other; the results are small, because they may be sent over a network."""
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
        """Run the task with its log only in the job's own file, because the sweep reports on its jobs."""
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


def call_of(launcher: Prepared, jobs: Sequence[Job]) -> Call:
    """Return a call that runs some jobs in another process."""
    configs = tuple(job.config for job in jobs)
    return Call(
        launcher.hydra_context, launcher.task_function, configs, Singleton.get_state(), str(Path.cwd())
    )

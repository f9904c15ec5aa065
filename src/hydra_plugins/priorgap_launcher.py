"""Lets Hydra find priorgap's launcher; Hydra executes this module at each start, so nothing heavy is here.

No `from __future__ import annotations`: Hydra executes the module before it is in sys.modules, which breaks
dataclasses with string annotations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class JoblibLauncherConf:
    """`hydra/launcher=joblib`: the jobs of a sweep in a pool of processes on this machine."""

    _target_: str = "hydra_plugins.priorgap_launcher.JoblibLauncher"
    n_jobs: int | None = None


ConfigStore.instance().store(
    group="hydra/launcher", name="joblib", node=JoblibLauncherConf, provider="priorgap"
)


class JoblibLauncher(Launcher):
    """Runs each job of a multirun in a loky worker; results come back in job order."""

    def __init__(self, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs of a multirun."""
        from priorgap.pipeline.launcher import launch_in_processes

        launcher: Any = self
        return launch_in_processes(launcher, job_overrides, initial_job_idx, self.n_jobs)

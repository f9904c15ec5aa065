"""Lets Hydra find priorgap's launchers; Hydra executes this module at each start, so nothing heavy is here.

No `from __future__ import annotations`: Hydra executes the module before it is in sys.modules, which breaks
dataclasses with string annotations.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class JoblibLauncherConf:
    """`hydra/launcher=joblib`: the jobs of a sweep in a pool of processes on this machine.

    n_jobs null: as many as cores, by the threads of one model; a job whose worker is killed is tried again
    `retries` times.
    """

    _target_: str = "hydra_plugins.priorgap_launcher.JoblibLauncher"
    n_jobs: int | None = None
    retries: int = 2


@dataclass
class RayLauncherConf:
    """`hydra/launcher=ray`: the jobs of a sweep on a Ray cluster.

    address auto joins the running cluster, null starts one on this machine; num_cpus null is the threads of one
    model. shared_disk false: the nodes do not see the output root; data and references go to them through Ray's
    object store, each works in node_folder (null: where temporary files are), and a finished model comes back as
    one pack, which the command publishes.
    """

    _target_: str = "hydra_plugins.priorgap_launcher.RayLauncher"
    requires: str = "ray"
    address: str | None = None
    num_cpus: float | None = None
    num_gpus: float = 0.0
    retries: int = 2
    shared_disk: bool = True
    node_folder: str | None = None


@dataclass
class SlurmLauncherConf:
    """`hydra/launcher=slurm`: the jobs of a sweep as Slurm jobs through submitit.

    cluster local or debug runs them here, to try a command. cells_per_job saves the start of a process for small
    cells; the rest is submitit's (slurm_additional goes to sbatch as it is).
    """

    _target_: str = "hydra_plugins.priorgap_launcher.SlurmLauncher"
    requires: str = "submitit"
    cluster: str = "slurm"
    cells_per_job: int = 1
    timeout_min: int = 240
    partition: str | None = None
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    mem_gb: float | None = None
    array_parallelism: int = 256
    slurm_additional: dict[str, Any] = field(default_factory=dict)
    retries: int = 2


_CONFIGURATIONS: dict[str, Any] = {
    "joblib": JoblibLauncherConf,
    "ray": RayLauncherConf,
    "slurm": SlurmLauncherConf,
}
for _name, _node in _CONFIGURATIONS.items():
    ConfigStore.instance().store(group="hydra/launcher", name=_name, node=_node, provider="priorgap")


class SweepLauncher(Launcher):
    """Runs the jobs of a multirun on an engine; results come back in job order."""

    retries: int
    shared_disk = True

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    @abstractmethod
    def engine(self, n_jobs: int) -> Any:
        """Return the engine, ready to take jobs."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs of a multirun."""
        from priorgap.pipeline.sweep.launcher import sweep

        return sweep(self, job_overrides, initial_job_idx, self.engine, self.retries)

    @property
    def threads(self) -> int:
        """The threads of one model."""
        return int(self.config.numerics.threads)


class JoblibLauncher(SweepLauncher):
    """Processes on this machine, one job each."""

    def __init__(self, n_jobs: int | None, retries: int) -> None:
        self.n_jobs, self.retries = n_jobs, retries

    def engine(self, n_jobs: int) -> Any:
        """Return a pool that is no larger than the work."""
        from priorgap.pipeline.sweep.engines.processes import Processes, processes_for

        workers = self.n_jobs or processes_for(self.threads)
        return Processes(min(workers, n_jobs), self.threads)


class RayLauncher(SweepLauncher):
    """Tasks of a Ray cluster."""

    def __init__(
        self,
        requires: str,
        address: str | None,
        num_cpus: float | None,
        num_gpus: float,
        retries: int,
        shared_disk: bool,
        node_folder: str | None,
    ) -> None:
        self.address, self.num_cpus, self.num_gpus, self.retries = address, num_cpus, num_gpus, retries
        self.shared_disk, self.node_folder = shared_disk, node_folder

    def engine(self, n_jobs: int) -> Any:
        """Return a connection to the cluster."""
        from priorgap.pipeline.sweep.engines.ray_cluster import RayCluster

        num_cpus = self.num_cpus or self.threads
        if self.shared_disk:
            return RayCluster(self.address, num_cpus, self.num_gpus, self.threads)
        from priorgap.pipeline.sweep.node_folder import Tidy

        return RayCluster(
            self.address, num_cpus, self.num_gpus, self.threads, self.retries, Tidy(self.node_folder)
        )


class SlurmLauncher(SweepLauncher):
    """Slurm jobs, by submitit."""

    def __init__(
        self,
        requires: str,
        cluster: str,
        cells_per_job: int,
        timeout_min: int,
        partition: str | None,
        cpus_per_task: int | None,
        gpus_per_node: int | None,
        mem_gb: float | None,
        array_parallelism: int,
        slurm_additional: dict[str, Any],
        retries: int,
    ) -> None:
        self.cluster, self.cells_per_job, self.retries = cluster, cells_per_job, retries
        # in submitit's names; what is None is left to the cluster
        self.asked = {
            "timeout_min": timeout_min,
            "slurm_partition": partition,
            "cpus_per_task": cpus_per_task,
            "gpus_per_node": gpus_per_node,
            "mem_gb": mem_gb,
            "slurm_array_parallelism": array_parallelism,
            "slurm_additional_parameters": dict(slurm_additional) or None,
        }

    def engine(self, n_jobs: int) -> Any:
        """Return a submitter whose files stand in the sweep's folder."""
        from priorgap.pipeline.sweep.engines.slurm import Slurm

        asked = {**self.asked, "cpus_per_task": self.asked["cpus_per_task"] or self.threads}
        return Slurm(self.cluster, self.cells_per_job, asked, str(self.config.hydra.sweep.dir))

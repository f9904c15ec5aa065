"""Runs the jobs of a Hydra multirun in a pool of processes, one job each, sized to the cores at hand."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

log = logging.getLogger(__name__)


class Prepared(Protocol):
    """A launcher after Hydra's `setup`."""

    config: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction


def available_cores() -> int:
    """Return the number of cores that this process may really use: affinity and control groups count."""
    from joblib import cpu_count

    return max(1, int(cpu_count()))


def _run_one(
    context: HydraContext, config: DictConfig, task_function: TaskFunction, singletons: dict[type, object]
) -> JobReturn:
    """Run in a worker: Hydra's own bookkeeping of one job."""
    setup_globals()
    Singleton.set_state(singletons)
    return run_job(
        hydra_context=context,
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def launch_in_processes(
    launcher: Prepared, job_overrides: Sequence[Sequence[str]], initial_job_idx: int, n_jobs: int | None
) -> Sequence[JobReturn]:
    """Compose each job as Hydra does, run them in loky workers, return results in job order."""
    from joblib import Parallel, delayed

    setup_globals()
    configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
    Path(str(launcher.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    configs = []
    for i, overrides in enumerate(job_overrides):
        config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = f"job_{initial_job_idx + i}"
            config.hydra.job.num = initial_job_idx + i
        configs.append(config)
        log.info("\t#%d : %s", initial_job_idx + i, " ".join(filter_overrides(overrides)))
    workers = min(n_jobs or available_cores(), len(configs))
    log.info("%d jobs in %d processes", len(configs), workers)
    # each model runs on numerics.threads threads; what workers inherit must not oversubscribe the cores
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    tasks = (
        delayed(_run_one)(launcher.hydra_context, config, launcher.task_function, Singleton.get_state())
        for config in configs
    )
    return list(Parallel(n_jobs=workers, backend="loky", batch_size=1, pre_dispatch="all")(tasks))

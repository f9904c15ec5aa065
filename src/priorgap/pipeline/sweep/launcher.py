"""Runs the jobs of a Hydra multirun on an engine: composed as Hydra does, counted, repeated if a worker dies."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from omegaconf import open_dict

from priorgap.pipeline.config.training_precision import settle_for_a_worker
from priorgap.pipeline.sweep.calls import Prepared, call_of
from priorgap.pipeline.sweep.engines.protocol import Engine, Job, Lost, Unit
from priorgap.pipeline.sweep.progress import Progress

log = logging.getLogger(__name__)
_POLL = 0.5


def sweep(
    launcher: Prepared,
    job_overrides: Sequence[Sequence[str]],
    initial_job_idx: int,
    make_engine: Callable[[int], Engine],
    retries: int,
) -> Sequence[JobReturn]:
    """Compose each job, run all of them on an engine, and return the results in job order."""
    setup_globals()
    configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
    Path(str(launcher.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    n_jobs = len(job_overrides)
    engine = make_engine(n_jobs)
    log.info("%d jobs %s", n_jobs, engine.describe())
    jobs = _jobs(launcher, job_overrides, initial_job_idx)
    progress = Progress(n_jobs)
    if launcher.shared_disk:
        returns = drive(_units(launcher, jobs, engine.cells_per_unit), engine, progress, retries)
    else:
        from priorgap.pipeline.sweep.errands import errands

        with errands(launcher, engine) as errand_of:
            # The engine itself repeats a lost job.
            returns = drive((errand_of(job, call_of(launcher, [job])) for job in jobs), engine, progress, 0)
    return [returns[number] for number in range(initial_job_idx, initial_job_idx + n_jobs)]


def _jobs(launcher: Prepared, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Iterator[Job]:
    """Compose the jobs one by one when they are requested, because a composed configuration is large."""
    shared = set.intersection(*map(set, job_overrides)) if len(job_overrides) > 1 else set()
    for i, overrides in enumerate(job_overrides, start=initial_job_idx):
        config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = f"job_{i}"
            config.hydra.job.num = i
        settle_for_a_worker(config)
        typed = tuple(filter_overrides(overrides))
        yield Job(i, typed, tuple(o for o in typed if o not in shared), config)


def _units(launcher: Prepared, jobs: Iterator[Job], cells_per_unit: int) -> Iterator[Unit]:
    while group := tuple(islice(jobs, cells_per_unit)):
        yield Unit(group, call_of(launcher, group))


def drive(units: Iterable[Unit], engine: Engine, progress: Progress, retries: int) -> dict[int, JobReturn]:
    """Run units until each has answered or was lost too often; a lost unit does not affect any other.

    Args:
        units: the units, taken one by one while the engine has room.
        engine: the engine that runs them.
        progress: counts finished models.
        retries: how often a lost unit is given to the engine again.
    """
    returns: dict[int, JobReturn] = {}
    lost: Counter[Unit] = Counter()
    waiting = iter(units)
    n_running, more, kill = 0, True, True

    def ended(unit: Unit, results: Sequence[JobReturn]) -> None:
        for job, found in zip(unit.jobs, results, strict=True):
            returns[job.number] = found
            progress.ended(failed=_failed(found))

    try:
        while more or n_running:
            while more and engine.has_room():
                unit = next(waiting, None)
                if unit is None:
                    more = False
                elif unit.known is not None:
                    ended(unit, unit.known)
                else:
                    engine.start(unit)
                    n_running += 1
            for unit, outcome in engine.wait(_POLL) if n_running else ():
                if isinstance(outcome, Lost):
                    lost[unit] += 1
                    again = lost[unit] <= retries
                    _say_lost(
                        unit, outcome, f"tried again, {lost[unit]} of {retries}" if again else "given up"
                    )
                    if again:
                        engine.start(unit)
                        continue
                    ended(unit, [_given_up(job, outcome) for job in unit.jobs])
                else:
                    ended(unit, outcome if unit.receive is None else unit.receive(outcome))
                n_running -= 1
            progress.show(engine.running())
        kill = False
    finally:
        engine.close(kill=kill)
        progress.close()
    return returns


def _failed(found: JobReturn) -> bool:
    # A failed cell returns its reason; only errors outside of a cell are exceptions.
    return found.status != JobStatus.COMPLETED or isinstance(found._return_value, str)


def _say_lost(unit: Unit, lost: Lost, then: str) -> None:
    for job in unit.jobs:
        log.warning("job %s: %s; %s", job.label, lost.reason, then)


def _given_up(job: Job, lost: Lost) -> JobReturn:
    from priorgap.pipeline.sweep.jobs import record_loss

    record_loss(job.config, lost.reason)
    return JobReturn(overrides=list(job.overrides), status=JobStatus.COMPLETED, _return_value=lost.reason)

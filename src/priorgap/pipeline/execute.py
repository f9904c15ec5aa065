"""Execution of a plan's jobs, with locks, skipping of finished results, progress and failures."""

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any
from uuid import uuid4

from priorgap.core.build import allow_plugins
from priorgap.core.devices import computing_on
from priorgap.pipeline import models
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import Job, Plan, Step, plan_of
from priorgap.pipeline.desk import Desk, n_samples
from priorgap.pipeline.precision import set_numerics
from priorgap.pipeline.stages.results import Failure, Work
from priorgap.pipeline.store import keys
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.sweep.engines.processes import spread
from priorgap.pipeline.sweep.progress import Pieces

log = logging.getLogger(__name__)
# From this number of values in a sampler's images on a process of its own is worthwhile; MNIST reaches it at 1,300
# images.
_LARGE = 1_000_000


@dataclass(frozen=True)
class Failed:
    """A result that could not be made.

    Attributes:
        name: its name in messages.
        error: the reason.
    """

    name: str
    error: Exception


@dataclass(frozen=True)
class Done:
    """The outcome of a job.

    Attributes:
        made: the names of the results that were made now.
        failed: the results that could not be made.
    """

    made: tuple[Step, ...] = ()
    failed: tuple[Failed, ...] = ()


def execute(plan: Plan, kinds: Collection[str], desk: Desk, *, workers: int = 1) -> list[Failed]:
    """Make every missing result of these kinds; return those that could not be made.

    Args:
        plan: all results, of which these kinds are made.
        kinds: the stages to run.
        desk: the objects that this process shares.
        workers: the largest number of processes among which one model's measures are distributed, where that is
            worthwhile.

    Raises:
        ValueError: a result of an earlier stage is missing; one line that names the command.
    """
    failed: list[Failed] = []
    for (kind, _), jobs in groupby(plan.jobs(kinds), key=lambda job: (job.kind, job.model)):
        if kind == "measure":
            failed += _measure(list(jobs), desk, workers)
        else:
            for job in jobs:
                failed += do(job, desk).failed
    return failed


def do(job: Job, desk: Desk) -> Done:
    """Make a job's missing results under its lock: processes that share a store do each piece of work once."""
    store = desk.store
    if _missing(job, store):
        with store.locked(job.path):
            for step in job.steps:
                store.sweep(step)
            todo = _missing(job, store)
            with computing_on(models.device_of(job.model.cell.config)):
                done = _work(replace(job, steps=tuple(todo)), todo, desk) if todo else Done()
    else:
        done = Done()
    if job.kind == "train":
        # The checkpoint is removed only now, so that a kill after publishing neither loses the training nor leaves
        # the checkpoint for good.
        for step in job.steps:
            _stage(job.kind).tidy(step, store)
    return done


def _stage(kind: str) -> Any:
    return import_module(f"priorgap.pipeline.stages.{kind}")


def _missing(job: Job, store: Store) -> dict[Step, str]:
    """Return the missing or damaged steps, with their keys."""
    wanted = {step: keys.key(step, store) for step in job.steps}
    return {step: key for step, key in wanted.items() if not store.is_sound(step, key)}


def _work(job: Job, todo: Mapping[Step, str], desk: Desk) -> Done:
    made: list[Step] = []
    failed: list[Failed] = []
    work: Work = _stage(job.kind).work(job, desk)
    started, cpu_started = time.perf_counter(), time.process_time()
    for step, outcome in work:
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        if isinstance(outcome, Failure):
            log.debug("%s failed", step.name, exc_info=outcome.error)
            failed.append(Failed(step.name, outcome.error))
        else:
            desk.store.publish(
                step, todo[step], outcome, seed=step.seed, seconds=seconds, cpu_seconds=cpu_seconds
            )
            made.append(step)
        started, cpu_started = time.perf_counter(), time.process_time()
    return Done(tuple(made), tuple(failed))


def _measure(jobs: Sequence[Job], desk: Desk, workers: int) -> list[Failed]:
    """Make all measurements of one model, its samplers one after the other or distributed over processes."""
    model = jobs[0].model
    workers = _worth_while(jobs, desk, workers)
    kinds = [step.subject.metric for job in jobs for step in job.steps]
    failed: list[Failed] = []
    progress, n_made = Pieces(kinds, "measured"), 0
    for job, done in _each(jobs, desk, workers):
        there = [step for step in job.steps if step not in done.made]
        progress.ended(*(step.subject.metric for step in there), worked=False)
        progress.ended(*(step.subject.metric for step in done.made))
        failed += done.failed
        n_made += len(done.made)
        log.debug("%s: %d measures of %s", model.name, len(done.made), job.sampler or "the model")
    if n_made:
        log.info("%s: measured, %d measures", model.name, n_made)
    return failed


def _worth_while(jobs: Sequence[Job], desk: Desk, workers: int) -> int:
    """Return how many processes are worthwhile: a sampler's images must take longer than starting a process."""
    cell = jobs[0].model.cell
    if workers < 2:
        return 1
    left = sum(bool(_missing(job, desk.store)) for job in jobs)
    if left < 2:
        return 1
    test = desk.dataset(jobs[0].model).test
    large = n_samples(cell, len(test)) * prod(test.shape) >= _LARGE
    return min(workers, left) if large else 1


def _each(jobs: Sequence[Job], desk: Desk, workers: int) -> Iterator[tuple[Job, Done]]:
    if workers < 2:
        yield from ((job, do(job, desk)) for job in jobs)
        return
    model = jobs[0].model
    todo = {job.sampler: job for job in jobs if _missing(job, desk.store)}
    yield from ((job, Done()) for job in jobs if job.sampler not in todo)
    log.info("%s: the measures of %d samplers in %d processes", model.name, len(todo), workers)
    threads = int(model.cell.config["numerics"]["threads"])
    root, batch = desk.store.root, uuid4().hex
    calls = {name: partial(_elsewhere, batch, model.cell, root, model.id, name) for name in todo}
    for name, (made, failed) in spread(calls, workers, threads):
        by_path = {str(step.path): step for step in todo[name].steps}
        yield todo[name], Done(tuple(by_path[path] for path in made), failed)


@dataclass(frozen=True)
class _Worker:
    """What a process keeps between the samplers of one model: data, indexes and posteriors take seconds to make.

    Attributes:
        batch: names the call of `_each` that it serves; a later one finds the store as it is then.
        jobs: the model's jobs, by sampler.
        desk: what they share.
    """

    batch: str
    jobs: Mapping[str, Job]
    desk: Desk


_worker: _Worker | None = None


def _worker_for(batch: str, cell: ModelConfig, root: Path, model_id: str) -> _Worker:
    """Return what this process keeps for a batch; what it kept for another one is let go first."""
    global _worker
    if _worker is None or _worker.batch != batch:
        _worker = None
        allow_plugins(cell.config)
        set_numerics(cell.config)
        jobs = {job.sampler: job for job in plan_of([cell]).jobs(["measure"]) if job.model.id == model_id}
        _worker = _Worker(batch, jobs, Desk(Store(root)))
    return _worker


def _elsewhere(
    batch: str, cell: ModelConfig, root: Path, model_id: str, sampler: str
) -> tuple[tuple[str, ...], tuple[Failed, ...]]:
    """Make the measurements of one sampler in a process of its own, which builds the plan again."""
    worker = _worker_for(batch, cell, root, model_id)
    done = do(worker.jobs[sampler], worker.desk)
    return tuple(str(step.path) for step in done.made), done.failed

"""Processes of this machine, by loky; each worker has an executor of its own, so that a killed one breaks no other.

(loky's own pool fails as a whole, with all of its tasks, when one of its workers is killed.)
"""

import os
import signal
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from priorgap.core.interrupts import handlers_kept
from priorgap.pipeline.signals import as_interrupts
from priorgap.pipeline.sweep.engines.cores import available_cores
from priorgap.pipeline.sweep.engines.protocol import Lost, Outcome, Unit

# A process is kept this long for the next call of `spread`, because starting one takes some seconds of imports.
_IDLE_SECONDS = 300
# When a sweep is ended, workers have this long to record their runs as failed; Slurm itself kills 30 s after its
# SIGTERM.
SECONDS_TO_TIDY = 20.0
_FROM_A_TERMINAL = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def processes_for(threads: int) -> int:
    """Return how many processes with this many threads each the cores suffice for, at least one."""
    return max(1, available_cores() // threads)


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that limit a worker's models to the given number of threads."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


@dataclass(frozen=True)
class _Worker:
    """A worker process.

    Attributes:
        executor: the worker's own executor.
        number: the file to which the worker writes its process id when it starts.
    """

    executor: Any
    # The id is not the result of a first call, because loky compares a process's memory with that after its first
    # call, and would take the memory of a model for a leak.
    number: Path

    def tell_to_end(self) -> bool:
        """Send SIGTERM, which ends the worker's call like Ctrl-C; return False if the process is gone."""
        try:
            os.kill(int(self.number.read_text(encoding="ascii")), signal.SIGTERM)
        except (OSError, ValueError):
            return False
        return True


def _interruptible(call: Callable[[], Any]) -> Any:
    """Make a call in a worker, where SIGTERM raises KeyboardInterrupt, so that open runs are closed as failed."""
    with as_interrupts():
        return call()


class Processes:
    """A pool of processes; a worker is started when it is first needed, and again after it was killed.

    Args:
        workers: the largest number of processes.
        threads: the number of threads of each.
        environment: additional environment variables of each.
    """

    cells_per_unit = 1

    def __init__(self, workers: int, threads: int, environment: Mapping[str, str] | None = None) -> None:
        self._workers = workers
        self._environment = {**thread_variables(threads), **(environment or {})}
        self._idle: list[_Worker | None] = [None] * workers
        self._waiting: deque[Unit] = deque()
        self._running: dict[Future[Any], tuple[_Worker, Unit]] = {}
        self._numbers = tempfile.TemporaryDirectory(prefix="priorgap-workers-", ignore_cleanup_errors=True)

    def describe(self) -> str:
        """Return the number of processes, in words."""
        return f"in {self._workers} processes"

    def has_room(self) -> bool:
        """Whether few units are waiting for a worker."""
        return len(self._waiting) < self._workers

    def start(self, unit: Unit) -> None:
        """Run a unit, or queue it until a worker is free."""
        self._waiting.append(unit)
        self._feed()

    def _feed(self) -> None:
        while self._waiting and self._idle:
            unit = self._waiting.popleft()
            with _interrupts_ignored():
                worker = self._idle.pop() or self._worker()
                try:
                    future = worker.executor.submit(_interruptible, unit.call)
                except BrokenProcessPool:  # The process was killed while it was idle.
                    worker = self._worker()
                    future = worker.executor.submit(_interruptible, unit.call)
            self._running[future] = worker, unit

    def _worker(self) -> _Worker:
        from joblib.externals.loky import ProcessPoolExecutor

        number = Path(self._numbers.name, uuid.uuid4().hex)
        executor = ProcessPoolExecutor(
            max_workers=1,
            env=self._environment,
            initializer=_begin,
            initargs=(os.getpid(), number),
        )
        return _Worker(executor, number)

    def running(self) -> int:
        """Return the number of busy workers."""
        return len(self._running)

    def wait(self, seconds: float) -> list[tuple[Unit, Outcome]]:
        """Return the units that have ended; free workers take the next ones."""
        ended, _ = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        found: list[tuple[Unit, Outcome]] = []
        for future in ended:
            worker, unit = self._running.pop(future)
            error = future.exception()
            if error is None:
                self._idle.append(worker)
                found.append((unit, future.result()))
            elif isinstance(error, BrokenProcessPool):
                worker.executor.shutdown(wait=False, kill_workers=True)
                self._idle.append(None)
                found.append((unit, Lost("its worker process was killed")))
            else:
                self._idle.append(worker)
                told = isinstance(error, KeyboardInterrupt)
                why = "was told to end" if told else f"failed: {type(error).__name__}: {error}"
                found.append((unit, Lost(f"its worker {why}")))
        self._feed()
        return found

    def close(self, *, kill: bool) -> None:
        """End the workers; with `kill`, running calls are first told to end and get some seconds for it."""
        workers = [
            one for one in (*self._idle, *(one for one, _ in self._running.values())) if one is not None
        ]
        with _interrupts_ignored():
            if kill:
                told = [future for future, (worker, _) in self._running.items() if worker.tell_to_end()]
                wait(told, timeout=SECONDS_TO_TIDY)
            for worker in workers:
                worker.executor.shutdown(wait=True, kill_workers=kill)
        self._numbers.cleanup()


def spread(calls: Mapping[str, Callable[[], Any]], workers: int, threads: int) -> Iterator[tuple[str, Any]]:
    """Run each call in one of several processes; yield name and result as they finish. The first failure ends all.

    The processes are kept for the next call of this function, and end with this process.
    """
    from joblib.externals.loky import as_completed, get_reusable_executor

    with _interrupts_ignored():
        executor = get_reusable_executor(
            max_workers=workers,
            timeout=_IDLE_SECONDS,
            env=thread_variables(threads),
            initializer=_leave_with_parent,
            initargs=(os.getpid(),),
        )
        folder = os.getcwd()
        futures = {executor.submit(_called, call, folder): name for name, call in calls.items()}
    finished = False
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
        finished = True
    finally:
        if not finished:
            with _interrupts_ignored():
                executor.shutdown(wait=True, kill_workers=True)


def _called(call: Callable[[], Any], folder: str) -> Any:
    # A kept process is still in the folder of its first call.
    os.chdir(folder)
    return call()


def _begin(parent: int, number: Path) -> None:
    """Write this worker's process id to its file, and make the worker end with its parent."""
    number.write_text(str(os.getpid()), encoding="ascii")
    _leave_with_parent(parent)


def _leave_with_parent(parent: int) -> None:
    """Make this worker end within a second after the sweep's own process, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Start (and end) workers that ignore Ctrl-C and the closing of a terminal, so that only the sweep handles these.

    loky's resource tracker is started with them, too; it would print a complaint if a hangup ended it.
    """
    with handlers_kept(_FROM_A_TERMINAL) as before:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        yield

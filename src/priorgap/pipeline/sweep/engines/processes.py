"""Processes of this machine, by loky; each worker is an executor of its own, so that one killed breaks no other.

(loky's own pool is broken as a whole, with all that it was given, when one of its workers is killed.)
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

from priorgap.pipeline.signals import as_interrupts
from priorgap.pipeline.sweep.engines.cores import available_cores
from priorgap.pipeline.sweep.engines.protocol import Lost, Outcome, Unit

# how long a process is kept for the next call of `spread`: it costs some seconds of imports
_IDLE_SECONDS = 300
# what a worker has, when the sweep is ended, to record its runs as failed; Slurm itself kills 30 s after its SIGTERM
SECONDS_TO_TIDY = 20.0
_FROM_A_TERMINAL = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def processes_for(threads: int) -> int:
    """Return how many processes of so many threads each the cores are enough for, one at least."""
    return max(1, available_cores() // threads)


def thread_variables(threads: int) -> dict[str, str]:
    """Return what a worker's environment must say so that its models do not take more cores than their threads."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


@dataclass(frozen=True)
class _Worker:
    """A process.

    Attributes:
        executor: its own.
        number: the file that it writes its number to when it starts.
    """

    executor: Any
    # not the answer of a first call: loky compares a process's memory with that after its first call, and would take
    # the memory of a model for a leak
    number: Path

    def tell_to_end(self) -> bool:
        """Send SIGTERM, which ends the worker's call as Ctrl-C does; False where there is nobody to hear it."""
        try:
            os.kill(int(self.number.read_text(encoding="ascii")), signal.SIGTERM)
        except (OSError, ValueError):
            return False
        return True


def _interruptible(call: Callable[[], Any]) -> Any:
    """Call, in a worker: SIGTERM raises KeyboardInterrupt, so that what is open is closed as failed."""
    with as_interrupts():
        return call()


class Processes:
    """A pool of processes; a worker is started when it is first needed, and again when it was killed.

    Args:
        workers: how many processes at most.
        threads: of each.
        environment: what the environment of each says beside that.
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
        """Say how many processes."""
        return f"in {self._workers} processes"

    def has_room(self) -> bool:
        """Whether few units wait for a worker."""
        return len(self._waiting) < self._workers

    def start(self, unit: Unit) -> None:
        """Run a unit, or keep it until a worker is free."""
        self._waiting.append(unit)
        self._feed()

    def _feed(self) -> None:
        while self._waiting and self._idle:
            unit = self._waiting.popleft()
            with _interrupts_ignored():
                worker = self._idle.pop() or self._worker()
                try:
                    future = worker.executor.submit(_interruptible, unit.call)
                except BrokenProcessPool:  # it was killed while it had nothing to do
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
        """Return how many workers are busy."""
        return len(self._running)

    def wait(self, seconds: float) -> list[tuple[Unit, Outcome]]:
        """Return what has ended; the workers that are free take the next."""
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
        """End the workers; with `kill`, what runs is told to end first, and has some seconds for it."""
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
    """Call each in one of some processes; yield name and result as they come. The first that fails ends all.

    The processes are kept for the next call of this function; they end with this one.
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
    # a process that was kept is where its first call was made from
    os.chdir(folder)
    return call()


def _begin(parent: int, number: Path) -> None:
    """Say this worker's number, and make it end with its parent."""
    number.write_text(str(os.getpid()), encoding="ascii")
    _leave_with_parent(parent)


def _leave_with_parent(parent: int) -> None:
    """Make this worker end within a second of the sweep's own process, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Start (and end) workers deaf to Ctrl-C and to a terminal's end, which reach all: the sweep alone answers them.

    loky's tracker of resources is started with them; one that is ended by a hangup complains of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _FROM_A_TERMINAL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

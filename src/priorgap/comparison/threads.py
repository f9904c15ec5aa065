"""Measures of several samplers at once on threads; the user's own functions run on the calling thread."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import torch

from priorgap.core.devices import CPU, compute_device
from priorgap.core.random import alone

T = TypeVar("T")
P = ParamSpec("P")
# A limit for the memory, because each thread holds the decoded draws of a sampler.
MAX_THREADS = 8


class Stopped(RuntimeError):  # noqa: N818
    """The caller has stopped waiting for this task's result."""


@dataclass(eq=False)
class CallerThread:
    """Runs tasks on threads, and runs functions that need it on the caller's own thread.

    A user's function may depend on its thread: on autocast, a default device, a graph or a session that were set
    around the call. It may also draw from the global random state, so that no other such function may run at the same
    time.

    Attributes:
        n_threads: the number of tasks that run at once; with one, they run one after the other on the caller's
            thread.
    """

    n_threads: int
    _owner: int = field(default_factory=threading.get_ident)
    _calls: "queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]" = field(
        default_factory=queue.SimpleQueue
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: bool = True

    def here(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function wrapped so that each call runs on the caller's thread."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if threading.get_ident() == self._owner:
                return function(*args, **kwargs)
            answer: Future[T] = Future()
            with self._lock:
                if not self._open:
                    raise Stopped("the caller does not wait any more")
                self._calls.put((lambda: function(*args, **kwargs), answer))
            return answer.result()

        return call

    def run(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Return the result of each task, in order; the first failure ends all of them.

        torch computes on one thread in each task, even if tasks run one after the other.
        """
        before = torch.get_num_threads()
        try:
            if self.n_threads < 2 or len(tasks) < 2:
                torch.set_num_threads(1)
                return [task() for task in tasks]
            return self._spread(tasks)
        finally:
            torch.set_num_threads(before)

    def _spread(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        grad = torch.is_grad_enabled()

        def work(task: Callable[[], T]) -> T:
            # Both settings belong to a thread.
            torch.set_num_threads(1)
            with torch.set_grad_enabled(grad):
                return task()

        pool = ThreadPoolExecutor(min(self.n_threads, len(tasks)), "priorgap-measure")
        try:
            futures = [pool.submit(work, task) for task in tasks]
            for future in futures:
                future.add_done_callback(lambda _: self._calls.put(None))
            left = len(futures)
            while left:
                item = self._calls.get()
                if item is not None:
                    self._answer(*item)
                    continue
                left -= 1
                for future in futures:
                    if future.done() and future.exception() is not None:
                        return [future.result()]  # result() raises the task's exception.
            return [future.result() for future in futures]
        finally:
            self._close()
            pool.shutdown(cancel_futures=True)

    @staticmethod
    def _answer(call: Callable[[], Any], answer: "Future[Any]") -> None:
        try:
            with alone():
                answer.set_result(call())
        except Exception as error:
            answer.set_exception(error)
        except BaseException:
            answer.set_exception(Stopped("the caller was interrupted"))
            raise

    def _close(self) -> None:
        """Make sure that no task waits for an answer that will not come."""
        with self._lock:
            self._open = False
            while not self._calls.empty():
                item = self._calls.get()
                if item is not None:
                    item[1].set_exception(Stopped("the caller does not wait any more"))


def n_threads_for(n_tasks: int) -> int:
    """Return how many tasks run at once: as many as torch has threads, up to a limit.

    One where networks are computed on another device than the CPU: threads would move the same network to and fro.
    """
    if compute_device() != CPU:
        return 1
    return max(1, min(n_tasks, torch.get_num_threads(), MAX_THREADS))

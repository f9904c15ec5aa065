"""A Ray cluster (extra `ray`): a running one that shares the store, or one started on this machine."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from priorgap.core.errors import BadInput
from priorgap.pipeline.sweep.engines.processes import SECONDS_TO_TIDY, thread_variables
from priorgap.pipeline.sweep.engines.protocol import Lost, Outcome, Unit

# nothing but a few words goes through Ray's object store
_OBJECT_STORE = 128 * 2**20


def _call(work: Callable[[], Any]) -> Any:
    return work()


class RayCluster:
    """Tasks of a cluster; a node that is lost costs what ran on it.

    Args:
        address: of the cluster's head, or auto; None starts one here.
        num_cpus: what one task reserves.
        num_gpus: what one task reserves.
        threads: the threads of one model.
    """

    cells_per_unit = 1

    def __init__(self, address: str | None, num_cpus: float, num_gpus: float, threads: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
        import ray

        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            self._connect(address, threads)
        self._task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0)(_call)
        self._num_cpus = num_cpus
        self._running: dict[Any, Unit] = {}

    def _connect(self, address: str | None, threads: int) -> None:
        variables = thread_variables(threads)
        # workers find the package where this process does
        variables |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        joined = address or os.environ.get("RAY_ADDRESS")
        own = {} if joined else {"object_store_memory": _OBJECT_STORE, "include_dashboard": False}
        try:
            with _own_sigterm():
                self._ray.init(
                    address=address, runtime_env={"env_vars": variables}, logging_level="warning", **own
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            line = " ".join(str(error).split())
            raise BadInput(f"hydra.launcher.address={address}: no Ray cluster there: {line}") from error

    def _slots(self) -> int:
        cores = self._ray.cluster_resources().get("CPU", 0.0)
        return max(1, int(cores / self._num_cpus)) if self._num_cpus else len(self._running)

    def describe(self) -> str:
        """Say how large the cluster is."""
        nodes = sum(bool(node["Alive"]) for node in self._ray.nodes())
        return f"on a Ray cluster of {nodes} nodes, {self._slots()} at a time"

    def start(self, unit: Unit) -> None:
        """Hand a unit to Ray, which runs it where there is room."""
        self._running[self._task.remote(unit.call)] = unit

    def running(self) -> int:
        """Return how many tasks have room."""
        return min(len(self._running), self._slots())

    def wait(self, seconds: float) -> list[tuple[Unit, Outcome]]:
        """Return what has ended."""
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [(self._running.pop(task), self._outcome(task)) for task in ended]

    def _outcome(self, task: Any) -> Outcome:
        try:
            found: Outcome = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            return Lost(f"its worker failed: {' '.join(str(error.cause).split())}")
        except self._ray.exceptions.RayError as error:
            return Lost(f"its node or worker was lost ({type(error).__name__})")
        return found

    def close(self, *, kill: bool) -> None:
        """Leave the cluster; with `kill`, what runs is told to end first, and has some seconds for it."""
        if kill and self._running:
            tasks = list(self._running)
            for task in tasks:
                # raises KeyboardInterrupt in a task that runs: it records its runs as failed
                self._ray.cancel(task, force=False)
            _, left = self._ray.wait(tasks, num_returns=len(tasks), timeout=SECONDS_TO_TIDY)
            for task in left:
                self._ray.cancel(task, force=True)
        if self._started:
            with _own_sigterm():
                self._ray.shutdown()


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's answer to SIGTERM: Ray sets one that exits at once, with a status of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

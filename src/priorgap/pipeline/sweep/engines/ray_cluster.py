"""A Ray cluster (extra `ray`): a running one, or one that is started on this machine."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from priorgap.core.errors import BadInput
from priorgap.core.interrupts import handlers_kept
from priorgap.pipeline.sweep.engines.processes import SECONDS_TO_TIDY, thread_variables
from priorgap.pipeline.sweep.engines.protocol import Lost, Outcome, Unit

# With a shared disk only a few words go through Ray's object store.
_OBJECT_STORE = 128 * 2**20
# The number of tasks submitted to Ray for each that can run, so that the next one is ready when one ends, without
# holding more.
_AHEAD = 3
_LOOK_EVERY, _CLOSING = 1.0, 20.0


def _call(work: Callable[[], Any]) -> Any:
    return work()


def node_id() -> str:
    """Return the id of the node that this process runs on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


@dataclass(frozen=True)
class Sent:
    """Bytes in the cluster's object store; a call on a node returns them without a copy.

    Attributes:
        reference: the reference, in a list so that a task that receives it does not fetch the bytes automatically.
    """

    reference: list[Any]

    def __call__(self) -> memoryview:
        """Return the bytes."""
        import ray

        return memoryview(ray.get(self.reference[0]))


class RayCluster:
    """Tasks of a cluster; if a node is lost, only the tasks running on it are lost.

    Args:
        address: the address of the cluster's head, or auto; None starts a cluster here.
        num_cpus: what one task reserves.
        num_gpus: what one task reserves.
        threads: the threads of one model.
        retries: how often Ray itself repeats a task whose worker or node was lost.
        last: called on each node with the node's id when the work is done; given only if the nodes share no disk, so
            that data and results go through the object store.
    """

    cells_per_unit = 1

    def __init__(
        self,
        address: str | None,
        num_cpus: float,
        num_gpus: float,
        threads: int,
        retries: int = 0,
        last: Callable[[str], None] | None = None,
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # This switches off telemetry.
        # A worker that runs out of memory must count as lost like any other, because Ray would otherwise repeat its
        # job for ever.
        os.environ.setdefault("RAY_task_oom_retries", str(retries))
        import ray

        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            self._connect(address, threads, _OBJECT_STORE if last is None else None)
        # Errors that Ray raises within a task (for example when an object is lost in transfer) are no failure of the
        # job.
        self._task = self._ray.remote(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            max_retries=retries,
            retry_exceptions=[ray.exceptions.RayError],
        )(_call)
        self._num_cpus, self._last = num_cpus, last
        self._running: dict[Any, Unit] = {}
        self._looked_at, self._known_slots = 0.0, 1

    def _connect(self, address: str | None, threads: int, object_store: int | None) -> None:
        variables = thread_variables(threads)
        # Workers must find the package where this process does.
        variables |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        joined = (address or os.environ.get("RAY_ADDRESS")) not in (None, "", "local")
        own = {} if joined else {"object_store_memory": object_store, "include_dashboard": False}
        try:
            with _own_sigterm():
                self._ray.init(
                    address=address, runtime_env={"env_vars": variables}, logging_level="warning", **own
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            line = " ".join(str(error).split())
            raise BadInput(f"hydra.launcher.address={address}: no Ray cluster there: {line}") from error

    def _slots(self) -> int:
        """Return how many tasks can run, as of about a second ago, because nodes come and go."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_EVERY:
            cores = self._ray.cluster_resources().get("CPU", 0.0)
            self._looked_at, self._known_slots = now, max(1, int(cores / self._num_cpus))
        return self._known_slots

    def send(self, content: bytes) -> Sent:
        """Put bytes into the object store; they stay there as long as the result is referenced."""
        import numpy as np

        # Ray passes on arrays without a copy, but bytes with one.
        return Sent([self._ray.put(np.frombuffer(content, dtype=np.uint8))])

    def describe(self) -> str:
        """Return the size of the cluster, in words."""
        nodes = sum(bool(node["Alive"]) for node in self._ray.nodes())
        return f"on a Ray cluster of {nodes} nodes, {self._slots()} at a time"

    def has_room(self) -> bool:
        """Whether few tasks are waiting in Ray; each of them takes memory there and in this process."""
        return len(self._running) < _AHEAD * self._slots()

    def start(self, unit: Unit) -> None:
        """Submit a unit to Ray, which runs it where there is room."""
        self._running[self._task.remote(unit.call)] = unit

    def running(self) -> int:
        """Return how many tasks can run."""
        return min(len(self._running), self._slots())

    def wait(self, seconds: float) -> list[tuple[Unit, Outcome]]:
        """Return the units that have ended."""
        ended, rest = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        if ended and rest:
            ended += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
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
        """Leave the cluster; with `kill`, running tasks are first told to end and get some seconds for it."""
        if kill and self._running:
            tasks = list(self._running)
            for task in tasks:
                # This raises KeyboardInterrupt in a running task, which then records its runs as failed.
                self._ray.cancel(task, force=False)
            _, left = self._ray.wait(tasks, num_returns=len(tasks), timeout=SECONDS_TO_TIDY)
            for task in left:
                self._ray.cancel(task, force=True)
        elif self._last is not None:
            self._on_each_node(self._last)
        if self._started:
            with _own_sigterm():
                self._ray.shutdown()

    def _on_each_node(self, call: Callable[[str], None]) -> None:
        """Call a function once on each node, within a time limit."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        tasks = []
        for node in self._ray.nodes():
            if node["Alive"]:
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                remote = self._ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=place)(_call)
                tasks.append(remote.remote(partial(call, node["NodeID"])))
        self._ray.wait(tasks, num_returns=len(tasks), timeout=_CLOSING)


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: Ray sets one that exits at once, with a status of its own."""
    with handlers_kept([signal.SIGTERM]):
        yield

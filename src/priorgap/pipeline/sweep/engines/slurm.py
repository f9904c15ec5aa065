"""Slurm jobs through submitit (extra `slurm`); its `local` and `debug` executors do the same on this machine."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from priorgap.core.errors import BadInput
from priorgap.pipeline.sweep.engines.protocol import Lost, Outcome, Unit

CLUSTERS = ("slurm", "local", "debug")


class Preemptible:
    """A unit's call that Slurm may stop and queue again; its jobs resume from their last epoch."""

    def __call__(self, unit_call: Any) -> Sequence[JobReturn]:
        """Run the unit."""
        found: Sequence[JobReturn] = unit_call()
        return found

    def checkpoint(self, unit_call: Any) -> Any:
        """Return the call that submitit queues again; everything worth keeping is in the store."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, unit_call)


class Slurm:
    """One Slurm job for each unit, in an array.

    Args:
        cluster: slurm; local or debug try a command on this machine.
        cells_per_unit: the number of cells that one Slurm job runs, one after the other.
        asked: the resources requested from Slurm, in submitit's names; None leaves one to the cluster.
        folder: the folder of submitit's scripts and logs.
    """

    def __init__(self, cluster: str, cells_per_unit: int, asked: Mapping[str, Any], folder: str) -> None:
        import submitit

        self.cells_per_unit = cells_per_unit
        self._cluster = cluster
        try:
            self._executor = submitit.AutoExecutor(folder=Path(folder) / "submitit", cluster=cluster)
        except RuntimeError as error:
            line = " ".join(str(error).split())
            raise BadInput(
                f"hydra.launcher.cluster={cluster}: {line}; expected a machine with Slurm"
            ) from error
        chosen = {key: value for key, value in asked.items() if value is not None}
        self._executor.update_parameters(name="priorgap", **chosen)
        self._new: list[Unit] = []
        self._running: dict[Any, Unit] = {}

    def describe(self) -> str:
        """Return where it runs, and how many cells there are in a job."""
        return f"by submitit on {self._cluster}, {self.cells_per_unit} a Slurm job"

    def has_room(self) -> bool:
        """Return True, because all units of an array must be known at once."""
        return True

    def start(self, unit: Unit) -> None:
        """Collect a unit for the next submission; units that are collected together form one array."""
        self._new.append(unit)

    def _submit(self) -> None:
        units, self._new = self._new, []
        jobs = self._executor.map_array(Preemptible(), [unit.call for unit in units]) if units else []
        self._running.update(zip(jobs, units, strict=True))

    def running(self) -> int:
        """Return how many Slurm jobs are running, as far as Slurm has reported."""
        return sum(job.state == "RUNNING" for job in self._running)

    def wait(self, seconds: float) -> list[tuple[Unit, Outcome]]:
        """Return the units that have ended."""
        self._submit()
        end = time.monotonic() + seconds
        while not (ended := [job for job in self._running if job.done()]) and time.monotonic() < end:
            # Each check reads shared files for every job, so that it is made less often if there are more of
            # them.
            time.sleep(max(0.2, len(self._running) / 50))
        return [(self._running.pop(job), _outcome(job)) for job in ended]

    def close(self, *, kill: bool) -> None:
        """With `kill`, cancel jobs that are queued or running."""
        if kill:
            for job in self._running:
                job.cancel()


def _outcome(job: Any) -> Outcome:
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        found: Outcome = job.result()
    except (FailedJobError, UncompletedJobError) as error:
        last = [line for line in str(error).splitlines() if line.strip("- ")]
        return Lost(f"Slurm job {job.job_id}: {last[0] if last else type(error).__name__} ({job.state})")
    return found

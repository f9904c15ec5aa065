"""The interface between the launcher and an engine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from omegaconf import DictConfig


@dataclass(frozen=True, eq=False)
class Job:
    """One job of a multirun, composed as Hydra does it.

    Attributes:
        number: its number in the sweep.
        overrides: its typed and swept words.
        own: the words that not every job of the sweep has.
        config: the composed configuration.
    """

    number: int
    overrides: tuple[str, ...]
    own: tuple[str, ...]
    config: DictConfig

    @property
    def label(self) -> str:
        """The job's name in messages."""
        return f"#{self.number} ({' '.join(self.own)})" if self.own else f"#{self.number}"


@dataclass(frozen=True, eq=False)
class Unit:
    """The work that a worker gets at once: jobs, and the call that runs them and returns their results in order.

    A unit without jobs is other work of the command, whose result has its own type.

    Attributes:
        jobs: the jobs that it runs.
        call: runs the jobs, in the worker.
        receive: converts the call's result into job results, in job order and in this process, where it is in another
            form.
        known: the results of jobs that have nothing to do and are not run.
    """

    jobs: tuple[Job, ...]
    call: Callable[[], Any]
    receive: Callable[[Any], Any] | None = None
    known: Any = None


@dataclass(frozen=True)
class Lost:
    """A unit whose worker died before it answered; results that its jobs had published remain."""

    reason: str


# The call's result, or `Lost`.
Outcome = Any | Lost


class Engine(Protocol):
    """Runs units somewhere; a unit that dies does not affect any other."""

    cells_per_unit: int

    def has_room(self) -> bool:
        """Whether to give it more units before the next one has ended."""

    def start(self, unit: Unit) -> None:
        """Accept a unit, which runs when there is room."""

    def wait(self, seconds: float) -> list[tuple[Unit, Outcome]]:
        """Return the units that have ended, waiting for the first one at most this long."""

    def running(self) -> int:
        """Return how many units are running now."""

    def close(self, *, kill: bool) -> None:
        """Release the workers; with `kill`, without waiting for running units."""

    def describe(self) -> str:
        """Return where it runs, in a few words."""

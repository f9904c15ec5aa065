"""What the launcher asks of an engine, and what it hands to one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from omegaconf import DictConfig


@dataclass(frozen=True, eq=False)
class Job:
    """One job of a multirun, composed as Hydra does.

    Attributes:
        number: its place in the sweep.
        overrides: what was typed and swept for it.
        own: those that not every job of the sweep has.
        config: the composed configuration.
    """

    number: int
    overrides: tuple[str, ...]
    own: tuple[str, ...]
    config: DictConfig

    @property
    def label(self) -> str:
        """What a line about this job calls it."""
        return f"#{self.number} ({' '.join(self.own)})" if self.own else f"#{self.number}"


@dataclass(frozen=True, eq=False)
class Unit:
    """What one worker is handed at once: jobs, and the call that runs them; it returns their results in order.

    Without jobs it is other work of the command, with an answer of its own type.

    Attributes:
        jobs: what it runs.
        call: runs them, in the worker.
        receive: makes results, in job order, of what a call returned that is not such itself; in this process.
        known: the results of jobs that have nothing to do: they are not run.
    """

    jobs: tuple[Job, ...]
    call: Callable[[], Any]
    receive: Callable[[Any], Any] | None = None
    known: Any = None


@dataclass(frozen=True)
class Lost:
    """A unit whose worker is gone before it answered; what its jobs had published stands."""

    reason: str


# what the call returned
Outcome = Any | Lost


class Engine(Protocol):
    """Runs units somewhere; each answers for itself, and one that dies takes no other with it."""

    cells_per_unit: int

    def has_room(self) -> bool:
        """Whether to hand it more units before the next has ended."""

    def start(self, unit: Unit) -> None:
        """Take a unit; it runs when there is room."""

    def wait(self, seconds: float) -> list[tuple[Unit, Outcome]]:
        """Return what has ended, waiting at most so long for the first."""

    def running(self) -> int:
        """Return how many units run now."""

    def close(self, *, kill: bool) -> None:
        """Let go of the workers; with `kill`, without waiting for what runs."""

    def describe(self) -> str:
        """Return where it runs, in a few words."""

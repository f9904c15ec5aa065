"""Observers of training, which are told of each epoch and cannot change anything."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from priorgap.pipeline.config.plan import PlannedModel
from priorgap.training.config import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Returns a picture of the model's current samples, or None if it has none.
Look = Callable[[], "npt.NDArray[np.uint8] | None"]
# Opens a callback that gets (place in the batch, record of an epoch) while a batch trains; it must be picklable.
FollowBatch = Callable[[], AbstractContextManager[Callable[[int, Record], None]]]


class Follower(Protocol):
    """Observes one training."""

    def resumed(self, curves: Sequence[Record]) -> None:
        """Receive the records of earlier epochs."""

    def epoch(self, record: Record, look: Look) -> None:
        """Receive an epoch's means; `look` may be called only within this call, for a picture of this epoch."""


class Following(Protocol):
    """Observes all trainings of a process."""

    def training(self, model: PlannedModel) -> Follower:
        """Return the observer of a model's training."""

    def batch(self, models: Sequence[PlannedModel]) -> FollowBatch | None:
        """Return the observer of a batch; None if there is none."""


class Nobody:
    """An observer that does nothing."""

    def training(self, model: PlannedModel) -> Follower:
        """Return an observer that does nothing."""
        return self

    def batch(self, models: Sequence[PlannedModel]) -> FollowBatch | None:
        """Return None."""
        return None

    def resumed(self, curves: Sequence[Record]) -> None:
        """Do nothing."""

    def epoch(self, record: Record, look: Look) -> None:
        """Do nothing."""

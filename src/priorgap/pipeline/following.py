"""What looks on while models train: it is told of each epoch, and can change nothing."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from priorgap.pipeline.config.plan import PlannedModel
from priorgap.training.config import Record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# returns a picture of the model's present samples, None where it has none
Look = Callable[[], "npt.NDArray[np.uint8] | None"]
# opens a callback that gets (place in the batch, record of an epoch) while a batch trains; must be picklable
FollowBatch = Callable[[], AbstractContextManager[Callable[[int, Record], None]]]


class Follower(Protocol):
    """Looks on at one training."""

    def resumed(self, curves: Sequence[Record]) -> None:
        """Take the epochs that were run before."""

    def epoch(self, record: Record, look: Look) -> None:
        """Take an epoch's means; `look` is called where a picture is wanted of the epoch, and at no other time."""


class Following(Protocol):
    """Looks on at all trainings of a process."""

    def training(self, model: PlannedModel) -> Follower:
        """Return what looks on at a model's training."""

    def batch(self, models: Sequence[PlannedModel]) -> FollowBatch | None:
        """Return what looks on at a batch; None where nobody does."""


class Nobody:
    """Nobody looks on."""

    def training(self, model: PlannedModel) -> Follower:
        """Return what takes no notice."""
        return self

    def batch(self, models: Sequence[PlannedModel]) -> FollowBatch | None:
        """Return None."""
        return None

    def resumed(self, curves: Sequence[Record]) -> None:
        """Nothing."""

    def epoch(self, record: Record, look: Look) -> None:
        """Nothing."""

"""`batching` in conf/: over how many programs models are distributed, and when a sweep is advised to use batching."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Starting a process takes some seconds of imports, so there is one for each 20 seconds of training.
_SECONDS_A_PROCESS = 20.0


@dataclass(frozen=True)
class BatchingRule:
    """The rule is not part of any result's identity, because a model's bits do not depend on the other models.

    Attributes:
        max_seconds: about the longest time that one program may take, because a killed program starts from the
            beginning.
        advise: whether a sweep of `trainer=default` is told how much time batching would save.
        min_models: a sweep of fewer similar models is not told.
        max_weights: the largest number of weights of a model; for larger models the products themselves take the
            time, which batching does not save.
    """

    max_seconds: int
    advise: bool
    min_models: int
    max_weights: int

    def n_programs(self, n_models: int, seconds: float, processes: int) -> int:
        """Return the number of programs over which similar models are distributed.

        Args:
            n_models: the number of models.
            seconds: the approximate time of all of them.
            processes: the largest number of processes that run at once.
        """
        at_once = min(processes, int(seconds / _SECONDS_A_PROCESS))
        return min(max(at_once, math.ceil(seconds / self.max_seconds), 1), n_models)

    def is_worth_saying(self, n_models: int, n_weights: int) -> bool:
        """Whether to tell a sweep of `trainer=default` that batching would save time.

        Args:
            n_models: the number of similar models that are not trained yet.
            n_weights: the number of weights of each.
        """
        return self.advise and n_models >= self.min_models and n_weights <= self.max_weights


def refuse_old_words(overrides: Sequence[str]) -> None:
    """Refuse the old words for batched training, which is now a choice of the trainer.

    Raises:
        ValueError: one line.
    """
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key == "fleet" or key.startswith("fleet.") or (key == "hydra/launcher" and value == "fleet"):
            raise ValueError(f"{override}: now: trainer=batched (docs/sweeps.md)")

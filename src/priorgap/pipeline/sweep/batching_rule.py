"""`batching` in conf/: over how many programs models share out, and when a sweep is told what batching saves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# a process of its own costs some seconds of imports: one for each so many seconds of training
_SECONDS_A_PROCESS = 20.0


@dataclass(frozen=True)
class BatchingRule:
    """No part of any result's identity: a model's bits do not depend on its company.

    Attributes:
        max_seconds: about the longest that one program may take: one that is killed starts anew.
        advise: whether a sweep of `trainer=default` is told what batching would save.
        min_models: a sweep of fewer models alike is not.
        max_weights: of one model: the products of larger ones take the time, and batching saves none of it.
    """

    max_seconds: int
    advise: bool
    min_models: int
    max_weights: int

    def n_programs(self, n_models: int, seconds: float, processes: int) -> int:
        """Return over how many programs some models alike are shared out.

        Args:
            n_models: how many.
            seconds: about what all of them take.
            processes: how many may run at once.
        """
        at_once = min(processes, int(seconds / _SECONDS_A_PROCESS))
        return min(max(at_once, math.ceil(seconds / self.max_seconds), 1), n_models)

    def is_worth_saying(self, n_models: int, n_weights: int) -> bool:
        """Whether to tell a sweep of `trainer=default` that batching would save time.

        Args:
            n_models: alike, and not trained yet.
            n_weights: of each.
        """
        return self.advise and n_models >= self.min_models and n_weights <= self.max_weights


def refuse_old_words(overrides: Sequence[str]) -> None:
    """Refuse the words that batched training had before it was a choice of the trainer.

    Raises:
        ValueError: one line.
    """
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key == "fleet" or key.startswith("fleet.") or (key == "hydra/launcher" and value == "fleet"):
            raise ValueError(f"{override}: now: trainer=batched (docs/sweeps.md)")

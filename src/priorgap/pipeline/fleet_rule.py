"""When models are trained as a fleet: the one place that decides, by numbers that stand in `conf/config.yaml`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# launchers whose jobs run on the machine of the command: elsewhere it only waits and counts
_LOCAL = ("basic", "joblib")


@dataclass(frozen=True)
class Rule:
    """What groups of models that differ only in alpha, beta, seed or learning rate are trained as fleets.

    Attributes:
        min_models: fewer are left to their jobs.
        max_weights: of one model, None for any number: the products of larger ones take the time, and gain nothing.
        max_seconds: about the longest that one fleet may take, None for any time: a fleet that is killed starts anew.
        chosen: whether the command asked for fleets, or the rule chose.
    """

    min_models: int = 2
    max_weights: int | None = None
    max_seconds: float | None = None
    chosen: bool = True

    @classmethod
    def of(cls, launcher: str, node: Mapping[str, Any]) -> "Rule | None":
        """Return the rule of a command; None where nothing is trained as a fleet.

        Args:
            launcher: the name of Hydra's launcher; `fleet` makes fleets of all that can be.
            node: `fleet` of the configuration.
        """
        if launcher == "fleet":
            return cls()
        if launcher not in _LOCAL or not node["auto"]:
            return None
        return cls(node["min_models"], node["max_weights"], node["max_seconds"], chosen=False)

    def refusal(self, n_models: int, n_weights: int, seconds: float) -> str | None:
        """Return why models alike, which could be trained as a fleet, are not; None where they are.

        Args:
            n_models: how many.
            n_weights: of each.
            seconds: about what all of them take.
        """
        if n_models < self.min_models:
            return f"fewer than fleet.min_models={self.min_models}"
        if self.max_weights is not None and n_weights > self.max_weights:
            return f"{n_weights} weights each, more than fleet.max_weights={self.max_weights}"
        if self.n_parts(seconds) > n_models // self.min_models:
            return (
                f"a fleet of {self.min_models} would take longer than fleet.max_seconds={self.max_seconds:g}"
            )
        return None

    def n_parts(self, seconds: float) -> int:
        """Return how many fleets, one after the other, are made of models that take some time."""
        return 1 if self.max_seconds is None else max(1, math.ceil(seconds / self.max_seconds))

    @property
    def reason(self) -> str:
        """Why there are fleets, in words."""
        if self.chosen:
            return "hydra/launcher=fleet"
        return (
            f"{self.min_models} or more alike, of up to {self.max_weights} weights; "
            "fleet.auto=false leaves them to their jobs"
        )

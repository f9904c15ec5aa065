"""Training: with Lightning for every model of `trainer=default`, with the batched program for `trainer=batched`.

Importing this package imports no Lightning: `fit` and `gan` do.
"""

from importlib import import_module
from typing import TYPE_CHECKING

# The public names, which are also those that a `_target_` uses. A module is imported when its name is first used, so
# that reading a configuration stays fast, and moving a file changes no model's id.
_EXPORTS = {
    "BatchedTrainerConfig": "priorgap.training.config",
    "TrainResult": "priorgap.training.config",
    "TrainerConfig": "priorgap.training.config",
}

if TYPE_CHECKING:
    from priorgap.training.config import BatchedTrainerConfig, TrainerConfig, TrainResult

__all__ = [
    "BatchedTrainerConfig",
    "TrainResult",
    "TrainerConfig",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.training' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

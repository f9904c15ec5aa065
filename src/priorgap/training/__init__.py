"""Training: Lightning for every model of `trainer=default`, the batched program for those of `trainer=batched`.

Importing this package imports no Lightning: `fit` and `gan` do.
"""

from priorgap.training.config import BatchedTrainerConfig, TrainerConfig, TrainResult

__all__ = ["BatchedTrainerConfig", "TrainResult", "TrainerConfig"]

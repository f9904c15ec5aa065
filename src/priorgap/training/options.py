"""Optimisers, schedules and callbacks from the configuration: how they are built, and which are refused."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from priorgap.training.config import TrainerConfig
from priorgap.training.lightning import pl
from priorgap.training.module import MONITOR

_AVERAGING = (pl.callbacks.StochasticWeightAveraging, pl.callbacks.WeightAveraging)
_ADAMS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def optimizer_of(trainer: TrainerConfig, network: nn.Module, **more: Any) -> torch.optim.Optimizer:
    """Return the optimiser of a network.

    Args:
        trainer: the settings.
        network: the network that it trains.
        more: further arguments of `adam` and `adamw`.
    """
    settings = {"lr": trainer.learning_rate, "weight_decay": trainer.weight_decay}
    if isinstance(trainer.optimizer, str):
        # The fused version takes a step in one pass over the weights.
        found: torch.optim.Optimizer = _ADAMS[trainer.optimizer](
            network.parameters(), **settings, **more, fused=True
        )
        return found
    given = trainer.optimizer.keywords if isinstance(trainer.optimizer, partial) else {}
    missing = {key: value for key, value in settings.items() if key not in given and value}
    return trainer.optimizer(network.parameters(), **missing)


def early_stopping(trainer: TrainerConfig) -> list[pl.Callback]:
    """Return Lightning's early stopping with `trainer.patience`; only a strictly smaller loss counts as better."""
    if trainer.patience is None:
        return []
    return [
        pl.callbacks.EarlyStopping(
            MONITOR, patience=trainer.patience, mode="min", check_finite=False, check_on_train_epoch_end=True
        )
    ]


def check_callbacks(
    callbacks: Sequence[pl.Callback], trainer: TrainerConfig, *, has_logger: bool, has_loss: bool = True
) -> None:
    """Refuse callbacks that cannot work here or would break exact resume.

    Args:
        callbacks: the callbacks for Lightning.
        trainer: how the model is trained.
        has_logger: whether there is a logger for what callbacks log.
        has_loss: whether a loss falls as the model improves, which no loss of a GAN does.

    Raises:
        ValueError: one line.
    """
    for callback in callbacks:
        name = f"callbacks: {type(callback).__name__}"
        if isinstance(callback, pl.callbacks.Checkpoint):
            raise ValueError(
                f"{name}: priorgap keeps one checkpoint, with the best epoch's weights inside; expected none"
            )
        if isinstance(callback, _AVERAGING) and trainer.patience is not None:
            raise ValueError(
                f"{name}: trainer.patience={trainer.patience} keeps one epoch's weights, no average; "
                "expected one of the two"
            )
        if isinstance(callback, pl.callbacks.EarlyStopping):
            if not has_loss:
                raise ValueError(f"{name}: a GAN has no loss to stop on; expected none")
            if callback.monitor == MONITOR and trainer.patience is not None:
                raise ValueError(
                    f"{name}: trainer.patience={trainer.patience} is that; expected one of the two"
                )
            if not callback.monitor.startswith(("train_", "validation_")):
                raise ValueError(
                    f"{name}: monitor={callback.monitor}: expected {MONITOR} or another column of curves.csv"
                )
        if isinstance(callback, pl.callbacks.LearningRateMonitor) and not has_logger:
            raise ValueError(f"{name}: it needs a logger; expected logger=csv")

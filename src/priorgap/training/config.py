"""The settings and the result of training: plain data, without Lightning."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Generic, Literal, TypeVar

import torch
from torch import nn

from priorgap.core.arguments import Above, AtLeast, check
from priorgap.core.devices import device_for
from priorgap.core.receivers import OPTIMIZER, SCHEDULER

Record = dict[str, float]
Part = Literal["train", "validation"]
MakeOptimizer = Callable[..., torch.optim.Optimizer]
MakeScheduler = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]
Network = TypeVar("Network", bound=nn.Module)

VALIDATION_BATCH = 500


class NonFiniteLoss(RuntimeError):  # noqa: N818
    """The loss became NaN or infinite; the message says at which step, and `likely_cause` adds what to do.

    Attributes:
        untrained: whether it happened at the first step of training, before any weight had changed.
    """

    def __init__(self, message: str, *, untrained: bool = False) -> None:
        super().__init__(message)
        self.untrained = untrained


@dataclass(frozen=True)
class TrainerConfig:
    """How Lightning trains a model (`trainer=default`).

    Attributes:
        max_epochs: the largest number of passes over the training data.
        batch_size: rows per step.
        learning_rate: the optimiser's learning rate.
        weight_decay: the optimiser's weight decay.
        gradient_clip: largest norm of the gradient, None for no clipping.
        patience: epochs without a better validation loss before training stops, None for never.
        optimizer: "adam", "adamw", or a node with `_partial_` that builds an optimiser from parameters; its `lr` and
            `weight_decay` default to the fields here.
        scheduler: builds a schedule from an optimiser, with a step for each epoch; `ReduceLROnPlateau` monitors the
            validation loss. None: the rate is constant.
        accelerator: "auto", "cpu" or "cuda".
        precision: "bf16": the networks' products are in bfloat16 during training (`mixed`), validation and all else
            in float32; None: float32 throughout.
    """

    batched: ClassVar[bool] = False

    max_epochs: Annotated[int, AtLeast(1)] = 12
    batch_size: Annotated[int, AtLeast(1)] = 128
    learning_rate: Annotated[float, Above(0)] = 1e-3
    weight_decay: Annotated[float, AtLeast(0)] = 0.0
    gradient_clip: Annotated[float, Above(0)] | None = None
    patience: Annotated[int, AtLeast(1)] | None = None
    optimizer: Literal["adam", "adamw"] | Annotated[MakeOptimizer, OPTIMIZER] = "adam"
    scheduler: Annotated[MakeScheduler, SCHEDULER] | None = None
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["bf16"] | None = None

    def __post_init__(self) -> None:
        check(type(self), vars(self), "trainer")
        self._check_optimizer()
        if self.accelerator == "cuda":
            device_for(self.accelerator)  # refuses it where there is none

    def _check_optimizer(self) -> None:
        """Refuse settings that are given twice, because one of them would have no effect."""
        given = self.optimizer.keywords if isinstance(self.optimizer, partial) else {}
        for key, own, place in (
            ("lr", self.learning_rate, "learning_rate"),
            ("weight_decay", self.weight_decay, "weight_decay"),
        ):
            if key in given and given[key] != own:
                raise ValueError(
                    f"trainer.optimizer.{key}={given[key]}: trainer.{place} is {own}; expected it there alone"
                )


def _made(make: object) -> object:
    return make.func if isinstance(make, partial) else make


def check_for_gan(trainer: TrainerConfig) -> None:
    """Refuse settings that do not apply to a GAN.

    Raises:
        ValueError: there is early stopping or a schedule that monitors a loss, although no loss of a GAN falls as its
            samples improve; or an optimiser that evaluates the loss itself; or mixed precision, which only
            `VaeModule` supports.
    """
    if trainer.patience is not None:
        raise ValueError(f"trainer.patience={trainer.patience}: a GAN has no loss to stop on; expected null")
    if trainer.precision is not None:
        raise ValueError(f"trainer.precision={trainer.precision}: not for a GAN; expected auto or 32-true")
    if _made(trainer.scheduler) is torch.optim.lr_scheduler.ReduceLROnPlateau:
        raise ValueError("trainer.scheduler=ReduceLROnPlateau: a GAN has no loss to watch; expected another")
    if _made(trainer.optimizer) is torch.optim.LBFGS:
        raise ValueError(
            "trainer.optimizer=LBFGS: not for a GAN, whose two networks take turns; expected another"
        )


@dataclass(frozen=True)
class BatchedTrainerConfig(TrainerConfig):
    """How the batched program trains models (`trainer=batched`): in float32, and on the CPU unless told otherwise.

    On a GPU a model's last digits may depend on the models beside it. `learning_rate` may differ between the models
    of one batch; every other field is shared.
    """

    batched: ClassVar[bool] = True

    accelerator: Literal["auto", "cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision is not None:
            raise ValueError(
                f"trainer.precision={self.precision}: trainer=batched trains in float32; "
                "expected 32-true, or trainer=default"
            )
        expected = "trainer=batched has Adam and AdamW at a constant rate; expected trainer=default"
        if not isinstance(self.optimizer, str):
            raise ValueError(f"trainer.optimizer: {expected}")
        if self.scheduler is not None:
            raise ValueError(f"trainer.scheduler: {expected}")


@dataclass(frozen=True)
class TrainResult(Generic[Network]):
    """The result of training.

    Attributes:
        vae: the trained model, on the CPU, in eval mode, with the best epoch's weights if there is patience, else the
            last epoch's.
        curves: one record per epoch: epoch, and train_ and validation_ loss, reconstruction and kl (with
            kl_std_error where the prior has no closed form).
        stopped_epoch: the number of epochs run.
        best_epoch: the epoch (from 0) whose weights `vae` holds.
        reason: "max_epochs" or "early_stopping".
    """

    vae: Network
    curves: list[Record]
    stopped_epoch: int
    best_epoch: int
    reason: Literal["max_epochs", "early_stopping"]

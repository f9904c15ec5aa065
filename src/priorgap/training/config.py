"""How a model is trained and what training gives: plain data, without Lightning."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Generic, Literal, TypeVar

import torch
from torch import nn

from priorgap.core.arguments import Above, AtLeast, check
from priorgap.core.receivers import OPTIMIZER, SCHEDULER

Record = dict[str, float]
Part = Literal["train", "validation"]
MakeOptimizer = Callable[..., torch.optim.Optimizer]
MakeScheduler = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]
Network = TypeVar("Network", bound=nn.Module)

VALIDATION_BATCH = 500


class NonFiniteLoss(RuntimeError):  # noqa: N818
    """The loss became NaN or infinite; the message says at which step, and from `likely_cause` on what to do.

    Attributes:
        untrained: whether that was the first step of training: no weight had moved yet.
    """

    def __init__(self, message: str, *, untrained: bool = False) -> None:
        super().__init__(message)
        self.untrained = untrained


@dataclass(frozen=True)
class TrainerConfig:
    """How Lightning trains a model (`trainer=default`).

    Attributes:
        max_epochs: passes over the training data at most.
        batch_size: rows per step.
        learning_rate: of the optimiser.
        weight_decay: of the optimiser.
        gradient_clip: largest norm of the gradient, None for no clipping.
        patience: epochs without a better validation loss before training stops, None for never.
        optimizer: "adam" or "adamw", or (a node with `_partial_`) what makes an optimiser of parameters; `lr` and
            `weight_decay` that it does not say are those of here.
        scheduler: what makes a schedule of an optimiser, a step an epoch; `ReduceLROnPlateau` watches the
            validation loss. None: the rate is constant.
        accelerator: "auto", "cpu" or "cuda".
        precision: "bf16": the networks' products in bfloat16 while training (`mixed`), validation and all else in
            float32; None: float32 throughout.
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
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise ValueError("trainer.accelerator=cuda: no CUDA device is available; expected auto or cpu")

    def _check_optimizer(self) -> None:
        """Refuse one number in two places: one of them would be without effect."""
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
    """Refuse what has no meaning for a GAN.

    Raises:
        ValueError: early stopping, or a schedule that watches a loss: no loss of a GAN falls as its samples get
            better; an optimiser that evaluates the loss itself; mixed precision, which is for the networks of
            `VaeModule`.
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
    """How the batched program trains models (`trainer=batched`): on the CPU, in float32.

    `learning_rate` may differ between the models of one batch; every other field is shared.
    """

    batched: ClassVar[bool] = True

    accelerator: Literal["auto", "cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.accelerator == "cuda":
            raise ValueError(
                "trainer.accelerator=cuda: trainer=batched trains on the CPU; expected cpu, or trainer=default"
            )
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
    """What training gives.

    Attributes:
        vae: the trained model, on the CPU, in eval mode: the best epoch's with patience, else the last's.
        curves: one record per epoch: epoch, and train_ and validation_ loss, reconstruction and kl (with
            kl_std_error where the prior has no closed form).
        stopped_epoch: the number of epochs that were run.
        best_epoch: the epoch (from 0) whose weights `vae` holds.
        reason: "max_epochs" or "early_stopping".
    """

    vae: Network
    curves: list[Record]
    stopped_epoch: int
    best_epoch: int
    reason: Literal["max_epochs", "early_stopping"]

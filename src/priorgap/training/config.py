"""How to train, as plain values: importable, and checked, without Lightning."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch

from priorgap.arguments import Above, AtLeast, check


@dataclass(frozen=True)
class TrainerConfig:
    """How to train.

    Attributes:
        max_epochs: passes over the training data at most.
        batch_size: rows per step.
        learning_rate: of the optimiser.
        weight_decay: of the optimiser.
        gradient_clip: largest norm of the gradient, None for no clipping.
        patience: epochs without a better validation loss before training stops, None for never.
        optimizer: "adam" or "adamw".
        accelerator: "auto", "cpu" or "cuda".
        precision: "bf16": the networks' products in bfloat16 while training (`mixed`), validation and all else in
            float32; None: float32 throughout.
    """

    max_epochs: Annotated[int, AtLeast(1)] = 12
    batch_size: Annotated[int, AtLeast(1)] = 128
    learning_rate: Annotated[float, Above(0)] = 1e-3
    weight_decay: Annotated[float, AtLeast(0)] = 0.0
    gradient_clip: Annotated[float, Above(0)] | None = None
    patience: Annotated[int, AtLeast(1)] | None = None
    optimizer: Literal["adam", "adamw"] = "adam"
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["bf16"] | None = None

    def __post_init__(self) -> None:
        check(type(self), vars(self), "trainer")
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise ValueError("trainer.accelerator=cuda: no CUDA device is available; expected auto or cpu")


def check_for_gan(trainer: TrainerConfig) -> None:
    """Refuse what has no meaning for a GAN.

    Raises:
        ValueError: early stopping: no loss of a GAN falls as its samples get better; mixed precision, which is
            for the networks of `VaeModule`.
    """
    if trainer.patience is not None:
        raise ValueError(f"trainer.patience={trainer.patience}: a GAN has no loss to stop on; expected null")
    if trainer.precision is not None:
        raise ValueError(f"trainer.precision={trainer.precision}: not for a GAN; expected null")

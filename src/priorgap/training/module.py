"""The Lightning module: it moves batches through the model and adds up; the formulas are in `models`."""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from priorgap.data.splits import as_float
from priorgap.fused_steps import FusedSteps, fused_steps
from priorgap.models.controls import Autoencoder
from priorgap.models.losses import ElboLoss, LossTerms, objective
from priorgap.models.vae import VAE
from priorgap.training.config import NonFiniteLoss, Part
from priorgap.training.datamodule import Batch
from priorgap.training.lightning import pl
from priorgap.training.mixed import bf16


@runtime_checkable
class Trainee(Protocol):
    """What callbacks need of a module.

    Attributes:
        prefix: of the network's names in the module's state.
    """

    prefix: str

    @property
    def network(self) -> nn.Module:
        """What is trained and published."""
        ...

    def take_means(self) -> dict[str, float]:
        """Return the means since the last call, and start anew."""
        ...


class VaeModule(pl.LightningModule):
    """Trains a VAE, or an autoencoder (its rate is 0), on `objective`; sums over an epoch, logs nothing per step.

    One call takes a block of batches, and the optimiser steps are taken here: Lightning's hooks would cost a
    tenth or more of the step of a small network.

    Args:
        vae: the model; its weights are changed.
        loss: the weights of the two terms, in sum units.
        optimizer: "adam" or "adamw".
        learning_rate: of the optimiser.
        weight_decay: of the optimiser.
        gradient_clip: largest norm of the gradient, None for no clipping.
        precision: "bf16" for products in bfloat16 in training steps, None for float32.
    """

    prefix: str = "vae."

    def __init__(
        self,
        vae: VAE | Autoencoder,
        loss: ElboLoss,
        *,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        gradient_clip: float | None,
        precision: Literal["bf16"] | None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.vae = vae
        self._loss = loss
        self._optimizer = optimizer
        self._learning_rate, self._weight_decay = learning_rate, weight_decay
        self._gradient_clip, self._precision = gradient_clip, precision
        self._sums: dict[Part, list[float]] = {}
        self._n_rows: dict[Part, int] = {}
        self._n_steps: dict[Part, int] = {}
        # of drawn rates, for the standard error of their mean
        self._squares: dict[Part, float] = {}

    def _weighted(self, part: Part, terms: LossTerms) -> Tensor:
        """Return a batch's loss: warm-up and free bits shape training alone, validation is at the final weights."""
        if part == "validation":
            return objective(terms, self._loss.alpha, self._loss.beta)
        beta = self._loss.beta_at(self.current_epoch)
        return objective(terms, self._loss.alpha, beta, self._loss.free_bits)

    @property
    def network(self) -> nn.Module:
        """The model."""
        return self.vae

    def _objective(self, part: Part, batch: Batch) -> Tensor:
        """Return the loss of one batch, and add it to the epoch's sums."""
        x, noise, *label = batch
        terms = self.vae.terms(as_float(x), noise, *label)
        loss = self._weighted(part, terms)
        means = torch.stack([loss, terms.reconstruction.mean(), terms.rate.sum(1).mean()]).tolist()
        if not all(map(math.isfinite, means)):
            values = ", ".join(f"{v:g}" for v in means)
            raise NonFiniteLoss(
                f"non-finite {part} loss at step {self._n_steps.get(part, 0)} of epoch {self.current_epoch} "
                f"(loss, reconstruction, kl = {values}): try a lower learning_rate or a gradient_clip"
            )
        sums = self._sums.get(part, [0.0] * len(means))
        self._sums[part] = [s + m * len(x) for s, m in zip(sums, means, strict=True)]
        self._n_rows[part] = self._n_rows.get(part, 0) + len(x)
        self._n_steps[part] = self._n_steps.get(part, 0) + 1
        if terms.drawn:
            squares = float(terms.rate.detach().double().square().sum())
            self._squares[part] = self._squares.get(part, 0.0) + squares
        return loss

    def training_step(self, batch: list[Batch], batch_idx: int) -> None:
        """Take one optimiser step per batch of the block."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Adam)
        with self._products(), fused_steps(optimizer) as steps:
            self._take(steps, batch)

    def _products(self) -> AbstractContextManager[None]:
        if self._precision is None:
            return nullcontext()
        return bf16(self.vae.encoder, self.vae.decoder)

    def _take(self, steps: FusedSteps, batch: list[Batch]) -> None:
        for part in batch:
            loss = self._objective("train", part)
            steps.zero_grad()
            loss.backward()
            if self._gradient_clip is not None:
                nn.utils.clip_grad_norm_(self.vae.parameters(), self._gradient_clip)
            steps.step()

    def validation_step(self, batch: list[Batch], batch_idx: int) -> None:
        """Add a block of validation batches to the epoch's sums."""
        for part in batch:
            self._objective("validation", part)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser; the fused one does a step in one pass over the weights."""
        cls = torch.optim.AdamW if self._optimizer == "adamw" else torch.optim.Adam
        return cls(self.vae.parameters(), lr=self._learning_rate, weight_decay=self._weight_decay, fused=True)

    def take_means(self) -> dict[str, float]:
        """Return the means over the rows seen since the last call, by part and term, and start anew.

        Where the KL is drawn, its standard error over rows (of the images and of the draws) is beside it.
        """
        record = {}
        for part, sums in self._sums.items():
            for name, value in zip(("loss", "reconstruction", "kl"), sums, strict=True):
                record[f"{part}_{name}"] = value / self._n_rows[part]
            if part in self._squares:
                n = self._n_rows[part]
                variance = max(self._squares[part] / n - record[f"{part}_kl"] ** 2, 0.0)
                record[f"{part}_kl_std_error"] = math.sqrt(variance / n)
        self._sums, self._n_rows, self._n_steps, self._squares = {}, {}, {}, {}
        return record

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint loadable with `weights_only=True`: no hyperparameter objects."""
        checkpoint.pop("hyper_parameters", None)

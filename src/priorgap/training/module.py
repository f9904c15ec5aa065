"""The Lightning module: it moves batches through the model and adds up; the formulas are in `models`."""

from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from priorgap.data.splits import as_float
from priorgap.models.losses import ElboLoss, objective
from priorgap.models.vae import VAE
from priorgap.training.datamodule import Batch

Part = Literal["train", "validation"]


class NonFiniteLoss(RuntimeError):  # noqa: N818
    """The loss became NaN or infinite; the message says at which step."""


class VaeModule(pl.LightningModule):
    """Trains a VAE on `objective`; keeps sums over an epoch and logs nothing per step.

    Args:
        vae: the model; its weights are changed.
        loss: the weights of the two terms, in sum units.
        optimizer: "adam" or "adamw".
        learning_rate: of the optimiser.
        weight_decay: of the optimiser.
    """

    def __init__(
        self, vae: VAE, loss: ElboLoss, *, optimizer: str, learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.vae = vae
        self._loss = loss
        self._optimizer = optimizer
        self._learning_rate, self._weight_decay = learning_rate, weight_decay
        self._sums: dict[Part, Tensor] = {}
        self._counts: dict[Part, int] = {"train": 0, "validation": 0}

    def _step(self, part: Part, batch: Batch) -> Tensor:
        x, noise = batch
        terms = self.vae.terms(as_float(x), noise)
        loss = objective(terms, self._loss.alpha, self._loss.beta)
        means = torch.stack([loss, terms.reconstruction.mean(), terms.rate.sum(1).mean()]).detach()
        if not torch.isfinite(means).all():
            values = ", ".join(f"{v:g}" for v in means.tolist())
            raise NonFiniteLoss(
                f"non-finite {part} loss at step {self.global_step}, epoch {self.current_epoch} "
                f"(loss, reconstruction, kl = {values}): try a lower learning_rate or a gradient_clip"
            )
        total = means.double() * len(x)
        self._sums[part] = self._sums[part] + total if part in self._sums else total
        self._counts[part] += len(x)
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        return self._step("train", batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one validation batch to the epoch's sums."""
        self._step("validation", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser; the fused one does a step in one pass over the weights."""
        cls = torch.optim.AdamW if self._optimizer == "adamw" else torch.optim.Adam
        return cls(self.vae.parameters(), lr=self._learning_rate, weight_decay=self._weight_decay, fused=True)

    def take_means(self) -> dict[str, float]:
        """Return the means over the rows seen since the last call, by part and term, and start anew."""
        record = {}
        for part, total in self._sums.items():
            for name, value in zip(("loss", "reconstruction", "kl"), total.tolist(), strict=True):
                record[f"{part}_{name}"] = value / self._counts[part]
        self._sums, self._counts = {}, {"train": 0, "validation": 0}
        return record

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint loadable with `weights_only=True`: no hyperparameter objects."""
        checkpoint.pop("hyper_parameters", None)

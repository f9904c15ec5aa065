"""Train a GAN with Lightning: two optimisers, and the same exact resume as a VAE's."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from priorgap.data.splits import Dataset, as_float
from priorgap.fused_steps import FusedSteps, fused_steps
from priorgap.models.controls import GAN
from priorgap.training.checks import check_data
from priorgap.training.config import NonFiniteLoss, Part, Record, TrainerConfig, TrainResult, check_for_gan
from priorgap.training.datamodule import Batch
from priorgap.training.fit import run
from priorgap.training.lightning import pl

# train_loss and validation_loss are the generator's; a discriminator loss of 2 log 2 = 1.386 says: cannot tell
_TERMS = ("loss", "discriminator", "penalty")


class GanModule(pl.LightningModule):
    """Alternates one step of the discriminator and one of the decoder on each batch, at the same z.

    Args:
        gan: the model; its weights are changed.
        optimizer: "adam" or "adamw".
        learning_rate: of both optimisers.
        weight_decay: of both optimisers.
        gradient_clip: largest norm of either network's gradient, None for no clipping.
    """

    prefix: str = "gan."

    def __init__(
        self,
        gan: GAN,
        *,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        gradient_clip: float | None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.gan = gan
        self._optimizer = optimizer
        self._learning_rate, self._weight_decay = learning_rate, weight_decay
        self._gradient_clip = gradient_clip
        self._sums: dict[Part, list[float]] = {}
        self._n_rows: dict[Part, int] = {}
        self._n_steps: dict[Part, int] = {}

    @property
    def network(self) -> nn.Module:
        """The model."""
        return self.gan

    def _add(self, part: Part, n_rows: int, terms: Sequence[Tensor]) -> None:
        """Add one batch's terms to the epoch's sums; refuse what is not finite."""
        means = torch.stack([t.detach() for t in terms]).tolist()
        if not all(map(math.isfinite, means)):
            values = ", ".join(f"{v:g}" for v in means)
            raise NonFiniteLoss(
                f"non-finite {part} loss at step {self._n_steps.get(part, 0)} of epoch {self.current_epoch} "
                f"({', '.join(_TERMS)} = {values}): try a lower learning_rate or a gradient_clip"
            )
        sums = self._sums.get(part, [0.0] * len(means))
        self._sums[part] = [s + m * n_rows for s, m in zip(sums, means, strict=True)]
        self._n_rows[part] = self._n_rows.get(part, 0) + n_rows
        self._n_steps[part] = self._n_steps.get(part, 0) + 1

    def _step(self, steps: FusedSteps, network: nn.Module, loss: Tensor) -> None:
        """Change one network; the other's gradients are of no use, and are dropped at its own step."""
        steps.zero_grad()
        loss.backward()
        if self._gradient_clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), self._gradient_clip)
        steps.step()

    def training_step(self, batch: list[Batch], batch_idx: int) -> None:
        """Take both steps on each batch of the block."""
        optimizers = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizers, list)
        of_discriminator, of_decoder = optimizers
        assert isinstance(of_discriminator, torch.optim.Adam)
        assert isinstance(of_decoder, torch.optim.Adam)
        with fused_steps(of_discriminator) as first, fused_steps(of_decoder) as second:
            self._take(first, second, batch)

    def _take(self, of_discriminator: FusedSteps, of_decoder: FusedSteps, batch: list[Batch]) -> None:
        gan, weight = self.gan, 0.5 * self.gan.adversary.r1
        for x, noise in batch:
            fake = gan.decode(noise)
            loss, penalty = gan.discriminator_terms(as_float(x), fake.detach())
            self._step(of_discriminator, gan.discriminator, loss + weight * penalty if weight else loss)
            generator_loss = gan.generator_loss(fake)
            self._step(of_decoder, gan.decoder, generator_loss)
            self._add("train", len(x), [generator_loss, loss, penalty])

    def validation_step(self, batch: list[Batch], batch_idx: int) -> None:
        """Add a block of validation batches: where `discriminator` is above training's, it knows the images."""
        for x, noise in batch:
            fake = self.gan.decode(noise)
            with torch.inference_mode(mode=False), torch.enable_grad():
                loss, penalty = self.gan.discriminator_terms(as_float(x.clone()), fake.clone())
                self._add("validation", len(x), [self.gan.generator_loss(fake.clone()), loss, penalty])

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the discriminator's optimiser and the decoder's."""
        cls = torch.optim.AdamW if self._optimizer == "adamw" else torch.optim.Adam
        return [
            cls(
                network.parameters(), lr=self._learning_rate, betas=self.gan.adversary.betas,
                weight_decay=self._weight_decay, fused=True,
            )
            for network in (self.gan.discriminator, self.gan.decoder)
        ]  # fmt: skip

    def take_means(self) -> dict[str, float]:
        """Return the means over the rows seen since the last call, by part and term, and start anew."""
        record = {}
        for part, sums in self._sums.items():
            for name, value in zip(_TERMS, sums, strict=True):
                record[f"{part}_{name}"] = value / self._n_rows[part]
        self._sums, self._n_rows, self._n_steps = {}, {}, {}
        return record

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the checkpoint loadable with `weights_only=True`: no hyperparameter objects."""
        checkpoint.pop("hyper_parameters", None)


def train_gan(
    gan: GAN,
    dataset: Dataset,
    trainer: TrainerConfig,
    *,
    seed: int,
    directory: Path,
    progress: bool,
    on_epoch: Callable[[Record], None] | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[GAN]:
    """Train a GAN in place; see `train_vae`, whose promises on resuming hold here too.

    Raises:
        ValueError: the data do not fit the model, early stopping was asked for, or the checkpoint is another's.
        NonFiniteLoss: a loss became NaN or infinite.
    """
    check_for_gan(trainer)
    check_data(gan, dataset)
    module = GanModule(
        gan,
        optimizer=trainer.optimizer,
        learning_rate=trainer.learning_rate,
        weight_decay=trainer.weight_decay,
        gradient_clip=trainer.gradient_clip,
    )
    return run(
        module, gan, dataset, trainer, seed=seed, directory=directory, progress=progress, on_epoch=on_epoch,
        callbacks=callbacks,
    )  # fmt: skip

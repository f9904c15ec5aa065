"""Train a GAN with Lightning: two optimisers, and the same exact resume as for a VAE."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from priorgap.data.splits import Dataset, as_float
from priorgap.models.controls import GAN
from priorgap.training.checks import check_data
from priorgap.training.config import Record, TrainerConfig, TrainResult, check_for_gan
from priorgap.training.datamodule import Batch, ImageData
from priorgap.training.fit import RunOptions, run
from priorgap.training.lightning import Logger, OptimizerLRScheduler, pl
from priorgap.training.module import EpochModule
from priorgap.training.options import optimizer_of

# train_loss and validation_loss are the generator's. A discriminator loss of 2 log 2 = 1.386 means chance level.
_TERMS = ("loss", "discriminator", "penalty")


class GanModule(EpochModule):
    """Alternates one step of the discriminator and one of the decoder on the same rows, at the same z.

    Lightning's automatic optimisation does not support alternating optimisers, so the steps are taken here.

    Args:
        gan: the model; its weights are changed.
        seed: the seed of the noise of training.
        trainer: settings of both optimisers, their schedules, and the largest norm of either network's gradient.
    """

    prefix: str = "gan."

    def __init__(self, gan: GAN, *, seed: int, trainer: TrainerConfig) -> None:
        super().__init__(_TERMS, seed=seed, latent_dim=gan.latent_dim)
        self.automatic_optimization = False
        self.gan = gan
        self._trainer_config = trainer

    @property
    def network(self) -> nn.Module:
        """The model that is trained."""
        return self.gan

    def _step(self, optimizer: Any, network: nn.Module, loss: Tensor) -> None:
        """Update one network; the gradients that reach the other one are dropped at its own step."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self._trainer_config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), self._trainer_config.gradient_clip)
        optimizer.step()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Take a batch's steps, each of both networks."""
        for rows in batch.split(self._trainer_config.batch_size):
            self._step_of_both(rows)

    def _step_of_both(self, batch: Batch) -> None:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        of_discriminator, of_decoder = optimizers
        gan, weight = self.gan, 0.5 * self.gan.adversary.r1
        fake = gan.decode(self.noise(batch))
        loss, penalty = gan.discriminator_terms(as_float(batch.x), fake.detach())
        self._step(of_discriminator, gan.discriminator, loss + weight * penalty if weight else loss)
        generator_loss = gan.generator_loss(fake)
        self._step(of_decoder, gan.decoder, generator_loss)
        self._epoch_means.add("train", [generator_loss, loss, penalty], len(batch.x))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a validation batch; a `discriminator` loss above training's shows that it memorised images."""
        fake = self.gan.decode(self.noise(batch))
        with torch.inference_mode(mode=False), torch.enable_grad():
            loss, penalty = self.gan.discriminator_terms(as_float(batch.x.clone()), fake.clone())
            terms = [self.gan.generator_loss(fake.clone()), loss, penalty]
            self._epoch_means.add("validation", terms, len(batch.x))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimisers of discriminator and decoder, each with its schedule if there is one."""
        betas = {"betas": self.gan.adversary.betas}
        both = [
            optimizer_of(self._trainer_config, network, **betas)
            for network in (self.gan.discriminator, self.gan.decoder)
        ]
        if self._trainer_config.scheduler is None:
            return both
        return both, [self._trainer_config.scheduler(optimizer) for optimizer in both]


def train_gan(
    gan: GAN,
    dataset: Dataset,
    trainer: TrainerConfig,
    *,
    seed: int,
    directory: Path,
    progress: bool,
    on_epoch: Callable[[Record], None] | None = None,
    on_resume: Callable[[Sequence[Record]], None] | None = None,
    callbacks: Sequence[pl.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> TrainResult[GAN]:
    """Train a GAN in place; see `train_vae`, whose guarantees for resuming hold here, too.

    Raises:
        ValueError: the data do not fit the model, early stopping was asked for, or the checkpoint belongs to another
            model.
        NonFiniteLoss: a loss became NaN or infinite.
    """
    check_for_gan(trainer)
    check_data(gan, dataset)
    module = GanModule(gan, seed=seed, trainer=trainer)
    options = RunOptions(directory, progress, on_epoch, on_resume, callbacks, loggers)
    n_steps = options.n_steps(dataset, trainer)
    data = ImageData(dataset, gan.latent_dim, trainer.batch_size, seed=seed, n_steps=n_steps)
    return run(module, gan, data, trainer, options)

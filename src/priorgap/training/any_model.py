"""Training whatever a configuration names: the one place that knows which loop trains which model."""

from pathlib import Path

from priorgap.data.splits import Dataset
from priorgap.models.controls import GAN, Autoencoder
from priorgap.models.families import Model
from priorgap.models.losses import ElboLoss
from priorgap.models.vae import VAE
from priorgap.training.fit import TrainerConfig, TrainResult, train_vae
from priorgap.training.gan import train_gan


def train_model(
    model: Model,
    dataset: Dataset,
    loss: ElboLoss,
    trainer: TrainerConfig,
    *,
    seed: int,
    directory: Path,
    progress: bool,
) -> TrainResult[GAN] | TrainResult[VAE | Autoencoder]:
    """Train a model in place; arguments and result as `train_vae`'s. A GAN has no use for the loss."""
    if isinstance(model, GAN):
        return train_gan(model, dataset, trainer, seed=seed, directory=directory, progress=progress)
    return train_vae(model, dataset, loss, trainer, seed=seed, directory=directory, progress=progress)

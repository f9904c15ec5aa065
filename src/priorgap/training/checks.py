"""Whether data fit a model, before it is trained."""

import torch

from priorgap.data.splits import Dataset
from priorgap.models.controls import GAN, Autoencoder
from priorgap.models.vae import VAE


def check_data(vae: VAE | Autoencoder | GAN, dataset: Dataset) -> None:
    """Refuse data that do not fit a model.

    Raises:
        ValueError: their shape or range; one line.
    """
    if dataset.shape != vae.shape:
        raise ValueError(
            f"data={dataset.name}: observations have shape {list(dataset.shape)}, "
            f"the model expects {list(vae.shape)}"
        )
    if dataset.modality.range is not None:
        return
    x = dataset.train.x
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"data={dataset.name}: the training data hold NaN or infinity")
    if vae.likelihood.unit_interval and not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(
            f"likelihood={vae.likelihood.name}: data={dataset.name} leaves [0, 1]; expected likelihood=gaussian"
        )

"""Checks, before training, of whether data suit a model."""

import torch

from priorgap.data.splits import Dataset, Split, as_float
from priorgap.models.controls import GAN, Autoencoder
from priorgap.models.vae import VAE
from priorgap.training.config import NonFiniteLoss

# Larger observations are outside of the scale for which networks are initialised.
_LARGE = 100.0


def check_data(vae: VAE | Autoencoder | GAN, dataset: Dataset) -> None:
    """Refuse data that do not suit a model.

    Raises:
        ValueError: the data's shape or range does not suit the model; one line.
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


def likely_cause(error: NonFiniteLoss, train: Split) -> NonFiniteLoss:
    """Return a NonFiniteLoss with advice: about the scale of x, where that is the likely cause.

    Args:
        error: the error, which says only where it happened.
        train: the training data.
    """
    low, high = (float(as_float(end)) for end in (train.x.min(), train.x.max()))
    given = f"the training data have values from {low:.4g} to {high:.4g}"
    if max(abs(low), abs(high)) > _LARGE:
        advice = (
            f"the scale of x is the likely cause: {given}, expected about 0 to 1, or mean 0 and standard deviation 1 "
            "in each column; rescale the data"
        )
    elif error.untrained:
        advice = (
            "no weight had moved yet, so a lower learning_rate cannot help, and the scale of x is as expected "
            f"({given}); check the initial weights, loss.alpha and the likelihood's sigma"
        )
    else:
        advice = "try a lower learning_rate or a gradient_clip"
    return NonFiniteLoss(f"{error}: {advice}", untrained=error.untrained)

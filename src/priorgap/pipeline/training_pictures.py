"""One picture of a model during training: test rows, their reconstructions, draws of its prior."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from priorgap.core.batched_calls import encode_all
from priorgap.core.random import stream
from priorgap.data.splits import Dataset
from priorgap.models.families import Model
from priorgap.pipeline.models import TrainedModel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_N_SHOWN = 8


def picture(
    model: Model, dataset: Dataset, config: Mapping[str, Any], seed: int
) -> "npt.NDArray[np.uint8] | None":
    """Return a row of test images, a row of their reconstructions, a row of the prior's draws, by means of p(x|z).

    A copy of the model in evaluation mode is used, and draws have a stream of their own, so that training is not
    affected. The z are the same each time.

    Args:
        model: the model in training, on any device.
        dataset: the model's data.
        config: the model's configuration.
        seed: the seed of the draws.

    Returns:
        [height, width] or [height, width, 3]; None for data that are no images.
    """
    if not dataset.modality.pictures or model.traits.told:
        return None
    from priorgap.report.tiles import tiled

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        rows = _rows(
            TrainedModel(copy.deepcopy(model).cpu().eval(), config, dataset.modality, "cpu"), dataset, seed
        )
    stored = torch.cat([rows[0], *map(dataset.modality.stored, rows[1:])])
    return tiled(stored.permute(0, 2, 3, 1).numpy(), len(rows[0]))


def _rows(trained: TrainedModel, dataset: Dataset, seed: int) -> list[Tensor]:
    """Return stored test images, then the images that the model makes, as floats."""
    functions, test = trained.functions("mean", seed), dataset.test
    n = min(_N_SHOWN, len(test))
    label = test.label[:n] if functions.conditional and test.label is not None else None
    found = [test.x[:n]]
    if functions.encode is not None:
        x = test.batch(slice(0, n))
        posteriors = encode_all(functions.encode, lambda rows: x[rows], n, batch=n, label=label)
        found.append(functions.decoded(posteriors.mean, label))
    if functions.has_prior:
        generator = stream(seed, "pictures of training")
        z = (
            torch.randn(n, trained.vae.latent_dim, generator=generator)
            if functions.prior is None
            else functions.prior.sample(n, generator=generator)
        )
        found.append(functions.decoded(z, label))
    return found

"""What the batched program can train, and why it cannot train the rest."""

import torch
from torch import nn

from priorgap.data.binarize import GreySplit
from priorgap.data.splits import Dataset
from priorgap.models.families import Family
from priorgap.models.likelihoods import Likelihood
from priorgap.models.networks import Architecture
from priorgap.models.vae import VAE
from priorgap.priors.base import PriorSpec
from priorgap.priors.standard_normal import StandardNormal
from priorgap.training.batched.stacking import Stack

# Example shapes of an image and of a series: every architecture can be built for one of the two.
_PROBES = ((1, 64, 64), (16, 2))


def refusal(vae: nn.Module) -> str | None:
    """Return why the program cannot train a model, in one line; None where it can."""
    if type(vae) is not VAE:
        return f"{type(vae).__name__} is no plain VAE"
    if not isinstance(vae.prior, StandardNormal):
        return f"the prior is {type(vae.prior).__name__}: expected the standard normal"
    if any(True for _ in vae.likelihood.parameters()):
        return f"the {vae.likelihood.name} likelihood has parameters of its own"
    return Stack.refusal(vae.encoder) or Stack.refusal(vae.decoder)


def refusal_of_parts(
    architecture: Architecture, likelihood: Likelihood, prior: PriorSpec | None
) -> str | None:
    """Return why the program cannot train a configured model, without data; None where only `refusal` can decide."""
    if isinstance(architecture, Family):
        return f"model={type(architecture).__name__} is no plain VAE"
    if not (prior is None or isinstance(prior, StandardNormal)):
        return f"prior={type(prior).__name__}: expected the standard normal"
    for shape in _PROBES:
        try:
            with torch.device("meta"):  # On the meta device layers take no memory and draw no random numbers.
                networks = architecture.build(shape)
                law = likelihood.for_shape(shape)
        except ValueError:
            continue
        if any(True for _ in law.parameters()):
            return f"likelihood={law.name} has parameters of its own"
        return Stack.refusal(networks[0]) or Stack.refusal(networks[1])
    return None


def refusal_of_data(dataset: Dataset) -> str | None:
    """Return why the program cannot train on a data set, in one line; None where it can."""
    if dataset.train.x.device.type != "cpu":
        return "the data are not in the memory of the CPU"
    if isinstance(dataset.train, GreySplit):
        return "the training images are redrawn in every epoch"
    return None

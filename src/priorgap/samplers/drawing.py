"""Fitting a sampler and drawing from it, with the streams that make samplers of one model comparable."""

from jaxtyping import Int
from torch import Tensor

from priorgap.latents import LatentDraw, Latents
from priorgap.priors.base import Prior
from priorgap.samplers.protocols import FitInputs, FittedSampler, Sampler
from priorgap.streams import stream


def class_frequencies(label: Int[Tensor, "n"] | None) -> Tensor | None:
    """Return the share of each class 0..max among training labels, None without labels."""
    return None if label is None else label.bincount().double() / len(label)


def fit_inputs(train: Latents, validation: Latents, prior: Prior | None) -> FitInputs:
    """Return what a sampler may see: training and validation posteriors, the prior, the class shares."""
    return FitInputs(train, validation, prior, class_frequencies(train.label))


def fit_sampler(sampler: Sampler, inputs: FitInputs, *, seed: int) -> FittedSampler:
    """Fit a sampler with its own stream: adding or leaving out another changes nothing."""
    return sampler.fit(inputs, generator=stream(seed, "fit", sampler.name))


def draw_latents(fitted: FittedSampler, n: int, *, seed: int) -> LatentDraw:
    """Draw n latents in one call; all samplers of a model share the stream (common random numbers)."""
    return fitted.sample(n, generator=stream(seed, "draw"))

"""Fitting a sampler to a model's posteriors, and drawing from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents
from priorgap.evaluation.model import ModelFunctions
from priorgap.priors.standard_normal import StandardNormal
from priorgap.samplers.applicability import ModelTraits, invalid
from priorgap.samplers.drawing import (
    draw_latents,
    fit_inputs,
    fit_sampler,
    inputs_without_encoder,
    label_source_of,
)
from priorgap.samplers.protocols import FitInputs, FittedSampler, Sampler, SamplerNotApplicable


@dataclass(frozen=True, eq=False)
class Draws:
    """The draws of one sampler.

    Attributes:
        sampler: the sampler that was fitted.
        fitted: the fitted distribution of z.
        draw: the draws, which all measures use.
        label_source: the origin of their labels: source, condition, or "".
    """

    sampler: Sampler
    fitted: FittedSampler
    draw: LatentDraw
    label_source: str


def sampling_inputs(
    model: ModelFunctions,
    latents: Mapping[str, Latents],
    frequencies: Float[Tensor, "n_classes"] | None,
) -> FitInputs:
    """Return the inputs of samplers: posteriors if there is an encoder, the prior, class shares.

    Args:
        model: the model.
        latents: posteriors by part of the data; {} without an encoder.
        frequencies: the share of each class among the training rows, None without labels.

    Raises:
        ValueError: there is neither an encoder nor a prior.
    """
    if latents:
        return fit_inputs(latents["train"], latents["validation"], model.prior)
    if model.prior is None:
        raise ValueError("the model has neither an encoder nor a prior: there is nothing to draw z from")
    return inputs_without_encoder(model.prior, frequencies)


def sampling_traits(model: ModelFunctions, latents: Mapping[str, Latents], *, labels: bool) -> ModelTraits:
    """Return what a model and its data offer to samplers."""
    standard = model.prior is None or isinstance(model.prior, StandardNormal)
    return ModelTraits(
        encoder=bool(latents),
        log_var=bool(latents) and latents["train"].log_var is not None,
        prior=("standard_normal" if standard else "learned") if model.has_prior else "none",
        conditional=model.conditional,
        labels=labels,
    )


def fit_and_draw(
    sampler: Sampler, inputs: FitInputs, traits: ModelTraits, model: ModelFunctions, n: int, *, seed: int
) -> Draws:
    """Fit a sampler with its own stream and draw n latents with the stream that all samplers share.

    Raises:
        SamplerNotApplicable: it does not apply to this model or these data; the message is the reason.
    """
    reason = invalid(sampler, traits)
    if reason is not None:
        raise SamplerNotApplicable(reason)
    try:
        fitted = fit_sampler(sampler, inputs, seed=seed)
    except SamplerNotApplicable:
        raise
    except ValueError as error:
        # The sampler's settings were checked in __post_init__, so the error means that it cannot be fitted to
        # these posteriors.
        raise SamplerNotApplicable(f"{sampler.name}: {error}") from error
    draw = draw_latents(fitted, n, seed=seed, classes=model.class_frequencies, contexts=model.contexts)
    return Draws(sampler, fitted, draw, label_source_of(sampler, conditional=model.conditional))

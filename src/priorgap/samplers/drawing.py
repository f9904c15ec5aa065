"""Fitting a sampler and drawing from it, with random streams that make the samplers of one model comparable."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.contexts import Contexts
from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.random import stream
from priorgap.priors.base import Prior
from priorgap.samplers.posterior import pick_rows
from priorgap.samplers.protocols import FitInputs, FittedSampler, Sampler


def class_frequencies(label: Int[Tensor, "n"] | None) -> Tensor | None:
    """Return the share of each class 0..max among training labels, None without labels."""
    return None if label is None else label.bincount().double() / len(label)


def fit_inputs(train: Latents, validation: Latents, prior: Prior | None) -> FitInputs:
    """Return a sampler's inputs: training and validation posteriors, the prior, the class shares."""
    return FitInputs(train, validation, prior, class_frequencies(train.label))


def inputs_without_encoder(prior: Prior, frequencies: Float[Tensor, "n_classes"] | None = None) -> FitInputs:
    """Return a sampler's inputs for a model without an encoder: its prior, and empty posteriors.

    Samplers that need posteriors must be refused first (`samplers.validity.invalid`).
    """
    nothing = Latents(torch.full((2, prior.dim), torch.nan))
    return FitInputs(nothing, nothing, prior, frequencies)


def fit_sampler(sampler: Sampler, inputs: FitInputs, *, seed: int) -> FittedSampler:
    """Fit a sampler with a stream of its own, so that adding or leaving out another sampler changes nothing."""
    return sampler.fit(inputs, generator=stream(seed, "fit", sampler.name))


def draw_latents(
    fitted: FittedSampler,
    n: int,
    *,
    seed: int,
    classes: Float[Tensor, "n_classes"] | None = None,
    contexts: Contexts | None = None,
) -> LatentDraw:
    """Draw n latents in one call; all samplers of a model share the stream (common random numbers).

    Args:
        fitted: the distribution of z.
        n: the number of draws.
        seed: the stream's seed.
        classes: for a conditional model, the probability of each class, by which draws without a label get one.
        contexts: for a model that takes contexts: the contexts, of which draws without a context get one.
    """
    draw = fitted.sample(n, generator=stream(seed, "draw"))
    draw = with_labels(draw, classes, generator=stream(seed, "draw", "label"))
    return with_contexts(draw, contexts, generator=stream(seed, "draw", "context"))


def with_labels(
    draw: LatentDraw, classes: Float[Tensor, "n_classes"] | None, *, generator: torch.Generator
) -> LatentDraw:
    """Return draws with labels where the model needs them: their own, or ones drawn independently from `classes`.

    A drawn label is independent of z. That is correct for p(z), but for a distribution fitted to all classes together
    only as far as the conditional model's q(z) does not depend on the class.
    """
    if classes is None or draw.label is not None:
        return draw
    uniform = torch.rand(len(draw), generator=generator, dtype=torch.float64)
    edges = classes.cumsum(0) / classes.sum()
    # Where rounding leaves the last edge below 1, draws beyond it get the last class with a positive probability.
    last = int(classes.nonzero().max())
    return replace(draw, label=torch.searchsorted(edges, uniform, right=True).clamp_max(last))


def with_contexts(draw: LatentDraw, contexts: Contexts | None, *, generator: torch.Generator) -> LatentDraw:
    """Return draws with a context each, where the model takes contexts.

    A draw that came from a row has that row's context. Others get a random one of the fresh contexts where there are
    any, else a random training row's, of their own class where draws and contexts have one; all rows are used equally
    often, to within one. Draws without labels get the same contexts by the same stream. Like a drawn label, such a
    context is independent of z.

    Raises:
        ValueError: none of these rows has the class of a draw.
    """
    if contexts is None or draw.context is not None:
        return draw
    pool = contexts.pool
    if draw.source is not None:
        return replace(draw, context=pool[draw.source])
    rows, label, whose = pool, contexts.label, "training"
    if contexts.fresh is not None:
        rows, label, whose = contexts.fresh, contexts.fresh_label, "test"
    if draw.label is None or label is None:
        return replace(draw, context=rows[pick_rows(len(draw), len(rows), generator=generator)])
    context = torch.empty(len(draw), dtype=torch.int64)
    for number in draw.label.unique().tolist():
        places = (draw.label == number).nonzero().squeeze(1)
        own = rows[label == number]
        if not len(own):
            raise ValueError(
                f"context: draws of class {number}, which no {whose} row has; expected its contexts"
            )
        context[places] = own[pick_rows(len(places), len(own), generator=generator)]
    return replace(draw, context=context)


def label_source_of(sampler: Sampler, *, conditional: bool) -> str:
    """Return where the labels of a sampler's draws come from; draws for a conditional model always have a source."""
    return sampler.label_source or ("condition" if conditional else "")

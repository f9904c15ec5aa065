"""New rows from a fitted sampler, block by block; the first m of n rows are the same for every n."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.batched_calls import Decode, decode_all
from priorgap.core.contexts import ContextRows, Contexts
from priorgap.core.latents import LatentDraw
from priorgap.core.random import stream
from priorgap.data.exports import Block
from priorgap.modalities import Modality
from priorgap.samplers.drawing import with_contexts, with_labels
from priorgap.samplers.protocols import FittedSampler

_BLOCK = 4096
# A class that is absent from this many consecutive blocks of draws is too rare to wait for.
_PATIENCE = 250


def generate(
    fitted: FittedSampler,
    decode: Decode,
    n: int,
    *,
    seed: int,
    batch: int,
    modality: Modality,
    frequencies: Float[Tensor, "n_classes"] | None,
    label: int | None = None,
    contexts: Contexts | None = None,
    context: Int[Tensor, "n"] | None = None,
    progress: Callable[[int], object] = lambda rows: None,
) -> Iterator[Block]:
    """Yield n new rows in the stored form of data, with labels if there are any.

    Args:
        fitted: the distribution of z.
        decode: z -> x, given labels and contexts where it takes them.
        n: the number of rows.
        seed: the seed of the draws.
        batch: the fixed batch size of decode.
        modality: the modality of observations.
        frequencies: for a conditional model, the share of each class; None for others.
        label: the class of all rows; None for all classes in their shares.
        contexts: all contexts, for a model that takes contexts; None for others.
        context: the number of each row's context; None: that of its draw, or of a random training row.
        progress: called with the rows of each block.

    Raises:
        ValueError: draws and model have no classes, or no draw is of this class; one line.
    """
    missing = n
    drawn = contexts if context is None else None
    for z in _latents(fitted, seed=seed, frequencies=frequencies, label=label, contexts=drawn):
        keep = slice(0, min(len(z), missing))
        labels = None if z.label is None else z.label[keep]
        numbers = z.context if context is None else context[n - missing :]
        told = None if contexts is None or numbers is None else ContextRows(contexts, numbers[keep])
        x = decode_all(decode, z.z[keep], batch=batch, label=labels, context=told)
        rows = modality.stored(x)
        yield Block(
            rows.numpy(),
            None if labels is None else labels.numpy(),
            None if told is None else told.rows.numpy(),
        )
        progress(len(rows))
        missing -= len(rows)
        if missing == 0:
            return


def _latents(
    fitted: FittedSampler,
    *,
    seed: int,
    frequencies: Float[Tensor, "n_classes"] | None,
    label: int | None,
    contexts: Contexts | None,
) -> Iterator[LatentDraw]:
    """Yield blocks of z without end; where one class is requested, only its rows."""
    shares = frequencies
    if label is not None and frequencies is not None:
        if not 0 <= label < len(frequencies) or not bool(frequencies[label] > 0):
            raise ValueError(
                f"class={label}: expected a class of the training data, 0 to {len(frequencies) - 1}"
            )
        shares = torch.zeros_like(frequencies)
        shares[label] = 1.0
    block, empty = 0, 0
    while True:
        draw = fitted.sample(_BLOCK, generator=stream(seed, "generate", block))
        draw = with_labels(draw, shares, generator=stream(seed, "generate", block, "label"))
        draw = with_contexts(draw, contexts, generator=stream(seed, "generate", block, "context"))
        block += 1
        if label is not None:
            if draw.label is None:
                raise ValueError(
                    f"class={label}: the draws of this sampler have no class, and the model takes none; expected a "
                    "sampler by class, or a conditional model"
                )
            rows = (draw.label == label).nonzero().squeeze(1)
            empty = 0 if len(rows) else empty + 1
            if empty == _PATIENCE:
                raise ValueError(f"class={label}: none of {_PATIENCE * _BLOCK:,} draws is of this class")
            if not len(rows):
                continue
            context = None if draw.context is None else draw.context[rows]
            draw = LatentDraw(draw.z[rows], None, draw.label[rows], context)
        yield draw

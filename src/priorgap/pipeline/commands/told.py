"""The contexts that a model gets when it generates: from a file, or from the study's data."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from priorgap.core.contexts import Contexts
from priorgap.data.given_columns import read_given_columns
from priorgap.data.splits import Dataset
from priorgap.models.told_part import Columns
from priorgap.pipeline.models import TrainedModel
from priorgap.samplers.protocols import FittedSampler


class Told(NamedTuple):
    """The contexts of generated samples.

    Attributes:
        source: their origin in words; "" where there are none, or where each draw has its own row's context.
        contexts: the contexts; None where there are none.
        rows: the number of each sample's context; None: chosen by `with_contexts`.
    """

    source: str = ""
    contexts: Contexts | None = None
    rows: Tensor | None = None


def told_of(
    model: TrainedModel,
    fitted: FittedSampler,
    sampler: str,
    n: int,
    *,
    given: Path | None,
    label: str,
    label_source: str,
    data: Callable[[], Dataset],
) -> Told:
    """Return the contexts that a model gets when it generates.

    Args:
        model: the model.
        fitted: the fitted sampler, which draws z.
        sampler: the sampler's name.
        n: the number of samples.
        given: a file with rows of the columns that the model is given; None: those of the study's test rows.
        label: the requested class; "" for all.
        label_source: where the labels of the sampler's draws come from; "" where they have none.
        data: a function that reads the study's data.

    Raises:
        ValueError: there is a file, and model or sampler cannot use its content; one line.
    """
    told = model.vae.traits.told
    if given is None:
        if told is None:
            return Told()
        source = "" if fitted.facts.reconstructs else f"the {told.many} of random test {told.of}"
        return Told(source, model.contexts(data()))
    table = model.modality.table
    part = model.vae.part
    if told is None or table is None or not isinstance(part, Columns):
        raise ValueError(f"given={given}: the model is told no columns; expected a study of model=given_mlp")
    if fitted.facts.reconstructs:
        raise ValueError(
            f"given={given}: sampler={sampler} reconstructs rows with their own columns; expected another sampler"
        )
    if part.tells_label and (label or label_source):
        other = f"class={label}" if label else f"sampler={sampler}"
        raise ValueError(
            f"given={given}: its rows say their class, and so does {other}; expected no class=, and a sampler whose "
            "draws have no class"
        )
    values = read_given_columns(given, table, part.names)
    source = f"the {told.many} in {given.name}, its rows in turn"
    return Told(source, Contexts(values, torch.arange(0)), torch.arange(n) % len(values))

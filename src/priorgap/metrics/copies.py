"""Decoded posterior draws of training and of held-out images, and their distances to training images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.estimators.identical import RowSet
from priorgap.metrics.evidence import ModelEvidence, conditions
from priorgap.metrics.reference import Reference

# Takes the numbers of contexts as a further argument where there are any.
Decoded = Callable[..., Split]


def flat(split: Split) -> Float[Tensor, "n D"]:
    """Return a split as float rows, with images in [0, 1]: the space in which copies are searched."""
    return split.floats().flatten(1)


def space_of(split: Split) -> str:
    """Return the name of that space."""
    return split.modality.space


def rows_of(split: Split) -> RowSet:
    """Return a split's rows for look-ups of equal ones; images may differ by one grey level, as after 8-bit noise."""
    return RowSet.of(split.x, within=split.modality.grain)


Found = tuple[Float[Tensor, "m 2"], Int[Tensor, "m 2"]]


def found_in_pixels(split: Split, reference: Reference, n: int) -> list[Found]:
    """Return the two nearest training images, and the two nearest validation images, of the first n rows.

    The last search is cached with the reference, because the copying measures of a sampler use the same one.
    """
    key = "nearest in pixels"
    kept = reference.memo.get(key)
    if kept is None or kept[0] is not split.x or kept[1] is not reference.train.x or kept[2] != n:
        queries = flat(split.take(slice(0, n)))
        found = [reference.neighbours(part).nearest_two(queries) for part in ("train", "validation")]
        kept = reference.memo[key] = (split.x, reference.train.x, n, found)
    result: list[Found] = kept[3]
    return result


@dataclass(frozen=True, eq=False)
class Copies:
    """Euclidean distances that belong to a model and no sampler; T is the set of training images.

    Attributes:
        posterior_to_train: d(draw of training image i, T).
        heldout_to_train: d(draw of validation image j, T).
        heldout_to_swapped: d(draw of validation image j, T with a random image exchanged for x_j).
        train_rows: n_validation random training images, T' of train_share, the same for all samplers.
    """

    posterior_to_train: Float[Tensor, "n"]
    heldout_to_train: Float[Tensor, "n"]
    heldout_to_swapped: Float[Tensor, "n"]
    train_rows: Int[Tensor, "v"]


def copies_of(model: ModelEvidence, n: int) -> Copies:
    """Return decoded posterior draws of n training and n validation images, and their nearest images.

    They are cached with the model, because memorisation and every sampler's held-out quantile use the same ones.

    Raises:
        ValueError: the model has no training or validation posteriors, or there is no reference.
    """
    if model.train is None or model.validation is None or model.reference is None:
        raise ValueError("copies need training and validation posteriors and the reference")
    key = ("copies", n)
    if key not in model.memo:
        model.memo[key] = make_copies(
            model.train, model.validation, model.reference, model.decoded, n, model.seed
        )
    found: Copies = model.memo[key]
    return found


def make_copies(
    train: Latents, validation: Latents, reference: Reference, decoded: Decoded, n: int, seed: int
) -> Copies:
    """Draw from the posteriors of n random training and n random validation images, decode, and search.

    n is reduced to the number of images if that is smaller: each is used at most once, so that draws are independent.
    """
    generator = stream(seed, "copies")
    n = min(n, len(train), len(validation))
    own = torch.randperm(len(train), generator=generator)[:n]
    held = torch.randperm(len(validation), generator=generator)[:n]
    swapped = torch.randint(len(train), (n,), generator=generator)
    train_rows = torch.randperm(len(train), generator=generator)[: len(validation)]
    searched = reference.neighbours("train")
    draws = []
    for latents, rows in ((train, own), (validation, held)):
        chosen = latents.take(rows)
        z = chosen.draw(generator=generator).float()
        draws.append(flat(decoded(z, *conditions(chosen.label, chosen.context))))
    posterior_to_train, _ = searched.nearest(draws[0])
    heldout_to_train, winner = searched.nearest(draws[1])
    without = heldout_to_train.clone()
    # Only where the removed image was the nearest does the distance change.
    again = (winner == swapped).nonzero()[:, 0]
    if len(again):
        without[again] = searched.nearest(draws[1][again], exclude=swapped[again])[0]
    to_own = (draws[1].double() - flat(reference.validation.take(held)).double()).square().sum(1).sqrt()
    return Copies(posterior_to_train, heldout_to_train, torch.minimum(without, to_own), train_rows)

"""Black-and-white images drawn from grey ones: each grey value is the probability of white."""

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from jaxtyping import UInt8
from torch import Tensor

from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split

Binarize = Literal["static", "dynamic"]
_WHITE = 255


@dataclass(frozen=True)
class GreySplit(Split):
    """Black-and-white images, and the grey ones that training redraws them from in every epoch.

    Attributes:
        grey: the grey images, of which `x` is one draw.
    """

    grey: UInt8[Tensor, "n ..."] = field(default_factory=lambda: torch.zeros(0, dtype=torch.uint8))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grey.shape != self.x.shape or self.grey.dtype != torch.uint8:
            raise ValueError(
                f"grey is {self.grey.dtype} of shape {tuple(self.grey.shape)}: expected torch.uint8 of the "
                f"shape of x, {tuple(self.x.shape)}"
            )


def bernoulli(grey: UInt8[Tensor, "n ..."], *, generator: torch.Generator) -> UInt8[Tensor, "n ..."]:
    """Return 255 with probability grey / 255, else 0, independently."""
    level = torch.randint(0, _WHITE, grey.shape, generator=generator, dtype=torch.uint8)
    return (level < grey).to(torch.uint8) * _WHITE


def check(how: object, dataset: Dataset | None = None) -> None:
    """Refuse an unknown choice, and data other than images.

    Raises:
        ValueError: one line.
    """
    if how is not None and how not in get_args(Binarize):
        raise ValueError(f"data.binarize={how}: expected null, static or dynamic")
    if how is not None and dataset is not None and not dataset.modality.pictures:
        raise ValueError(f"data.binarize={how}: data={dataset.name} holds no images; expected null")


def binarized(dataset: Dataset, how: Binarize, *, seed: int) -> Dataset:
    """Return a data set in black and white: one draw of every split, from streams of (seed, split).

    Args:
        dataset: grey images.
        how: "static": training sees the draw in every epoch; "dynamic": training redraws its images in every
            epoch (`training_images`), while validation, test, and all that is done after training see the draw.
        seed: the draw's seed; it belongs to the data, so that all models see the same data set.

    Raises:
        ValueError: the data are no images.
    """
    check(how, dataset)

    def drawn(part: str, split: Split) -> Split:
        return replace(split, x=bernoulli(split.x, generator=stream(seed, "binarize", part)))

    train = drawn("train", dataset.train)
    return replace(
        dataset,
        train=with_grey(train, dataset.train.x) if how == "dynamic" else train,
        validation=drawn("validation", dataset.validation),
        test=drawn("test", dataset.test),
        provenance={**dataset.provenance, "binarize": how},
    )


def with_grey(split: Split, grey: UInt8[Tensor, "n ..."]) -> GreySplit:
    """Return a split whose training images are redrawn from grey ones."""
    return GreySplit(split.x, split.label, split.kind, grey)


def training_images(split: Split, *, seed: int, epoch: int) -> Tensor:
    """Return what an epoch of training sees: x, or a draw of the grey images from a stream of (seed, epoch)."""
    if not isinstance(split, GreySplit):
        return split.x
    return bernoulli(split.grey, generator=stream(seed, "binarize", epoch))

"""The contract of feature maps, the identity map, and the extraction of features from whole sets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.devices import placed
from priorgap.data.splits import as_float

BATCH = 500


class FeatureMap(Protocol):
    """A deterministic map from observations (images in [0, 1]) to feature vectors."""

    @property
    def name(self) -> str:
        """The space's name, which is printed with every number measured in it."""
        ...

    def __call__(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return the features of a batch."""
        ...


def knows_the_training_data(feature_map: FeatureMap) -> bool:
    """Return whether a map was fitted to the training images, so that it treats them unlike unseen images.

    A map says so in its attribute `fitted`; a map without it counts as fitted.
    """
    fitted: bool = getattr(feature_map, "fitted", True)
    return fitted


@runtime_checkable
class ClassScores(Protocol):
    """A feature map whose network also scores classes."""

    def logits(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return unnormalised log-probabilities of the network's classes."""
        ...


@dataclass(frozen=True)
class PixelFeatures:
    """The observations themselves, flattened."""

    name: str = "pixels"
    fitted: ClassVar[bool] = False

    def __call__(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return x with all dimensions flattened into one axis."""
        return x.flatten(1)


def extract(
    feature_map: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    batch: int = BATCH,
) -> Tensor:
    """Apply a feature map in batches of one fixed size, the last one padded, so that rows do not depend on n.

    A map with a method `to` (or a method of such an object) is computed on the device of `core.devices`; the result
    is on the CPU.

    Args:
        feature_map: applied without gradients.
        x: uint8 images (scaled to [0, 1] here) or floats.
        batch: rows per call.

    Raises:
        ValueError: there are no rows.
    """
    if len(x) == 0:
        raise ValueError("x has no rows: expected at least 1")
    results = []
    with torch.no_grad(), placed(getattr(feature_map, "__self__", feature_map)) as device:
        for part in x.split(batch):
            n = len(part)
            if n < batch:
                part = torch.cat([part, part[:1].expand(batch - n, *part.shape[1:])])
            results.append(feature_map(as_float(part.to(device)))[:n].cpu())
    return torch.cat(results)

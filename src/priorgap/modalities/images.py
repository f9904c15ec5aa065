"""Images: 256 levels, channels first."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.modalities.gaps import GapLayout
from priorgap.modalities.protocol import Kind
from priorgap.tables.layout import TableLayout


@dataclass(frozen=True)
class Images:
    """Images [c, h, w], stored as bytes and elsewhere as floats in [0, 1]."""

    kind: ClassVar[Kind] = "uint8_image"
    noun: ClassVar[str] = "image"
    n_axes: ClassVar[int] = 4
    dtype: ClassVar[torch.dtype] = torch.uint8
    range: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    pictures: ClassVar[bool] = True
    n_shown: ClassVar[int] = 64
    sequences: ClassVar[bool] = False
    table: ClassVar[TableLayout | None] = None
    gaps: ClassVar[GapLayout | None] = None
    space: ClassVar[str] = "pixels"
    feature_space: ClassVar[str] = "classifier"
    shifts: ClassVar[bool] = True
    grain: ClassVar[int] = 1

    def stored(self, x: Float[Tensor, "n c h w"]) -> Tensor:
        """Return images in [0, 1] as uint8."""
        return quantise(x)

    def described(self, shape: tuple[int, ...]) -> str:
        """Return a description such as grey or colour images, with their size."""
        channels, height, width = shape
        return f"{'grey' if channels == 1 else 'colour'} images of {height} x {width}"


def quantise(x: Float[Tensor, "..."]) -> Tensor:
    """Return images in [0, 1] as uint8, rounded; values outside are clipped, not wrapped."""
    return x.clamp(0, 1).mul(255).round().to(torch.uint8)


IMAGES = Images()

"""A picture of a page."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from priorgap.report.tiles import png_of, webp_of


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        file: the name of its file.
        content: PNG.
        alt: its alternative text.
        caption: what stands below it.
        first: whether it is shown at once, not behind a fold.
        sampler: whose it is; "" where it is of no single sampler.
        vector: PDF, for print; b"" where there is none.
        light: WebP that the page shows in place of the PNG; b"" where it shows the PNG.
    """

    file: str
    content: bytes
    alt: str
    caption: str = ""
    first: bool = False
    sampler: str = ""
    vector: bytes = b""
    light: bytes = b""

    @property
    def uri(self) -> str:
        """The picture as a data URI, so that the page loads nothing."""
        kind, shown = ("webp", self.light) if self.light else ("png", self.content)
        return f"data:image/{kind};base64," + base64.b64encode(shown).decode()

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height in pixels, so that a page keeps its place while it opens."""
        return Image.open(io.BytesIO(self.light or self.content)).size


def embedded(
    pixels: npt.NDArray[np.uint8], alt: str, *, large: bool, caption: str = "", sampler: str = ""
) -> Picture:
    """Return pixels [h, w] or [h, w, 3] as a picture that has no file of its own.

    Args:
        pixels: of the picture.
        alt: its alternative text.
        large: whether it is of large images, and so a WebP.
        caption: what stands below it.
        sampler: whose it is.
    """
    light = webp_of(pixels) if large else b""
    return Picture("", b"" if large else png_of(pixels), alt, caption, sampler=sampler, light=light)

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
        first: whether it is shown directly and not folded away.
        sampler: the sampler that it shows; "" where it shows no single one.
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
        """The picture as a data URI, so that the page does not load files."""
        kind, shown = ("webp", self.light) if self.light else ("png", self.content)
        return f"data:image/{kind};base64," + base64.b64encode(shown).decode()

    @property
    def size(self) -> tuple[int, int]:
        """The width and height in pixels, which keep the layout stable while the page loads."""
        return Image.open(io.BytesIO(self.light or self.content)).size


def embedded(
    pixels: npt.NDArray[np.uint8], alt: str, *, large: bool, caption: str = "", sampler: str = ""
) -> Picture:
    """Return pixels [h, w] or [h, w, 3] as a picture without a file of its own.

    Args:
        pixels: the picture's pixels.
        alt: its alternative text.
        large: whether it shows large images and so is stored as WebP.
        caption: what stands below it.
        sampler: the sampler that it shows.
    """
    light = webp_of(pixels) if large else b""
    return Picture("", b"" if large else png_of(pixels), alt, caption, sampler=sampler, light=light)

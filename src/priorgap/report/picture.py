"""A picture of a page."""

import base64
import io
from dataclasses import dataclass

from PIL import Image


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
    """

    file: str
    content: bytes
    alt: str
    caption: str = ""
    first: bool = False
    sampler: str = ""
    vector: bytes = b""

    @property
    def uri(self) -> str:
        """The picture as a data URI, so that the page loads nothing."""
        return "data:image/png;base64," + base64.b64encode(self.content).decode()

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height in pixels, so that a page keeps its place while it opens."""
        return Image.open(io.BytesIO(self.content)).size

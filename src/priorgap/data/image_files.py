"""Image files read as 8-bit grey or colour, whatever mode they are stored in; every conversion is counted."""

import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from priorgap.data.splits import DataCorrupt

if TYPE_CHECKING:
    from PIL.Image import Image

Channels = Literal["auto", "grey", "rgb"]
Background = Literal["white", "black"]

_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_EXIF_ORIENTATION = 0x0112
_GREY_LEVELS = {"white": 255, "black": 0}


@dataclass
class ImageReader:
    """Reads image files as pictures with one or three 8-bit channels.

    Attributes:
        channels: "grey" or "rgb"; "auto" leaves grey pictures grey.
        background: the colour behind transparent pixels.
        done: the number of files by conversion, for a line of the log and for provenance.
    """

    channels: Channels = "auto"
    background: Background = "white"
    done: Counter[str] = field(default_factory=Counter)

    def read(self, file: Path) -> "Image":
        """Return a picture in mode L or RGB, rotated upright.

        Raises:
            DataCorrupt: the file is no readable image.
            ValueError: its values have no known range; one line with the remedy.
        """
        return self._read(file, file)

    def read_bytes(self, content: bytes, name: str) -> "Image":
        """Return the picture in a file's content, under the same rules as `read`."""
        return self._read(io.BytesIO(content), Path(name))

    def _read(self, source: Path | io.BytesIO, file: Path) -> "Image":
        from PIL import Image, ImageOps

        try:
            with Image.open(source) as opened:
                if getattr(opened, "n_frames", 1) > 1:
                    self.done["several frames: the first is taken"] += 1
                rotated = opened.getexif().get(_EXIF_ORIENTATION, 1) != 1
                opened.load()
                upright = ImageOps.exif_transpose(opened) if rotated else opened.copy()
        except Exception as error:
            raise DataCorrupt(f"{file}: no readable image") from error
        if rotated:
            self.done["turned upright (EXIF orientation)"] += 1
        return self._in_channels(self._in_bytes(upright, file))

    def _in_bytes(self, image: "Image", file: Path) -> "Image":
        """Return the picture in mode L or RGB."""
        mode = image.mode
        if mode == "1":
            return image.convert("L")
        if mode in ("L", "RGB") and "transparency" not in image.info:
            return image
        if mode.startswith("I;16"):
            return self._scaled(np.asarray(image).astype(np.float64) / 65535, "16-bit: divided by 65,535")
        if mode == "I":
            return self._of_integers(np.asarray(image), file)
        if mode == "F":
            return self._of_floats(np.asarray(image), file)
        if mode in _WITH_ALPHA or "transparency" in image.info:
            return self._on_background(image.convert("RGBA"))
        if mode == "P":
            return _grey_if_grey(image.convert("RGB"))
        if mode == "RGB":
            return image
        self.done[f"{mode}: converted to RGB"] += 1
        return image.convert("RGB")

    def _of_integers(self, values: np.ndarray, file: Path) -> "Image":
        # Pillow loads some 16-bit grey images as 32-bit integers.
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(
                f"{file}: 32-bit integers from {values.min()} to {values.max()}, of no known range; expected 8 or 16 "
                "bits, or floats in [0, 1]"
            )
        return self._scaled(values / 65535, "16-bit: divided by 65,535")

    def _of_floats(self, values: np.ndarray, file: Path) -> "Image":
        if not np.isfinite(values).all():
            raise ValueError(f"{file}: pixels that are NaN or infinite; expected floats in [0, 1]")
        if values.min() < 0 or values.max() > 1:
            raise ValueError(
                f"{file}: floats from {values.min():g} to {values.max():g}; expected floats in [0, 1]: divide by the "
                "largest value that a pixel can have"
            )
        return self._scaled(values.astype(np.float64), "floats in [0, 1]: rounded to 256 levels")

    def _scaled(self, unit: np.ndarray, what: str) -> "Image":
        from PIL import Image

        self.done[what] += 1
        return Image.fromarray(np.rint(unit * 255).astype(np.uint8))

    def _on_background(self, image: "Image") -> "Image":
        from PIL import Image

        if image.getchannel("A").getextrema() != (255, 255):
            self.done[f"transparent: laid on {self.background} (data.background)"] += 1
        level = _GREY_LEVELS[self.background]
        base = Image.new("RGBA", image.size, (level, level, level, 255))
        return _grey_if_grey(Image.alpha_composite(base, image).convert("RGB"))

    def _in_channels(self, image: "Image") -> "Image":
        if self.channels == "rgb":
            return image.convert("RGB")
        found = image if image.mode == "L" else _grey_if_grey(image)
        if self.channels == "grey" and found.mode != "L":
            self.done["colour: turned grey (data.channels=rgb keeps it)"] += 1
            return found.convert("L")
        return found


def _grey_if_grey(image: "Image") -> "Image":
    """Return a picture as one channel if its three channels are equal."""
    red, green, blue = image.split()
    same = red.tobytes() == green.tobytes() == blue.tobytes()
    return red if same else image


def pixels_of(image: "Image") -> np.ndarray:
    """Return a picture as uint8 [c, h, w], with 1 or 3 channels."""
    pixels = np.array(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

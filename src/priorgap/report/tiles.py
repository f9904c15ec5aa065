"""Sample grids: previews as PNG tiles, and the tiles of one model side by side."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_TILE_ROWS = _TILE_COLUMNS = 8
_TILE_SIDE = 256
# An image with more numbers than _LARGE is embedded as WebP of this quality; MNIST's images have more, scikit-learn's
# digits fewer. A decoder's images have some grey everywhere, which makes a PNG twice as large as that of data.
_LARGE, _QUALITY = 400, 80
# The side of the embedded grid, instead of 8: for images of up to _VERY_LARGE numbers, and for larger ones.
_VERY_LARGE, _COLUMNS, _FEWER_COLUMNS = 1024, 7, 6

Images = Path | npt.NDArray[np.uint8]


def sample_tile(preview: Images) -> bytes:
    """Return a preview as one PNG: a finished picture unchanged, images [n, h, w, c] as a grid of 8 × 8."""
    if isinstance(preview, Path):
        return preview.read_bytes()
    _check(preview)
    image = Image.fromarray(tiled(preview[: _TILE_ROWS * _TILE_COLUMNS], _TILE_COLUMNS))
    factor = max(1, _TILE_SIDE // max(image.size))
    # Only whole multiples of pixels, so that small images are neither blurred nor resampled unevenly.
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return _png(image)


def png_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return pixels [h, w] or [h, w, 3] as a PNG."""
    return _png(Image.fromarray(pixels))


def is_large(images: npt.NDArray[np.uint8]) -> bool:
    """Whether single images [n, h, w, c] are so large that a page embeds them as WebP, with small losses."""
    return int(images[0].size) > _LARGE


def webp_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return pixels [h, w] or [h, w, 3] as a WebP."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="webp", quality=_QUALITY)
    return buffer.getvalue()


def light_tile(preview: Images) -> bytes:
    """Return the page's replacement for a tile: fewer images as WebP; b"" where they are small."""
    if isinstance(preview, Path) or not is_large(preview):
        return b""
    columns = _COLUMNS if preview[0].size <= _VERY_LARGE else _FEWER_COLUMNS
    return webp_of(tiled(preview[: columns**2], columns))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def _check(images: npt.NDArray[np.uint8]) -> None:
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8 or not len(images):
        raise ValueError(
            f"preview: expected uint8 images [n, h, w, 1 or 3], got {images.dtype} {list(images.shape)}"
        )


def tiled(images: npt.NDArray[np.uint8], columns: int, line: int = 1) -> npt.NDArray[np.uint8]:
    """Return images [n, h, w, 1 or 3] as one, [height, width] or [height, width, 3], with white lines between them.

    Args:
        images: at least one.
        columns: the number of images in a row.
        line: the number of pixels between two images.
    """
    n, h, w, c = images.shape
    columns = min(columns, n)
    n_rows = -(-n // columns)
    down, across = h + line, w + line
    canvas = np.full((n_rows * down - line, columns * across - line, c), 255, dtype=np.uint8)
    for place, image in enumerate(images):
        top, left = (place // columns) * down, (place % columns) * across
        canvas[top : top + h, left : left + w] = image
    return canvas[..., 0] if c == 1 else canvas


def samples_side_by_side(tiles: Mapping[str, bytes], title: str) -> bytes:
    """Put the sample tiles of one model in a row, each under its sampler's name."""
    images = [Image.open(io.BytesIO(tile)) for tile in tiles.values()]
    mode = (
        "L" if all(image.mode == "L" for image in images) else "RGB"
    )  # Grey alone is written in a third of the time.
    gap, text = 16, 30
    width = sum(image.width for image in images) + gap * (len(images) + 1)
    canvas = Image.new(mode, (width, max(image.height for image in images) + 2 * text + gap), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(18)
    draw.text((gap, 4), title, fill="black", font=font)
    left = gap
    for name, image in zip(tiles, images, strict=True):
        draw.text((left, text + 4), name, fill="black", font=font)
        canvas.paste(image.convert(mode), (left, 2 * text))
        left += image.width + gap
    return _png(canvas)

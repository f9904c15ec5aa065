"""A data source for a user's own images: a folder of image files."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from priorgap.core.arguments import AtLeast, show
from priorgap.data.image_files import Background, Channels, ImageReader, pixels_of
from priorgap.data.image_layout import Layout, layout_of
from priorgap.data.own_splits import in_parts, split_off
from priorgap.data.splits import Dataset, Split, check_fractions

if TYPE_CHECKING:
    from PIL.Image import Image

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FolderRows:
    """The images of a folder.

    Attributes:
        parts: the rows by part: train, validation, test; under "" where the folder is not divided.
        classes: the names of the class folders; empty where there are none.
        facts: facts for the data set's provenance.
        said: one line that says what was read, and how it was interpreted.
    """

    parts: dict[str, Split]
    classes: list[str]
    facts: dict[str, object]
    said: str

    def say(self) -> None:
        """Log what was read; the caller does so once it knows that the data can be used."""
        _log.info("%s", self.said)


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images: flat or a subfolder per class, in train/, val/ and test/ or split by a fixed seed.

    Attributes:
        path: the folder.
        image_size: side of the square that images have, or are brought to; None takes the first image's size,
            and needs `resize="error"`.
        resize: what happens to an image of another size: "error"; "crop" scales its short side and cuts the
            middle; "pad" scales its long side and fills with black.
        channels: "auto" is grey where every image is, else colour; "grey" or "rgb".
        background: "white" or "black": the colour behind transparent pixels.
        validation_fraction: the part kept for validation (of each class, where there are classes).
        test_fraction: the part kept for the test.
        split_seed: the seed of the split.
    """

    path: Path
    name: str = "image_folder"
    image_size: int | None = None
    resize: Literal["error", "crop", "pad"] = "error"
    channels: Channels = "auto"
    background: Background = "white"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(os.path.expanduser(self.path)))
        check_fractions(self.validation_fraction, self.test_fraction)
        for key, values in (
            ("resize", ("error", "crop", "pad")),
            ("channels", get_args(Channels)),
            ("background", get_args(Background)),
        ):
            if getattr(self, key) not in values:
                raise ValueError(
                    f"data.{key}={getattr(self, key)}: expected {', '.join(values[:-1])} or {values[-1]}"
                )
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"data.image_size={self.image_size}: expected an integer of at least 1")
        if self.resize != "error" and self.image_size is None:
            raise ValueError(f"data.resize={self.resize}: data.image_size must be given with it")

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: there is no such folder, or no image in it.
            DataCorrupt: a file is no readable image.
            ValueError: an image has another size and `resize` is "error", or pixels of no known range; the line names
                the image and the remedy.
        """
        found = self.read()
        n_classes = len(found.classes) or None
        if "" in found.parts:
            dataset = split_off(self, found.parts[""], found.facts, n_classes, found.classes)
        else:
            dataset = in_parts(self, found.parts, found.facts, n_classes, found.classes)
        found.say()
        return dataset

    def read(self) -> "FolderRows":
        """Return the folder's images, divided into parts or not; the errors are those of `load`."""
        layout = layout_of(self.path)
        files = [file for part in layout.files.values() for file in part]
        x, done = self._pixels(files)
        label = None
        if layout.classes:
            label = torch.tensor([layout.label(file) for file in files], dtype=torch.int64)
        facts = {
            "source": str(self.path), "classes": layout.classes, "n_files": len(files), "resize": self.resize,
            "reading": done,
        }  # fmt: skip
        everything = Split(x, label)
        parts, first = {}, 0
        for part, found in layout.files.items():
            parts[part] = everything.take(slice(first, first + len(found)))
            first += len(found)
        return FolderRows(parts, layout.classes, facts, self._described(layout, x, done))

    def _described(self, layout: Layout, x: Tensor, done: Mapping[str, int]) -> str:
        """Return one line that says what was read, and how it was interpreted."""
        parts = ", ".join(f"{name}: {len(files)}" for name, files in layout.files.items() if name)
        of_classes = (
            f"{len(layout.classes)} classes ({show(', '.join(layout.classes))})"
            if layout.classes
            else "no classes"
        )
        changes = "".join(f"; {what} ({n} files)" for what, n in done.items())
        colours = "grey" if x.shape[1] == 1 else "colour"
        sizes = f"{parts}; " if parts else ""
        return (
            f"data.path={layout.root}: {len(x)} {colours} images of {x.shape[2]} x {x.shape[3]}; {sizes}{of_classes}"
            f"{changes}"
        )

    def _pixels(self, files: Sequence[Path]) -> tuple[Tensor, dict[str, int]]:
        reader = ImageReader(self.channels, self.background)
        x: Tensor | None = None
        for row, file in enumerate(files):
            image = torch.from_numpy(self._read(file, reader))
            if x is None:
                x = torch.empty((len(files), *image.shape), dtype=torch.uint8)
            if image.shape[1:] != x.shape[2:]:
                first, size = (f"{s[-2]} x {s[-1]}" for s in (x.shape, image.shape))
                raise ValueError(
                    f"{file}: {size} pixels (height x width), {files[0].name} has {first}: "
                    "set data.resize=crop or pad, with data.image_size"
                )
            if len(image) > x.shape[1]:
                # This is the first colour image; the grey ones before it get three channels.
                x = x.repeat(1, 3, 1, 1)
            x[row] = image
        assert x is not None
        return x, dict(sorted(reader.done.items()))

    def _read(self, file: Path, reader: ImageReader | None = None) -> "np.ndarray":
        image = (reader or ImageReader(self.channels, self.background)).read(file)
        return pixels_of(image if self.image_size is None else self._resized(image, file))

    def _resized(self, image: "Image", file: Path) -> "Image":
        from PIL import Image, ImageOps

        assert self.image_size is not None
        size = (self.image_size, self.image_size)
        if image.size == size:
            return image
        if self.resize == "crop":
            return ImageOps.fit(image, size, Image.Resampling.BICUBIC)
        if self.resize == "pad":
            return ImageOps.pad(image, size, Image.Resampling.BICUBIC)
        raise ValueError(
            f"{file}: {image.height} x {image.width} pixels (height x width), expected "
            f"data.image_size={self.image_size}: set data.resize=crop or pad"
        )

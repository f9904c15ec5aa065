"""A user's own data: a folder of images, or an .npz file."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.artifacts import file_digest
from priorgap.core.random import stream
from priorgap.data.splits import (
    DataCorrupt,
    Dataset,
    DataUnavailable,
    Kind,
    Split,
    check_fractions,
    fraction_split,
)

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
_MODES = {"grey": "L", "rgb": "RGB"}


@dataclass(frozen=True)
class ImageFolder:
    """A folder of images, with a subfolder per class or none; split by a fixed seed.

    Attributes:
        path: the folder.
        image_size: side of the square that images have, or are brought to; None takes the first image's size,
            and needs `resize="error"`.
        resize: what happens to an image of another size: "error"; "crop" scales its short side and cuts the
            middle; "pad" scales its long side and fills with black.
        channels: "grey" or "rgb".
        validation_fraction: the part kept for validation (of each class, where there are classes).
        test_fraction: the part kept for the test.
        split_seed: which split.
    """

    path: Path
    name: str = "image_folder"
    image_size: int | None = None
    resize: Literal["error", "crop", "pad"] = "error"
    channels: Literal["grey", "rgb"] = "grey"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(os.path.expanduser(self.path)))
        check_fractions(self.validation_fraction, self.test_fraction)
        if self.resize not in ("error", "crop", "pad"):
            raise ValueError(f"data.resize={self.resize}: expected error, crop or pad")
        if self.channels not in _MODES:
            raise ValueError(f"data.channels={self.channels}: expected grey or rgb")
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"data.image_size={self.image_size}: expected an integer of at least 1")
        if self.resize != "error" and self.image_size is None:
            raise ValueError(f"data.resize={self.resize}: data.image_size must be given with it")

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: there is no such folder, or no image in it.
            DataCorrupt: a file is no readable image.
            ValueError: an image has another size and `resize` is "error"; the line names it and the remedy.
        """
        files, classes = self._files()
        x = self._pixels(files)
        label = None
        if classes:
            label = torch.tensor([classes.index(f.parent.name) for f in files], dtype=torch.int64)
        facts = {"source": str(self.path), "classes": classes, "n_files": len(files), "resize": self.resize}
        return _split(self, Split(x, label), facts, len(classes) or None)

    def _files(self) -> tuple[list[Path], list[str]]:
        """Return the images in a fixed order, and the classes' names (none for a flat folder)."""
        if not self.path.is_dir():
            raise DataUnavailable(f"data.path={self.path}: no such folder")
        entries = sorted(p for p in self.path.iterdir() if not p.name.startswith("."))
        flat = [p for p in entries if p.is_file() and p.suffix.lower() in _SUFFIXES]
        folders = [p for p in entries if p.is_dir()]
        nested = [
            f for d in folders for f in sorted(d.iterdir()) if f.is_file() and f.suffix.lower() in _SUFFIXES
        ]
        if flat and nested:
            raise ValueError(f"data.path={self.path}: expected images, or class folders of images, not both")
        if not flat and not nested:
            raise DataUnavailable(f"data.path={self.path}: no images ({', '.join(sorted(_SUFFIXES))})")
        return (flat, []) if flat else (nested, sorted({f.parent.name for f in nested}))

    def _pixels(self, files: Sequence[Path]) -> Tensor:
        x: Tensor | None = None
        for row, file in enumerate(files):
            image = torch.from_numpy(self._read(file))
            if x is None:
                x = torch.empty((len(files), *image.shape), dtype=torch.uint8)
            if image.shape != x.shape[1:]:
                first, size = (f"{s[-2]} x {s[-1]}" for s in (x.shape, image.shape))
                raise ValueError(
                    f"{file}: {size} pixels (height x width), {files[0].name} has {first}: "
                    "set data.resize=crop or pad, with data.image_size"
                )
            x[row] = image
        assert x is not None
        return x

    def _read(self, file: Path) -> "np.ndarray":
        from PIL import Image

        try:
            with Image.open(file) as opened:
                image = opened.convert(_MODES[self.channels])
        except Exception as error:
            raise DataCorrupt(f"{file}: no readable image") from error
        if self.image_size is not None:
            image = self._resized(image, file)
        pixels = np.array(image, dtype=np.uint8)
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

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


@dataclass(frozen=True)
class NpzFile:
    """Arrays in an .npz file: `x` (and `y`), or `x_train`, `x_test` (and `y_...`, `x_validation`).

    Images are [n, h, w], [n, h, w, c] or [n, c, h, w] with c = 1 or 3, uint8 or floats in [0, 1] (rounded to
    256 levels); vectors are [n, d] floats.

    Attributes:
        path: the file.
        validation_fraction: the part of the training rows kept for validation where `x_validation` is absent.
        test_fraction: the part of all rows kept for the test where `x_test` is absent.
        split_seed: which split.
    """

    path: Path
    name: str = "npz"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(os.path.expanduser(self.path)))
        check_fractions(self.validation_fraction, self.test_fraction)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: there is no such file.
            DataCorrupt: it cannot be read without unpickling.
            ValueError: the arrays are not as described above; one line.
        """
        arrays = self._arrays()
        facts = {"source": str(self.path), "sha256": file_digest(self.path), "arrays": sorted(arrays)}
        if "x" in arrays:
            return _split(self, self._part(arrays, "x", "y"), facts, _n_classes(arrays.get("y")))
        if not {"x_train", "x_test"} <= arrays.keys():
            raise ValueError(
                f"{self.path}: holds {', '.join(sorted(arrays))}; expected x, or x_train and x_test"
            )
        train = self._part(arrays, "x_train", "y_train")
        test = self._part(arrays, "x_test", "y_test")
        n_classes = _n_classes(*(arrays.get(f"y_{part}") for part in ("train", "validation", "test")))
        if "x_validation" in arrays:
            validation = self._part(arrays, "x_validation", "y_validation")
        else:
            generator = stream(self.split_seed, "split", self.name)
            chosen, rest = fraction_split(
                train.label, len(train), [self.validation_fraction], generator=generator
            )
            train, validation = train.take(rest), train.take(chosen)
        for part, split in (("x_validation", validation), ("x_test", test)):
            if (split.shape, split.kind) != (train.shape, train.kind):
                raise ValueError(
                    f"data.path={self.path}: {part} has rows of shape {split.shape} ({split.kind}); expected "
                    f"those of x_train, {train.shape} ({train.kind})"
                )
        return Dataset(self.name, train, validation, test, n_classes, official=True, provenance=facts)

    def _arrays(self) -> "dict[str, np.ndarray]":
        if not self.path.is_file():
            raise DataUnavailable(f"data.path={self.path}: no such file")
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except Exception as error:
            raise DataCorrupt(f"{self.path}: no .npz file of plain arrays") from error

    def _part(self, arrays: "dict[str, np.ndarray]", key: str, label_key: str) -> Split:
        x, kind = self._observations(arrays[key], key)
        y = arrays.get(label_key)
        if y is None:
            return Split(x, None, kind)
        if y.dtype.kind not in "iu" or y.shape != (len(x),) or (len(y) and int(y.min()) < 0):
            raise ValueError(
                f"{self.path}: {label_key} is {y.dtype} {y.shape}: expected {len(x)} integers of at least 0"
            )
        return Split(x, torch.from_numpy(y.astype(np.int64)), kind)

    def _observations(self, array: "np.ndarray", key: str) -> tuple[Tensor, Kind]:
        where = f"{self.path}: {key} is {array.dtype} {array.shape}"
        floats = array.dtype.kind == "f"
        if len(array.shape) == 0 or len(array) == 0:
            raise ValueError(f"{where}: expected at least 1 row")
        if array.size == 0:
            raise ValueError(f"{where}: rows without values; expected images or vectors of at least 1")
        if floats and not np.isfinite(array).all():
            raise ValueError(f"{where}: holds NaN or infinity")
        if array.ndim == 2 and array.dtype.kind in "fiu":
            return torch.from_numpy(array.astype(np.float32)), "float_vector"
        if array.ndim not in (3, 4) or not (floats or array.dtype == np.uint8):
            raise ValueError(f"{where}: expected uint8 or float images, or vectors [n, d]")
        if floats:
            if array.min() < 0 or array.max() > 1:
                raise ValueError(f"{where}: float images leave [0, 1]: scale them, or store uint8")
            array = np.rint(array * 255).astype(np.uint8)
        if array.ndim == 3:
            array = array[:, None]
        elif array.shape[1] not in (1, 3):
            if array.shape[3] not in (1, 3):
                raise ValueError(f"{where}: expected 1 or 3 channels, second or last")
            array = array.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(array)), "uint8_image"


def _n_classes(*labels: "np.ndarray | None") -> int | None:
    given = [y for y in labels if y is not None and y.size and y.dtype.kind in "iu"]
    return 1 + max(int(y.max()) for y in given) if given else None


def _split(
    source: ImageFolder | NpzFile, everything: Split, facts: Mapping[str, object], n_classes: int | None
) -> Dataset:
    generator = stream(source.split_seed, "split", source.name)
    try:
        parts: list[Int[Tensor, "m"]] = fraction_split(
            everything.label,
            len(everything),
            [source.test_fraction, source.validation_fraction],
            generator=generator,
        )
    except ValueError as error:
        raise ValueError(f"{source.path}: {len(everything)} rows: {error}") from error
    test, validation, train = (everything.take(index) for index in parts)
    provenance = {
        **facts,
        "split": "by fractions, ours",
        "split_seed": source.split_seed,
        "sizes": [len(train), len(validation), len(test)],
    }
    return Dataset(source.name, train, validation, test, n_classes, official=False, provenance=provenance)

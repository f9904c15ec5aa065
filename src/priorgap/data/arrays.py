"""Arrays as people save them, read as observations and labels: ambiguous ones are refused, what was read is said."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from priorgap.core.arguments import show
from priorgap.modalities import IMAGES, SEQUENCES, VECTORS, Kind

Span = tuple[float, float]
Axes = Literal["channels_first", "channels_last", "no_channels", "vectors", "series"]
# Kinds of data that are stored without scaling, because their values have no common scale.
AS_IT_IS: Mapping[Axes, Kind] = {"vectors": VECTORS.kind, "series": SEQUENCES.kind}

# Rows are converted to another type in blocks of this size, so that no second copy of all rows is needed.
_ROWS = 1024
# A limit on the number of classes, because every class gets a row in tables.
MOST_CLASSES = 10_000
_MOST_CODE = 2**53


@dataclass(frozen=True)
class Observations:
    """The observations in an array.

    Attributes:
        x: uint8 [n, c, h, w], or float32 [n, d] or [n, steps, channels].
        kind: which of these three.
        done: how the values were changed, in words; "" where they were not.
    """

    x: Tensor
    kind: Kind
    done: str = ""


@dataclass(frozen=True)
class Scale:
    """The values that mean black and white.

    Attributes:
        low, high: the values of black and of white.
        done: how values on this scale are changed, in words; "" where they are not.
    """

    low: float
    high: float
    done: str = ""

    def levels(self, array: "np.ndarray") -> "np.ndarray":
        """Return values as uint8, 0 for `low` and 255 for `high`."""
        if array.dtype == np.uint8 and (self.low, self.high) == (0, 255):
            return array
        out = np.empty(array.shape, np.uint8)
        for start in range(0, len(array), _ROWS):
            rows = slice(start, start + _ROWS)
            out[rows] = np.rint(self._scaled(array[rows]))
        return out

    def _scaled(self, array: "np.ndarray") -> "np.ndarray":
        if (self.low, self.high) == (0, 255):
            return array
        exact = array.astype(np.float64)
        unit = exact if (self.low, self.high) == (0, 1) else (exact - self.low) / (self.high - self.low)
        return unit * 255


@dataclass(frozen=True)
class Labels:
    """Classes of observations.

    Attributes:
        label: int64 [n], numbered from 0 without gaps.
        names: the classes' names in the user's data.
    """

    label: Tensor
    names: list[str]


def span_of(arrays: "Iterable[np.ndarray]", kind: str) -> Span | None:
    """Return the least and largest value over all parts of some data that are of one kind (floats, integers, ...).

    All parts of one kind share one scale. None where no part holds numbers.
    """
    ends = [(a.min(), a.max()) for a in arrays if a.dtype.kind == kind and kind in "fiub" and a.size]
    return (float(min(low for low, _ in ends)), float(max(high for _, high in ends))) if ends else None


def observations(
    array: "np.ndarray", where: str, span: Span | None = None, *, series: bool = False
) -> Observations:
    """Read images [n, h, w], [n, h, w, c] or [n, c, h, w] (c = 1 or 3), vectors [n, d], series [n, steps, channels].

    Args:
        array: bytes, integers up to 255 or 65,535, booleans, or floats in [0, 1], in [-1, 1], or whole in 0..255;
            vectors and series of any numbers.
        where: the array's name, for messages.
        span: the least and largest value over all parts of the data, which determine the scale; None: this array's
            own.
        series: whether rows are series.

    Raises:
        ValueError: one line with what was given, what was expected, and the likely remedy.
    """
    axes = axes_of(array, where, series=series)
    check_finite(array, where)
    if axes in AS_IT_IS:
        return Observations(vectors(array, where), AS_IT_IS[axes])
    place = f"{where} is {array.dtype} {array.shape}"
    scale = scale_of(array.dtype, span or (float(array.min()), float(array.max())), place)
    return Observations(images(array, axes, scale), IMAGES.kind, scale.done)


def axes_of(array: "np.ndarray", where: str, *, series: bool = False) -> Axes:
    """Return what an array's axes mean; three axes are those of images, or of series where `series` is set.

    Raises:
        ValueError: the array has no rows, no values or no numbers, or its axes fit neither images nor vectors.
    """
    place = f"{where} is {array.dtype} {array.shape}"
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{place}: expected at least 1 row")
    if array.size == 0:
        raise ValueError(f"{place}: rows without values; expected images or vectors of at least 1")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{place}: expected numbers: uint8 or float images, or vectors [n, d]")
    if series:
        if array.ndim != 3:
            raise ValueError(f"{place}: expected series [n, steps, channels]")
        return "series"
    if array.ndim == 2:
        return "vectors"
    if array.ndim not in (3, 4):
        raise ValueError(
            f"{place}: expected images [n, h, w], [n, h, w, c] or [n, c, h, w], or vectors [n, d]"
        )
    if array.ndim == 3:
        return "no_channels"
    if array.shape[1] in (1, 3):
        return "channels_first"
    if array.shape[3] in (1, 3):
        return "channels_last"
    alpha = (
        "; the fourth is transparency: lay the images on a background first" if 4 in array.shape[1::2] else ""
    )
    raise ValueError(f"{place}: expected 1 or 3 channels, second or last{alpha}")


def check_finite(array: "np.ndarray", where: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: one line with the number of rows that hold them.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        rows = int((~np.isfinite(array)).reshape(len(array), -1).any(1).sum())
        raise ValueError(
            f"{where} is {array.dtype} {array.shape}: holds NaN or infinity in {rows} of {len(array)} rows; "
            "expected numbers: fill or leave out those rows"
        )


def vectors(array: "np.ndarray", where: str) -> Tensor:
    """Return rows of numbers as float32, without a copy where they are float32 already.

    Raises:
        ValueError: values outside of float32's range.
    """
    most = np.finfo(np.float32).max
    if array.dtype == np.float64 and (array.max() > most or array.min() < -most):
        raise ValueError(
            f"{where} is {array.dtype} {array.shape}: values from {array.min():.3g} to {array.max():.3g}; expected "
            "numbers of 32 bits: divide by their size"
        )
    # The tensor shares the array's memory, for which torch requires a writable array.
    return torch.from_numpy(np.require(array, np.float32, ["C", "W"]))


def images(array: "np.ndarray", axes: Axes, scale: Scale) -> Tensor:
    """Return images as uint8 [n, c, h, w]."""
    levels = scale.levels(array)
    if axes == "no_channels":
        levels = levels[:, None]
    elif axes == "channels_last":
        levels = levels.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.require(levels, np.uint8, ["C", "W"]))


def scale_of(dtype: "np.dtype", ends: Span, place: str) -> Scale:
    """Return the scale of images, judged by their type and their least and largest value.

    Raises:
        ValueError: the values fit no common scale.
    """
    low, high = ends
    if dtype.kind in "iu" and low >= 0 and high == 1:
        return Scale(0, 1, "integers of 0 and 1: taken as black and white")
    if dtype == np.uint8:
        return Scale(0, 255)
    if dtype.kind == "b":
        return Scale(0, 1, "booleans: taken as 0 and 255")
    span = f"{place}: values from {low:g} to {high:g}"
    if dtype.kind in "iu":
        if low >= 0 and high <= 255:
            return Scale(0, 255, "integers of 0..255")
        if low >= 0 and high <= 65535:
            return Scale(0, 65535, "16-bit integers: divided by 65,535")
        raise ValueError(f"{span}: expected integers of 0..255 or 0..65,535")
    if low >= 0 and high <= 1:
        return Scale(0, 1)
    if -1 <= low < 0 and high <= 1:
        return Scale(-1, 1, "floats in [-1, 1]: brought to [0, 1]")
    if low >= 0 and 100 < high <= 255:
        return Scale(0, 255, "floats of 0..255: divided by 255")
    raise ValueError(
        f"{span}: expected float images in [0, 1] or [-1, 1], or 0..255: divide by the largest value that a pixel "
        "can have; observations that are no images go in as vectors [n, d], or with series=True as series [n, steps, "
        "channels]"
    )


def labels(
    arrays: "Mapping[str, np.ndarray]", n_rows: Mapping[str, int], places: Mapping[str, str]
) -> dict[str, Labels]:
    """Read the labels of all parts of some data together, so that a class has one number in all of them.

    Args:
        arrays: labels by part: integers, whole floats, booleans, texts, or one-hot rows; [n] or [n, 1].
        n_rows: for each array the number of observations that it belongs to.
        places: the name of each array, for messages.

    Raises:
        ValueError: an array has another shape, or rows lack a label; one line.
    """
    flat = {name: _flat(array, n_rows[name], places[name]) for name, array in arrays.items()}
    known = sorted({value for values in flat.values() for value in np.unique(values).tolist()}, key=_order)
    if len(known) > MOST_CLASSES:
        raise ValueError(
            f"{next(iter(places.values()))}: {len(known):,} classes; expected at most {MOST_CLASSES:,}: are these "
            "the rows' own numbers?"
        )
    names = [str(value) for value in known]
    index = {value: number for number, value in enumerate(known)}
    found = {}
    for name, values in flat.items():
        own, place = np.unique(values, return_inverse=True)
        number = np.array([index[value] for value in own.tolist()], dtype=np.int64)[place.reshape(-1)]
        found[name] = Labels(torch.from_numpy(number), names)
    return found


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _flat(array: "np.ndarray", n: int, place: str) -> "np.ndarray":
    """Return one label for each row: an integer or a text."""
    given = f"{place} is {array.dtype} {array.shape}"
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and len(array) == n and is_one_hot(array):
        array = array.argmax(1)
    if array.shape != (n,):
        raise ValueError(f"{given}: expected {n} labels, one for each row, or {n} one-hot rows")
    if array.dtype.kind == "O":
        array = _of_objects(array, given)
    if array.dtype.kind == "f":
        missing = ~np.isfinite(array)
        known = array[~missing]
        odd = known[(known != np.rint(known)) | (np.abs(known) > _MOST_CODE)]
        if len(odd):
            raise ValueError(f"{given}: expected {n} integers or names; got {show(odd[0].item())}")
        array = np.where(missing, -1, array).astype(np.int64)
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.dtype.kind in "SU":
        array = array.astype(str)
        unlabelled = int((np.char.strip(array) == "").sum())
    elif array.dtype.kind in "iu":
        array = array.astype(np.int64)
        unlabelled = int((array < 0).sum())
    else:
        raise ValueError(f"{given}: expected {n} integers or names")
    if unlabelled:
        raise ValueError(
            f"{given}: {unlabelled} of {n} rows have no label (negative, NaN or empty); expected a class for each: "
            "leave those rows out, or all labels"
        )
    return array


def _of_objects(array: "np.ndarray", given: str) -> "np.ndarray":
    """Return an array of Python objects as texts or numbers; missing values stay missing."""
    values = [None if value is None or value != value else value for value in array.tolist()]
    known = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in known):
        return np.array(["" if value is None else value for value in values], dtype=str)
    if all(isinstance(value, int | float | np.number) for value in known):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    odd = next(value for value in known if not isinstance(value, str))
    raise ValueError(f"{given}: expected integers or names; got {show(odd)}")


def is_one_hot(array: "np.ndarray") -> bool:
    """Return whether each row holds a single 1 and is 0 elsewhere."""
    if array.dtype.kind not in "fiub" or array.ndim != 2 or array.shape[1] < 2:
        return False
    return bool(((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all())

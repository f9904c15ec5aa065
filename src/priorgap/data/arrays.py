"""Arrays as people save them, as observations and labels: what is unambiguous is taken and said, the rest refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from priorgap.core.arguments import show
from priorgap.data.splits import Kind


@dataclass(frozen=True)
class Observations:
    """What an array holds.

    Attributes:
        x: uint8 [n, c, h, w], or float32 [n, d].
        kind: which of the two.
        done: what was made of the values, in words; "" where they stand as they were.
    """

    x: Tensor
    kind: Kind
    done: str = ""


@dataclass(frozen=True)
class Labels:
    """Classes of observations.

    Attributes:
        label: int64 [n], from 0 on without gaps.
        names: of the classes, as they were given.
    """

    label: Tensor
    names: list[str]


Span = tuple[float, float]


def span_of(arrays: "Iterable[np.ndarray]", kind: str) -> Span | None:
    """Return the least and the largest value of all parts of some data that are of one kind (floats, integers, ...).

    Parts of one kind have one scale. None where none of them holds numbers.
    """
    ends = [(a.min(), a.max()) for a in arrays if a.dtype.kind == kind and kind in "fiub" and a.size]
    return (float(min(low for low, _ in ends)), float(max(high for _, high in ends))) if ends else None


def observations(array: "np.ndarray", where: str, span: Span | None = None) -> Observations:
    """Read images [n, h, w], [n, h, w, c] or [n, c, h, w] (c = 1 or 3), or vectors [n, d].

    Args:
        array: bytes, integers up to 255 or 65,535, booleans, or floats in [0, 1], in [-1, 1], or whole in 0..255;
            vectors of any numbers.
        where: the array's name, for messages.
        span: of all parts of the data, by which the scale is told; None for this array's own.

    Raises:
        ValueError: one line with what was given, what was expected, and the likely remedy.
    """
    place = f"{where} is {array.dtype} {array.shape}"
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{place}: expected at least 1 row")
    if array.size == 0:
        raise ValueError(f"{place}: rows without values; expected images or vectors of at least 1")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{place}: expected numbers: uint8 or float images, or vectors [n, d]")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"{place}: holds {_not_finite(array)}; expected numbers: fill or leave out those rows"
        )
    if array.ndim == 2:
        return Observations(torch.from_numpy(array.astype(np.float32)), "float_vector")
    if array.ndim not in (3, 4):
        raise ValueError(
            f"{place}: expected images [n, h, w], [n, h, w, c] or [n, c, h, w], or vectors [n, d]"
        )
    levels, done = _levels(array, place, span or (float(array.min()), float(array.max())))
    return Observations(torch.from_numpy(_channels_first(levels, place)), "uint8_image", done)


def _not_finite(array: "np.ndarray") -> str:
    rows = int((~np.isfinite(array)).reshape(len(array), -1).any(1).sum())
    return f"NaN or infinity in {rows} of {len(array)} rows"


def _levels(array: "np.ndarray", place: str, ends: Span) -> "tuple[np.ndarray, str]":
    """Return images of 256 levels, and in words what was made of their values."""
    low, high = ends
    if array.dtype == np.uint8:
        return array, ""
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * 255, "booleans: taken as 0 and 255"
    span = f"{place}: values from {low:g} to {high:g}"
    if array.dtype.kind in "iu":
        if low >= 0 and high <= 255:
            return array.astype(np.uint8), "integers of 0..255"
        if low >= 0 and high <= 65535:
            return np.rint(array / 65535 * 255).astype(np.uint8), "16-bit integers: divided by 65,535"
        raise ValueError(f"{span}: expected integers of 0..255 or 0..65,535")
    if low >= 0 and high <= 1:
        return np.rint(array.astype(np.float64) * 255).astype(np.uint8), ""
    if -1 <= low < 0 and high <= 1:
        unit = (array.astype(np.float64) + 1) / 2
        return np.rint(unit * 255).astype(np.uint8), "floats in [-1, 1]: brought to [0, 1]"
    if low >= 0 and 100 < high <= 255:
        return np.rint(array).astype(np.uint8), "floats of 0..255: divided by 255"
    raise ValueError(
        f"{span}: expected float images in [0, 1] or [-1, 1], or 0..255: divide by the largest value that a pixel "
        "can have; observations that are no images go in as vectors [n, d]"
    )


def _channels_first(array: "np.ndarray", place: str) -> "np.ndarray":
    if array.ndim == 3:
        array = array[:, None]
    elif array.shape[1] not in (1, 3):
        if array.shape[3] not in (1, 3):
            alpha = (
                "; the fourth is transparency: lay the images on a background first"
                if 4 in array.shape[1::2]
                else ""
            )
            raise ValueError(f"{place}: expected 1 or 3 channels, second or last{alpha}")
        array = array.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(array)


def labels(
    arrays: "Mapping[str, np.ndarray]", n_rows: Mapping[str, int], where: str, called: Mapping[str, str]
) -> dict[str, Labels]:
    """Read the labels of all parts of some data together, so that a class has one number in all of them.

    Args:
        arrays: by part: integers, whole floats, booleans, texts, or one-hot rows; [n] or [n, 1].
        n_rows: the rows that each goes with.
        where: the file's name, for messages.
        called: the name of each array, for messages.

    Raises:
        ValueError: one line: another shape, or rows without a label.
    """
    flat = {name: _flat(array, n_rows[name], f"{where}: {called[name]}") for name, array in arrays.items()}
    known = sorted({value for values in flat.values() for value in values.tolist()}, key=_order)
    names = [str(value) for value in known]
    index = {value: number for number, value in enumerate(known)}
    return {
        name: Labels(torch.tensor([index[value] for value in values.tolist()], dtype=torch.int64), names)
        for name, values in flat.items()
    }


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _flat(array: "np.ndarray", n: int, place: str) -> "np.ndarray":
    """Return one label a row: an integer or a text."""
    given = f"{place} is {array.dtype} {array.shape}"
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and len(array) == n and _is_one_hot(array):
        array = array.argmax(1)
    if array.shape != (n,):
        raise ValueError(f"{given}: expected {n} labels, one for each row, or {n} one-hot rows")
    if array.dtype.kind == "f":
        missing = ~np.isfinite(array)
        if not missing.any() and not (array == np.rint(array)).all():
            raise ValueError(
                f"{given}: expected {n} integers or names; got {show(array[array != np.rint(array)][0])}"
            )
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


def _is_one_hot(array: "np.ndarray") -> bool:
    if array.dtype.kind not in "fiub" or array.shape[1] < 2:
        return False
    return bool(((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all())

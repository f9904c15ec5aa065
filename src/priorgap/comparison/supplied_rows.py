"""A user's rows as batches of arrays: from tensors, arrays, frames, lists, data sets, loaders or iterables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from priorgap.core.arguments import show
from priorgap.core.batched_calls import unusable
from priorgap.data.arrays import is_one_hot
from priorgap.data.own_arrays import role_of

_EXPECTED = "expected an array, a tensor, a frame, a list of rows, a Dataset, a DataLoader or batches"
# The number of items that are read from a data set at a time.
_ITEMS = 256


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows, with a label for each if they come with labels."""

    x: np.ndarray
    label: np.ndarray | None = None


@dataclass(eq=False)
class Rows:
    """Rows that can be read only once.

    Attributes:
        first: the first batch; all rows where they are in memory.
        rest: the other batches.
        in_memory: whether the first batch holds all rows.
        n: the number of rows, None where it is known only after reading.
        shuffled: whether the order differs in each pass, so that labels must come with the rows.
        notes: what was left out, in words.
    """

    first: Batch
    rest: Iterator[Batch] = field(default_factory=lambda: iter(()))
    in_memory: bool = True
    n: int | None = None
    shuffled: bool = False
    notes: tuple[str, ...] = ()

    def batches(self) -> Iterator[Batch]:
        """Return all batches."""
        return chain([self.first], self.rest)


def rows_of(data: object, name: str) -> Rows:
    """Return the rows of an argument.

    Raises:
        ValueError: the argument has no rows; one line that names it.
    """
    if hasattr(type(data), "toarray"):
        raise ValueError(f"{name}: a sparse matrix; expected a dense array: {name}.toarray()")
    if _is_pair(data):
        assert isinstance(data, tuple)
        return Rows(Batch(array_of(data[0], name), label_array(data[1], name)))
    if isinstance(data, TensorDataset):
        return _of_tensors(data, name)
    if isinstance(data, list | tuple) and data and isinstance(data[0], tuple):
        return _batched((_collated(part, name) for part in _parts(iter(data))), name, n=len(data))
    if _has_rows(data):
        return Rows(Batch(array_of(data, name)))
    if isinstance(data, Dataset) or (
        isinstance(data, Iterable) and not isinstance(data, str | bytes | Mapping)
    ):
        return _streamed(data, name)
    raise ValueError(f"{name}: got {_called(data)}; {_EXPECTED}")


def _has_rows(data: object) -> bool:
    """Whether the data are in memory as a whole."""
    return (
        isinstance(data, Tensor | np.ndarray | list | tuple)
        or _is_frame(data)
        or hasattr(type(data), "__array__")
    )


def _called(data: object) -> str:
    if isinstance(data, str | bytes):
        return f"the text {show(data)}: read the file first"
    if callable(data):
        return f"a function, {show(data)}: call it first"
    return "None" if data is None else type(data).__name__


def _is_frame(data: object) -> bool:
    return hasattr(type(data), "to_numpy")


def _is_pair(data: object) -> bool:
    """Whether the data are (x, y) as in Keras: arrays with equally many rows, and one label in each row of y."""
    if not isinstance(data, tuple) or len(data) != 2:
        return False
    x, y = data
    if not all(isinstance(one, Tensor | np.ndarray) or _is_frame(one) for one in data):
        return False
    return len(x.shape) > 1 and len(y.shape) >= 1 and len(x) == len(y) and _is_label(label_array(y, "labels"))


def array_of(value: object, name: str) -> np.ndarray:
    """Return values as an array.

    Raises:
        ValueError: the values are not dense numbers; one line.
    """
    if isinstance(value, Tensor):
        wrong = unusable(value)
        if wrong is not None:
            raise ValueError(f"{name}: a tensor {wrong}; expected a dense one of finite numbers")
        given = value.detach().cpu()
        found: np.ndarray = (given.float() if given.dtype == torch.bfloat16 else given).numpy()
        return found
    if _is_frame(value):
        return _of_frame(value, name)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{name}: an array with masked values; expected numbers: fill or leave out those rows"
        )
    if hasattr(value, "getbands") and hasattr(value, "mode"):
        return _of_picture(value, name)
    if isinstance(value, list | tuple) and value and not _is_plain(value[0]):
        rows = [array_of(one, name) for one in value]
        shapes = {row.shape for row in rows}
        if len(shapes) > 1:
            several = ", ".join(str(shape) for shape in sorted(shapes)[:3])
            raise ValueError(f"{name}: rows of different shapes: {several}; expected one shape")
        return np.stack(rows)
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: got {type(value).__name__}, rows of different lengths; {_EXPECTED}"
        ) from error


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float | str | bool | np.generic | list | tuple)


def _of_frame(frame: Any, name: str) -> np.ndarray:
    """Return a frame's columns as one array.

    Raises:
        ValueError: a column holds no numbers.
    """
    columns = getattr(frame, "columns", None)
    if columns is None:
        return np.asarray(frame.to_numpy())
    twice = sorted({str(column) for column in columns if list(columns).count(column) > 1})
    if twice:
        raise ValueError(
            f"{name}: a frame with several columns {show(', '.join(twice))}; expected one of each name"
        )
    arrays = [np.asarray(frame[column].to_numpy()) for column in columns]
    odd = [str(column) for column, a in zip(columns, arrays, strict=True) if a.dtype.kind not in "fiub"]
    if odd:
        raise ValueError(
            f"{name}: a frame whose columns {show(', '.join(odd))} hold no numbers; expected numbers in all: leave "
            "these columns out, or put numbers for them"
        )
    return np.stack(arrays, 1) if arrays else np.empty((len(frame), 0))


def _of_picture(picture: Any, name: str) -> np.ndarray:
    if picture.mode not in ("L", "RGB"):
        raise ValueError(
            f"{name}: a picture of mode {picture.mode}; expected grey (L) or RGB: picture.convert('RGB')"
        )
    return np.asarray(picture)


def label_array(value: object, name: str) -> np.ndarray:
    """Return labels as an array of numbers, or of Python objects where they are no numbers."""
    if isinstance(value, Tensor):
        return array_of(value, f"labels of {name}")
    if _is_frame(value):
        return np.asarray(value.to_numpy())  # type: ignore[attr-defined]
    if isinstance(value, list | tuple) and any(isinstance(one, Tensor | np.ndarray) for one in value):
        return np.stack([label_array(one, name) for one in value])
    if isinstance(value, list | tuple) and any(one is None for one in value):
        return np.array(value, dtype=object)
    return np.asarray(value)


def _is_label(array: np.ndarray) -> bool:
    """Whether values that come with rows can be the classes of these rows."""
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim == 2:
        return is_one_hot(flat)
    if flat.ndim != 1 or flat.dtype.kind not in "fiubSUO":
        return False
    return flat.dtype.kind != "f" or bool((flat == np.rint(flat))[np.isfinite(flat)].all())


def _of_tensors(data: TensorDataset, name: str) -> Rows:
    x, *others = data.tensors
    label = label_array(others[0], name) if others else None
    return _without_other(Rows(Batch(array_of(x, name), label)), name, len(others))


def _without_other(rows: Rows, name: str, n_others: int) -> Rows:
    """Return rows without accompanying values that are no labels, with a note on these."""
    first, notes = rows.first, []
    keep = first.label is not None and _is_label(first.label)
    if first.label is not None and not keep:
        notes.append(f"{name}: the second item of each row is no class and was left out")
    if n_others > 1:
        notes.append(f"{name}: items of a row after the second were left out")
    if keep:
        rows.notes = tuple(notes)
        return rows
    bare = (Batch(batch.x) for batch in rows.rest)
    return Rows(Batch(first.x), bare, rows.in_memory, rows.n, rows.shuffled, tuple(notes))


def _streamed(data: Any, name: str) -> Rows:
    """Return the batches of a data set, a loader, or an iterable of batches."""
    if not isinstance(data, DataLoader | IterableDataset) and _has_items(data):
        n = len(data)
        items = (data[i] for i in range(n))
        return _batched((_collated(part, name) for part in _parts(items)), name, n=n)
    if isinstance(data, IterableDataset):
        return _batched((_collated(part, name) for part in _parts(iter(data))), name)
    shuffled = isinstance(data, DataLoader) and isinstance(data.sampler, RandomSampler)
    found = _batched((_batch(one, name) for one in data), name, shuffled=shuffled)
    shape = found.first.x.shape
    if len(shape) == 3 and shape[0] in (1, 3):
        raise ValueError(
            f"{name}: gives arrays of shape {shape}, one image each or a batch of {shape[0]}; expected batches of "
            "more rows, or list(...) of single rows"
        )
    return found


def _has_items(data: object) -> bool:
    """Whether rows can be read by their number, as from a Dataset of PyTorch or of Hugging Face."""
    return isinstance(data, Dataset) or (
        hasattr(type(data), "__getitem__") and hasattr(type(data), "__len__")
    )


def _parts(items: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(items, _ITEMS)):
        yield part


def _batched(
    batches: Iterator[tuple[Batch, int]], name: str, *, n: int | None = None, shuffled: bool = False
) -> Rows:
    first = next(batches, None)
    if first is None:
        raise ValueError(f"{name}: no rows; expected at least 1")
    batch, n_others = first
    rest = (one for one, _ in batches)
    return _without_other(Rows(batch, rest, False, n, shuffled), name, n_others)


def _collated(items: Sequence[Any], name: str) -> tuple[Batch, int]:
    """Return rows that were read one by one as a batch, and the number of other items that each has."""
    if isinstance(items[0], Mapping):
        pairs = [_of_mapping(item, name) for item in items]
    else:
        pairs = [tuple(item) if isinstance(item, tuple | list) else (item,) for item in items]
    x = array_of([pair[0] for pair in pairs], name)
    if len(pairs[0]) == 1:
        return Batch(x), 0
    labels = [one.item() if isinstance(one, Tensor) and one.ndim == 0 else one for _, one, *_ in pairs]
    return Batch(x, label_array(labels, name)), len(pairs[0]) - 1


def _batch(given: Any, name: str) -> tuple[Batch, int]:
    """Return a loader's batch, x or (x, label), and the number of items that accompany x."""
    if isinstance(given, Mapping):
        given = _of_mapping(given, name)
    if not isinstance(given, tuple | list):
        return Batch(array_of(given, name)), 0
    if not given:
        raise ValueError(f"{name}: an empty batch; expected x or (x, label)")
    x, *others = given
    if not others:
        return Batch(array_of(x, name)), 0
    label = label_array(others[0], name)
    if label.ndim == 0:
        raise ValueError(f"{name}: gave rows one by one; expected batches of rows, or a list of all rows")
    return Batch(array_of(x, name), label), len(others)


def _of_mapping(given: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    """Return (x,) or (x, label) from a batch or row with named entries."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        role = role_of(str(key))
        if role is not None:
            found.setdefault(role[0], value)
    if "x" not in found:
        raise ValueError(
            f"{name}: entries {show(', '.join(map(str, given)))}; expected one of x, data, image, images, inputs"
        )
    return (found["x"], found["y"]) if "y" in found else (found["x"],)

"""Arrays in HDF5 files, MATLAB's of version 7.3 among them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.files.columns import Choice
from priorgap.data.files.variables import Variable, roles_of
from priorgap.data.own_arrays import OwnArrays
from priorgap.data.splits import DataCorrupt

if TYPE_CHECKING:
    import h5py

# The bytes of a 64-bit float; larger floats are converted to it.
_DOUBLE = 8
# Groups that MATLAB writes for its own use, beside the variables.
_MATLABS_OWN = ("#refs#", "#subsystem#")


def read_hdf5(path: Path, choice: Choice) -> OwnArrays:
    """Return the arrays of an HDF5 file; no link to another file is followed.

    Raises:
        DataCorrupt: it is no HDF5 file, or damaged.
        ValueError: h5py is not installed, or the file lacks plain arrays or the chosen ones; one line.
    """
    place = f"data.path={path}"
    with opened(path, place) as file:
        variables = [_variable(name, node) for name, node in _datasets(file)]
        xs, ys = roles_of(variables, choice, place)
        arrays = {name: _array(file[name], f"{place}: {name}") for name in (*xs.values(), *ys.values())}
    return OwnArrays(arrays, xs, ys, {"arrays": sorted(one.name for one in variables)})


@contextmanager
def opened(path: Path, place: str) -> "Iterator[h5py.File]":
    """Open an HDF5 file for reading.

    Raises:
        DataCorrupt: it is no HDF5 file, or cannot be read.
        ValueError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ValueError(
            f"{place}: h5py is not installed; expected the extra files: pip install 'priorgap[files]'"
        ) from error

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise DataCorrupt(f"{place}: no HDF5 file, or a damaged one ({show(error)})") from error


def _datasets(group: Any) -> "list[tuple[str, Any]]":
    """Return all data sets (nodes that are no groups) with their names; links are not followed."""
    import h5py

    found: list[tuple[str, Any]] = []

    def note(name: str | bytes, node: Any) -> None:
        # h5py gives names that are no UTF-8 as bytes; a user cannot type these.
        if (
            isinstance(name, str)
            and isinstance(node, h5py.Dataset)
            and name.partition("/")[0] not in _MATLABS_OWN
        ):
            found.append((name, node))

    group.visititems(note)
    return found


def _variable(name: str, node: Any) -> Variable:
    """Return the file's description of a data set."""
    shape = tuple(node.shape or ())
    return Variable(name, _kind(node), shape, bytes_of(node), fault_of(node))


def type_of(node: Any) -> "np.dtype[Any] | None":
    """Return the type of a data set's values; None where NumPy has no such type."""
    try:
        found: np.dtype[Any] = node.dtype
    except (TypeError, ValueError):
        return None
    return found


def bytes_of(node: Any) -> int:
    """Return the bytes that a data set takes in memory."""
    kind = type_of(node)
    return 0 if kind is None else math.prod(node.shape or ()) * kind.itemsize


def _kind(node: Any) -> str:
    kind = type_of(node)
    if kind is None:
        return "another type"
    if _is_text(node):
        return "text"
    return "rows of fields" if kind.names else str(kind)


def _is_text(node: Any) -> bool:
    import h5py

    return h5py.check_string_dtype(node.dtype) is not None


def fault_of(node: Any) -> str:
    """Return why a data set is no plain array, with the remedy; "" for a plain one."""
    import h5py

    if node.shape is None:
        return "empty"
    if type_of(node) is None:
        return "of a type that is no number; expected numbers"
    if node.is_virtual or node.external is not None:
        return "kept in other files; expected an array within this one"
    if h5py.check_ref_dtype(node.dtype) is not None:
        return "an array of references; expected numbers"
    if node.dtype.names:
        return "a table of rows with fields; expected numbers: write it as .parquet or .csv"
    if node.dtype.kind in "fiub" or _is_text(node):
        return ""
    return f"of type {node.dtype}; expected numbers"


def _array(node: Any, where: str) -> np.ndarray:
    """Return a data set as an array in this machine's byte order; texts stay texts.

    Raises:
        DataCorrupt: it cannot be read.
    """
    try:
        if _is_text(node):
            return np.asarray(node.asstr(errors="replace")[()]).astype(str)
        found = np.asarray(node[()])
    except (OSError, ValueError) as error:
        raise DataCorrupt(f"{where} cannot be read ({show(error)})") from error
    if found.dtype.kind == "f" and found.dtype.itemsize > _DOUBLE:
        with np.errstate(over="ignore"):
            # Values beyond float64's range become infinite here, and are refused later.
            found = found.astype(np.float64)
    return found.astype(found.dtype.newbyteorder("="), copy=False)

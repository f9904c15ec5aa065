"""Arrays in MATLAB files: versions 4 to 7 are read by SciPy, version 7.3 (which is HDF5) by h5py."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.files.columns import Choice
from priorgap.data.files.hdf5 import bytes_of, fault_of, opened, type_of
from priorgap.data.files.matlab_tags import Complex, check_tags
from priorgap.data.files.variables import Variable, roles_of
from priorgap.data.own_arrays import OwnArrays
from priorgap.data.splits import DataCorrupt

_SIZES = {
    "double": 8, "single": 4, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8,
    "uint64": 8, "logical": 1, "char": 4,
}  # fmt: skip
_HDF5 = (b"MATLAB 7.3", b"\x89HDF")


def read_mat(path: Path, choice: Choice) -> OwnArrays:
    """Return the arrays of a MATLAB file; structs, cells, functions and objects are never constructed.

    Raises:
        DataCorrupt: it is no MATLAB file, or damaged.
        ValueError: the file lacks plain arrays or the chosen ones, or rows may be the last axis and no label decides
            it; one line.
    """
    place = f"data.path={path}"
    with path.open("rb") as file:
        begin = file.read(16)
    if begin.startswith(_HDF5):
        variables, xs, ys, arrays = _of_hdf5(path, choice, place)
    else:
        variables, xs, ys, arrays = _of_scipy(path, choice, place)
    done = []
    for part, name in ys.items():
        arrays[name] = _flat(arrays[name])
        if _label_tells(arrays[xs[part]], arrays[name]):
            arrays[xs[part]] = np.moveaxis(arrays[xs[part]], -1, 0)
            done.append("rows came last, as the labels tell")
    for name in xs.values():
        array = arrays[name]
        if _channels_tell(array):
            arrays[name] = np.moveaxis(array, -1, 0)
            done.append("rows came last, as the colours tell")
        elif not ys and array.ndim == 3 and array.shape[0] == array.shape[1] != array.shape[2]:
            raise ValueError(
                f"{place}: {name} is {array.dtype} {array.shape}: rows seem to come last; expected them first: "
                f"{name} = permute({name}, [3 1 2])"
            )
    facts = {"arrays": sorted(one.name for one in variables)}
    return OwnArrays(arrays, xs, ys, facts, tuple(dict.fromkeys(done)))


_Found = tuple[list[Variable], dict[str, str], dict[str, str], dict[str, np.ndarray]]


def _of_scipy(path: Path, choice: Choice, place: str) -> _Found:
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import matfile_version

    try:
        variables = [_variable(*one) for one in whosmat(path)]
    except Exception as error:
        # A damaged file can make SciPy raise any exception.
        raise DataCorrupt(f"{place}: no MATLAB file, or a damaged one ({show(error)})") from error
    xs, ys = roles_of(variables, choice, place)
    names = [*xs.values(), *ys.values()]
    try:
        if matfile_version(path)[0] > 0:
            check_tags(path, names)
        with warnings.catch_warnings():
            # When SciPy converts to MATLAB's types it drops imaginary parts with only a warning; here that is an
            # error.
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            found = loadmat(path, variable_names=names, mat_dtype=True)
        arrays = {name: _native(np.asarray(found[name])) for name in names}
    except (Complex, np.exceptions.ComplexWarning) as error:
        raise ValueError(
            f"{place}: {' or '.join(names)} is complex; expected real numbers: abs({names[0]}), or both parts"
        ) from error
    except Exception as error:
        raise DataCorrupt(f"{place}: a damaged MATLAB file ({show(error)})") from error
    return variables, xs, ys, arrays


def _native(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _variable(name: str, shape: tuple[int, ...], kind: str) -> Variable:
    """Return the file's description of a variable."""
    return Variable(name, kind, tuple(shape), math.prod(shape) * _SIZES.get(kind, 8), _fault(name, kind))


def _fault(name: str, kind: str) -> str:
    """Return why a variable is no plain array, with the remedy; "" for a plain one."""
    if kind in _SIZES:
        return ""
    remedies = {
        "struct": f"save('FILE.mat', '-struct', '{name}') writes its fields as variables",
        "cell": f"{name} = cat(1, {name}{{:}}) where all cells are alike",
        "sparse": f"{name} = full({name})",
        "table": f"{name} = table2array({name})",
    }
    article = "an" if kind[:1] in "aeiou" else "a"
    remedy = f": {remedies[kind]}" if kind in remedies else ""
    return f"{article} {kind}; expected an array of numbers{remedy}"


def _of_hdf5(path: Path, choice: Choice, place: str) -> _Found:
    with opened(path, place) as file:
        variables = []
        for name in file:
            link = file.get(name, getlink=True)
            if name.startswith("#") or type(link).__name__ != "HardLink":
                continue
            variables.append(_of_node(name, file[name]))
        xs, ys = roles_of(variables, choice, place)
        arrays = {name: _array(file[name]) for name in (*xs.values(), *ys.values())}
    return variables, xs, ys, arrays


def _class(node: Any) -> str:
    given = node.attrs.get("MATLAB_class", b"")
    return given.decode("ascii", "replace") if isinstance(given, bytes) else str(given)


def _of_node(name: str, node: Any) -> Variable:
    """Return the file's description of a variable in a file of version 7.3."""
    kind = "sparse" if "MATLAB_sparse" in node.attrs else _class(node)
    shape = getattr(node, "shape", None)
    if shape is None or "MATLAB_empty" in node.attrs:
        kind = kind if kind and kind not in _SIZES else ("struct" if shape is None else "empty")
        return Variable(name, kind, (), 0, _fault(name, kind))
    fault = (_fault(name, kind) if kind else "") or fault_of(node)
    kind = kind or str(type_of(node))
    return Variable(name, kind, tuple(reversed(shape)), bytes_of(node), fault)


def _array(node: Any) -> np.ndarray:
    """Return an array with its axes in MATLAB's order, and texts as one text for each row."""
    found = _native(np.asarray(node[()]))
    kind = _class(node)
    found = found.T if kind else found
    if kind == "char":
        rows = np.atleast_2d(found)
        return np.array(["".join(map(chr, row)).rstrip() for row in rows.tolist()])
    return found.astype(bool) if kind == "logical" else found


def _flat(label: np.ndarray) -> np.ndarray:
    """Return labels that are a row or a column as a one-dimensional array."""
    if label.ndim == 2 and 1 in label.shape:
        label = label.reshape(-1)
    return np.char.rstrip(label) if label.dtype.kind == "U" else label


def _label_tells(array: np.ndarray, label: np.ndarray) -> bool:
    """Whether the number of labels equals the length of the last axis, and not that of the first."""
    return array.ndim > 1 and label.ndim > 0 and array.shape[0] != len(label) == array.shape[-1]


def _channels_tell(array: np.ndarray) -> bool:
    """Whether the axes can only be [h, w, c, n]."""
    if array.ndim != 4:
        return False
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    return array.shape[2] in (1, 3) and not first and not last

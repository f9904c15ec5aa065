"""A user's own arrays: an .npz file, or one .npy array."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from priorgap.core.arguments import AtLeast
from priorgap.core.artifacts import file_digest
from priorgap.data.own_arrays import OwnArrays, are_parts, by_role, dataset_of
from priorgap.data.splits import DataCorrupt, Dataset, DataUnavailable, check_fractions


@dataclass(frozen=True)
class NpzFile:
    """Arrays in an .npz file: `x` (and `y`), or `x_train`, `x_test` (and `y_...`, `x_validation`); or one .npy array.

    Other common names are known: data, images and labels, train_images, val_labels (`own_arrays.role_of`).
    `arrays.py` lists the values that are read.

    Attributes:
        path: the file.
        validation_fraction: the part of the training rows kept for validation where `x_validation` is absent.
        test_fraction: the part of all rows kept for the test where `x_test` is absent.
        split_seed: the seed of the split.
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

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return (self.path,)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: there is no such file.
            DataCorrupt: it cannot be read without unpickling.
            ValueError: the arrays are not as described above; one line.
        """
        own = read_npz(self.path)
        return dataset_of(self, own, file_digest(self.path))


def read_npz(path: Path) -> OwnArrays:
    """Return the arrays of an .npz file, or the single one of an .npy file.

    Raises:
        DataUnavailable, DataCorrupt, ValueError: as `NpzFile.load`.
    """
    place = f"data.path={path}"
    arrays = arrays_of(path, place)
    # numpy calls an array arr_0 that was saved without a name.
    alone = list(arrays) == ["arr_0"]
    xs, ys = ({"": "arr_0"}, {}) if alone else by_role(arrays, place)
    if not are_parts(xs):
        raise ValueError(
            f"{place}: holds {', '.join(sorted(arrays))}; expected x, or x_train and x_test (and y, or "
            "y_train, y_test)"
        )
    return OwnArrays(arrays, xs, ys, {"arrays": sorted(arrays)})


def arrays_of(path: Path, place: str) -> "dict[str, np.ndarray]":
    """Return a file's arrays by name; the array of an .npy file is called x.

    Raises:
        DataUnavailable, DataCorrupt, ValueError: as `NpzFile.load`.
    """
    if not path.is_file():
        raise DataUnavailable(f"{place}: no such file")
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            return {"x": opened}
        with opened:
            found = {name: opened[name] for name in opened.files}
    except Exception as error:
        raise DataCorrupt(f"{place}: no .npz file of plain arrays") from error
    if {"indices", "indptr", "shape", "data"} <= found.keys():
        raise ValueError(
            f"{place}: a sparse matrix; expected a dense array: np.savez(FILE, x=matrix.toarray())"
        )
    return found

"""A data source that reads a user's own rows from a file of another tool: text, Parquet, MATLAB, HDF5, NumPy."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from priorgap.core.arguments import AtLeast
from priorgap.core.artifacts import file_digest
from priorgap.data.files.columns import Choice
from priorgap.data.files.contents import check_beginning, format_of
from priorgap.data.files.hdf5 import read_hdf5
from priorgap.data.files.matlab import read_mat
from priorgap.data.files.parquet_table import read_parquet
from priorgap.data.files.text_form import Decimal
from priorgap.data.files.text_table import read_text
from priorgap.data.npz_file import read_npz
from priorgap.data.own_arrays import OwnArrays, dataset_of
from priorgap.data.splits import Dataset, check_fractions

# The name in the random stream of the split. It is the same for every file format, so that the same rows are split
# alike.
DRAWN_AS = "npz"
Name = str | int


@dataclass(frozen=True)
class DataFile:
    """Rows in a file whose format is told by the end of its name.

    Tables (.csv, .tsv, .txt, .parquet): each column of numbers is a value of a vector; a column of lists in a Parquet
    file is an array. Files of named arrays (.mat, .h5, .npz) and .npy: `x` (and `y`), or `x_train`, `x_test`, as
    `NpzFile` has them; they are images where the array has the shape of images. `arrays.py` lists the values that are
    read.

    Attributes:
        path: the file.
        x: the columns or the array to take; None: all columns that are no label, or the array with a known name.
        target: the column or array of labels; None: the one called y, label or target.
        drop: columns to leave out.
        header: whether the first line of a text file names the columns; None: decided by its values.
        decimal: the decimal separator of a text file; None: decided by the values.
        series: whether rows of an array are series [steps, channels]; images [h, w] where not.
        validation_fraction: the part of the training rows kept for validation where the file has no such part.
        test_fraction: the part of all rows kept for the test where the file has no such part.
        split_seed: the seed of the split.
    """

    path: Path
    name: str = "file"
    x: Name | tuple[Name, ...] | None = None
    target: Name | None = None
    drop: Name | tuple[Name, ...] = ()
    header: bool | None = None
    decimal: Decimal | None = None
    series: bool = False
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(os.path.expanduser(self.path)))
        for key in ("x", "drop"):
            value = getattr(self, key)
            object.__setattr__(self, key, tuple(value) if isinstance(value, list) else value)
        check_fractions(self.validation_fraction, self.test_fraction)
        self._check()

    @property
    def choice(self) -> Choice:
        """The user's choice of columns or arrays."""
        x = None if self.x is None else _names(self.x)
        return Choice(x, None if self.target is None else str(self.target), _names(self.drop))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return (self.path,)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: there is no such file.
            DataCorrupt: its content is of another format than its name says, or damaged.
            ValueError: columns or arrays are not as described above; one line.
        """
        return dataset_of(self, self.read(), file_digest(self.path), drawn_as=DRAWN_AS, series=self.series)

    def read(self) -> OwnArrays:
        """Return observations and labels as they stand in the file; the errors are those of `load`."""
        file_format = format_of(self.path)
        check_beginning(self.path, file_format)
        match file_format:
            case "text":
                return read_text(self.path, self.choice, self.header, self.decimal)
            case "parquet":
                return read_parquet(self.path, self.choice)
            case "mat":
                return read_mat(self.path, self.choice)
            case "hdf5":
                return read_hdf5(self.path, self.choice)
            case "npz":
                return read_npz(self.path)

    def _check(self) -> None:
        """Check what can be checked from the configuration alone.

        Raises:
            ValueError: one line.
        """
        file_format, choice = format_of(self.path), self.choice
        end = self.path.suffix.lower()
        for key, formats in (("header", ("text",)), ("decimal", ("text",)), ("drop", ("text", "parquet"))):
            if getattr(self, key) not in (None, ()) and file_format not in formats:
                raise ValueError(f"data.{key}: a key of tables; a file {end} has none of it")
        for key in ("x", "target"):
            if getattr(self, key) is not None and file_format == "npz":
                raise ValueError(
                    f"data.{key}: names in a file {end} are x and y, or x_train, x_test and y_..."
                )
        if self.x is not None and not choice.x:
            raise ValueError("data.x=[]: expected at least one name")
        target = () if choice.target is None else (choice.target,)
        for key, names, other, others in (
            ("x", choice.x or (), "drop", choice.drop),
            ("target", target, "drop", choice.drop),
            ("target", target, "x", choice.x or ()),
        ):
            for name in names:
                if name in others:
                    raise ValueError(
                        f"data.{key}={name}: stands in data.{other} too; expected one of the two"
                    )


def _names(given: Name | tuple[Name, ...]) -> tuple[str, ...]:
    return tuple(map(str, given)) if isinstance(given, tuple) else (str(given),)

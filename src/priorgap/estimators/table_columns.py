"""Columns of two tables as numbers, in the form that scores and classifiers need."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

Array = npt.NDArray[Any]
_N_BINS = 10


@dataclass(frozen=True, eq=False)
class TableColumn:
    """One column of both tables: floats with NaN, or category numbers with -1 for missing values."""

    name: str
    numeric: bool
    real: Array
    made: Array

    @property
    def bins(self) -> tuple[Array, Array]:
        """The category numbers of both, none below 0; numeric values in ten bins of each table's own range."""
        if not self.numeric:
            return self.real + 1, self.made + 1
        return _binned(self.real), _binned(self.made)

    @property
    def constant(self) -> bool:
        """Whether the column has at most one distinct value in either table."""
        return any(len(np.unique(x[~np.isnan(x)])) < 2 for x in (self.real, self.made))


def table_columns(real: pd.DataFrame, made: pd.DataFrame, numeric: Collection[str]) -> Iterator[TableColumn]:
    """Yield the columns of both tables as numbers.

    Raises:
        ValueError: the tables cannot be compared.

    Example:
        >>> table = pd.DataFrame({"age": [30.0, 40.0], "city": ["a", "b"]})
        >>> [(one.name, one.numeric) for one in table_columns(table, table, ["age"])]
        [('age', True), ('city', False)]
    """
    if list(real.columns) != list(made.columns):
        raise ValueError(
            f"columns {list(made.columns)} and {list(real.columns)}: expected the same in both tables"
        )
    unknown = set(numeric) - set(real.columns)
    if unknown:
        raise ValueError(f"numeric has {sorted(unknown)}: expected names of columns")
    if not len(real) or not len(made) or not len(real.columns):
        raise ValueError("a table has no rows or no columns: expected at least one of each")
    for name in real.columns:
        if name in numeric:
            yield TableColumn(str(name), True, *_as_floats(real[name], made[name]))
        else:
            both = pd.concat([real[name], made[name]], ignore_index=True).astype(object)
            codes, _ = pd.factorize(both)
            yield TableColumn(str(name), False, codes[: len(real)], codes[len(real) :])


def encoded(
    real: pd.DataFrame, made: pd.DataFrame, *, numeric: Collection[str]
) -> tuple[Float[Tensor, "n D"], Float[Tensor, "m D"], tuple[bool, ...]]:
    """Return both tables as numbers with the same columns, and which columns hold categories.

    Missing values are NaN; categories are numbered from 0, the most frequent of both tables first.

    Raises:
        ValueError: as `column_shapes`.

    Example:
        >>> table = pd.DataFrame({"age": [30.0, 40.0], "city": ["a", "b"]})
        >>> real, _, categorical = encoded(table, table, numeric=["age"])
        >>> real.tolist(), categorical
        ([[30.0, 0.0], [40.0, 1.0]], (False, True))
    """
    sides: tuple[list[Array], list[Array]] = ([], [])
    categorical = []
    for column in table_columns(real, made, numeric):
        categorical.append(not column.numeric)
        values = [column.real, column.made]
        if not column.numeric:
            both = np.concatenate(values)
            rank = np.argsort(np.argsort(-np.bincount(both + 1)[1:], kind="stable"), kind="stable")
            values = [np.where(x < 0, np.nan, np.append(rank, 0)[x]) for x in values]
        for side, x in zip(sides, values, strict=True):
            side.append(x)
    first, second = (torch.from_numpy(np.stack(side, 1).astype("float64")) for side in sides)
    return first, second, tuple(categorical)


def _as_floats(real: "pd.Series[Any]", made: "pd.Series[Any]") -> tuple[Array, Array]:
    if not pd.api.types.is_datetime64_any_dtype(real):
        return real.astype("float64").to_numpy(copy=True), made.astype("float64").to_numpy(copy=True)
    # Nanoseconds since 1970 exceed a float's precision; nanoseconds since the first date do not.
    start = real.min()
    first, second = (((x - start) / pd.Timedelta(1)).to_numpy("float64") for x in (real, made))
    return first, second


def _binned(x: Array) -> Array:
    """Return each number's bin as `numpy.digitize` counts; the last also holds the maximum and missing values."""
    there = x[~np.isnan(x)]
    return (
        np.digitize(x, np.histogram_bin_edges(there, _N_BINS)) if len(there) else np.zeros(len(x), np.int64)
    )

"""The layout of a table's columns in a vector x, and the conversion of x back to the file's values."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["continuous", "integer", "categorical", "ordinal", "boolean", "datetime"]
# A category, or the value of a constant column; None means missing.
Value = str | int | float | bool | None
Resolution = Literal["D", "s", "ns"]

NUMERIC: tuple[Kind, ...] = ("continuous", "integer", "datetime")
_NANOSECONDS = 1e9
_DAY = 86_400
# A missing-indicator of at least this value means missing.
_HALF = 0.5


@dataclass(frozen=True)
class Column:
    """A column of a table, with statistics of the training rows.

    A numeric column takes one value of x, standardised over the training rows, and a second one if training rows have
    missing values: 1 where missing (the first value is then 0), else 0. Other columns take one value for each
    category: 1 for the row's category, 0 for the others. A constant column has no place in x.

    Attributes:
        name: the name in the file.
        kind: the kind of its values.
        start: the position of its first value in x.
        stop: the position in x after its last value.
        missing: the position of the missing-indicator in x; None without one.
        categories: for a column that is not numeric, its categories in the order of their positions; None is the
            missing value.
        mean: for a numeric column the mean over the training rows; for datetimes in seconds since 1970.
        scale: the same for the standard deviation.
        decimals: the number of decimals in the file; None: any number.
        resolution: for datetimes: whole days, whole seconds, or finer.
        constant: whether it holds one value, `value`, and has no place in x.
        value: the value of a constant column.
    """

    name: str
    kind: Kind
    start: int
    stop: int
    missing: int | None = None
    categories: tuple[Value, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    decimals: int | None = None
    resolution: Resolution | None = None
    constant: bool = False
    value: Value = None

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers or points in time."""
        return self.kind in NUMERIC

    @property
    def places(self) -> slice:
        """The positions of its values in x, without the missing-indicator."""
        return slice(self.start, self.stop)

    def numbers(self, x: np.ndarray) -> np.ndarray:
        """Return a numeric column's values, float64 [n], on the scale of `mean`; NaN where missing."""
        if self.constant:
            return np.full(len(x), self.mean)
        found = x[:, self.start].astype(np.float64) * self.scale + self.mean
        if self.missing is not None:
            found[x[:, self.missing] >= _HALF] = np.nan
        if self.kind == "integer":
            return np.rint(found)
        return found if self.decimals is None else np.round(found, self.decimals)

    def chosen(self, x: np.ndarray) -> np.ndarray:
        """Return the index of each row's category, int64 [n]; -1 where no category is marked."""
        block = x[:, self.places]
        found: np.ndarray = block.argmax(1)
        return np.where(block.max(1) > 0, found, -1)

    def values(self, x: np.ndarray) -> np.ndarray:
        """Return a column [n] of the file's values.

        float64 (integers without missing ones int64), datetime64[ns], or objects: texts, integers or truth values,
        None where missing.
        """
        if not self.numeric:
            known = np.empty(len(self.categories) + 1, dtype=object)
            known[: len(self.categories)] = self.categories
            constant = np.full(len(x), self.value, dtype=object)
            return constant if self.constant else known[self.chosen(x)]
        numbers = self.numbers(x)
        if self.kind == "datetime":
            return _times(numbers, self.resolution)
        whole = self.kind == "integer" and not np.isnan(numbers).any()
        return numbers.astype(np.int64) if whole else numbers


def _times(seconds: np.ndarray, resolution: Resolution | None) -> np.ndarray:
    """Return seconds since 1970 as points in time, rounded to the file's resolution."""
    step = {"D": _DAY, "s": 1}.get(resolution or "")
    if step is not None:
        seconds = np.rint(seconds / step) * step
    whole = np.floor(seconds)
    known = np.isfinite(seconds)
    found = np.full(len(seconds), np.datetime64("NaT"), dtype="datetime64[ns]")
    found[known] = whole[known].astype("datetime64[s]").astype("datetime64[ns]")
    rest = ((seconds - whole)[known] * _NANOSECONDS).astype(np.int64)
    found[known] += rest.astype("timedelta64[ns]")
    return found


@dataclass(frozen=True)
class TableLayout:
    """The layout of a table's columns in x [n, width].

    Attributes:
        columns: in the file's order, without those that were left out.
        target: the name of the column that gives the labels; None: there are no labels.
    """

    columns: tuple[Column, ...]
    target: str | None = None

    @property
    def width(self) -> int:
        """The number of values of x."""
        ends = [end for c in self.columns for end in (c.stop, 0 if c.missing is None else c.missing + 1)]
        return max(ends, default=0)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def coded(self) -> tuple[Column, ...]:
        """The columns that have a position in x."""
        return tuple(column for column in self.columns if not column.constant)

    def places(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return the positions of some columns' values in x, missing-indicators included, in x's order."""
        wanted = set(names)
        found: list[int] = []
        for column in self.coded:
            if column.name in wanted:
                found += range(column.start, column.stop)
                found += () if column.missing is None else (column.missing,)
        return tuple(sorted(found))

    def part(self, names: Iterable[str]) -> "TableLayout":
        """Return the layout of some columns only, in an x from which the other columns are removed."""
        wanted = set(names)
        places = self.places(wanted)
        kept = []
        for column in self.columns:
            if column.name not in wanted:
                continue
            start = bisect_left(places, column.start)
            stop = start + column.stop - column.start
            missing = None if column.missing is None else bisect_left(places, column.missing)
            kept.append(replace(column, start=start, stop=stop, missing=missing))
        return TableLayout(tuple(kept), self.target if self.target in wanted else None)

    def decoded(self, x: Any) -> list[np.ndarray]:
        """Return the columns of the file's values for rows x [n, width], a tensor or an array.

        Raises:
            ValueError: x has another width.
        """
        rows = np.asarray(x)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"x has shape {rows.shape}: expected (n, {self.width}), rows of this table")
        return [column.values(rows) for column in self.columns]

    def frame(self, x: Any) -> "pd.DataFrame":
        """Return rows x [n, width] as a table in the file's units.

        Numbers are float64 or int64 (float64 with NaN where integers are missing), datetimes datetime64, categories
        texts, integers or truth values as in the file with None where missing; constant columns are restored.

        Raises:
            ValueError: x has another width.
        """
        import pandas as pd

        columns = zip(self.names, self.decoded(x), strict=True)
        return pd.DataFrame({name: _series(values) for name, values in columns})

    def json(self) -> dict[str, Any]:
        """Return the layout as plain data."""
        return {"target": self.target, "columns": [_plain(column) for column in self.columns]}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Self:
        """Return the layout that `json` wrote."""
        columns = []
        for one in kept["columns"]:
            given: dict[str, Any] = {**one, "categories": tuple(one.get("categories", ()))}
            columns.append(Column(**given))
        return cls(tuple(columns), kept["target"])

    def described(self) -> str:
        """Return the number of columns of each kind, in words."""
        counts: dict[str, int] = {}
        for column in self.columns:
            counts[column.kind] = counts.get(column.kind, 0) + 1
        kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items())
        constant = sum(column.constant for column in self.columns)
        more = f", {constant} of them constant" if constant else ""
        return f"{len(self.columns)} columns ({kinds}{more})"


def _series(values: np.ndarray) -> "pd.Series":
    import pandas as pd

    # pandas would give texts a dtype of its own, and turn None into NaN.
    return pd.Series(values, dtype=object) if values.dtype == object else pd.Series(values)


def _plain(column: Column) -> dict[str, Any]:
    """Return a column's fields without those at their defaults."""
    defaults = {field.name: field.default for field in fields(column)}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(column).items()
        if value != defaults[key] or type(value) is not type(defaults[key])
    }

"""Columns as a file has them: their kinds guessed from the values, and values converted to these kinds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from priorgap.core.arguments import show
from priorgap.tables.layout import Resolution
from priorgap.tables.schema import ColumnKind, ColumnSchema, Schema

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")
# 00123 is a name, while 0 and 0.5 are numbers.
_LEADING_ZERO = re.compile(r"[+-]?0\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?)?(Z|[+-]\d{2}:?\d{2})?")
_TRUTH = {"True": True, "False": False}
# With fewer rows, distinct values are no sign of an identifier.
_FEW = 20
# From this share of distinct values on, a column of texts, or of integers, counts as an identifier.
_UNIQUE_TEXTS = 0.95
_UNIQUE_INTEGERS = 0.99
# A column of integers with at most this many distinct values counts as categorical.
_TWO = 2
# With at most this share of texts and at least this many distinct numbers, a column counts as numeric with errors in
# it.
_FEW_TEXTS = 0.1
_MANY = 30
_MOST_DECIMALS = 6
_NANOSECONDS = 1e9
_DAY = 86_400


@dataclass(frozen=True, eq=False)
class RawColumn:
    """A column as a reader found it.

    Attributes:
        name: the name in the file.
        values: [n]: objects (texts, truth values or integers, None where missing), float64 with NaN, integers, or
            datetime64[ns] with NaT.
    """

    name: str
    values: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """Return which rows have no value."""
        kind = self.values.dtype.kind
        if kind == "O":
            return np.array([value is None for value in self.values], dtype=bool)
        if kind == "M":
            found: np.ndarray = np.isnat(self.values)
            return found
        return np.isnan(self.values) if kind == "f" else np.zeros(len(self.values), dtype=bool)

    @property
    def texts(self) -> bool:
        """Whether the values are texts."""
        known = self.values[~self.missing]
        return self.values.dtype.kind == "O" and all(isinstance(value, str) for value in known)


@dataclass(frozen=True, eq=False)
class TypedColumn:
    """A column's values, converted to the kind in its schema.

    Attributes:
        schema: the column's schema.
        values: [n]: float64 with NaN (datetimes in seconds since 1970), or objects, categories with None.
        decimals: the number of decimals; None: more than six.
        resolution: the resolution of datetimes.
    """

    schema: ColumnSchema
    values: np.ndarray
    decimals: int | None = None
    resolution: Resolution | None = None

    @property
    def missing(self) -> np.ndarray:
        """Return which rows have no value."""
        if self.values.dtype == object:
            return np.array([value is None for value in self.values], dtype=bool)
        found: np.ndarray = np.isnan(self.values)
        return found


def guessed(columns: Sequence[RawColumn], place: str, known: Schema | None = None) -> Schema:
    """Return the columns' schema: as given in `known`, else guessed from all values.

    - boolean: truth values, or texts that are all True or False.
    - datetime: points in time, or texts that are all dates as 2024-01-31 or 2024-01-31 12:00:00.
    - integer: whole numbers. With at most two distinct values the column is categorical; it is an identifier if at
    least 99% of them (of 20 rows or more) differ.
    - continuous: other numbers.
    - categorical: all other texts; also whole numbers if one begins with a zero (00123). The column is an identifier
    if at least 95% of them (of 20 rows or more) differ.

    No column is guessed to be ordinal, because a file does not state the order. Missing values are ignored.

    Raises:
        ValueError: a column of many different numbers holds a few texts, which may stand for missing values.
    """
    said = {column.name: column for column in (known.columns if known is not None else ())}
    return Schema(tuple(said.get(column.name) or _guess(column, place) for column in columns))


def _guess(column: RawColumn, place: str) -> ColumnSchema:
    known = column.values[~column.missing]
    kind = _kind(column, known)
    if kind == "categorical" and column.texts:
        _check_texts(column, known, place)
    if kind in ("integer", "categorical") and len(known) >= _FEW:
        n, limit = len(set(known.tolist())), _UNIQUE_INTEGERS if kind == "integer" else _UNIQUE_TEXTS
        if n >= limit * len(known):
            return ColumnSchema(column.name, "id", why=f"{n} different values in {len(known)} rows")
    if kind == "integer" and len(np.unique(known.astype(np.float64))) <= _TWO:
        kind = "categorical"
    return ColumnSchema(column.name, kind)


def _kind(column: RawColumn, known: np.ndarray) -> ColumnKind:
    if known.dtype.kind == "M":
        return "datetime"
    if known.dtype.kind in "fiu":
        whole = len(known) > 0 and bool((known == np.rint(known.astype(np.float64))).all())
        return "integer" if whole else "continuous"
    if all(isinstance(value, bool) for value in known) and len(known):
        return "boolean"
    if not column.texts or not len(known):
        return "categorical"
    if all(value in _TRUTH for value in known):
        return "boolean"
    if any(_LEADING_ZERO.fullmatch(value) for value in known):
        return "categorical"
    if all(_INTEGER.fullmatch(value) for value in known):
        return "integer"
    if all(_NUMBER.fullmatch(value) for value in known):
        return "continuous"
    return "datetime" if all(_DATE.fullmatch(value) for value in known) else "categorical"


def _check_texts(column: RawColumn, known: np.ndarray, place: str) -> None:
    """Refuse a few texts among many numbers.

    Raises:
        ValueError: one line with the first text and the remedy.
    """
    values = known.tolist()
    texts = [value for value in values if not _NUMBER.fullmatch(value)]
    numbers = {value for value in values if _NUMBER.fullmatch(value)}
    if not texts or len(texts) > _FEW_TEXTS * len(values) or len(numbers) < _MANY:
        return
    row = column.values.tolist().index(texts[0])
    raise ValueError(
        f"{place}: column {column.name} holds {show(texts[0])} in row {row + 1}, in all {len(texts)} texts among "
        f"{len(values)} values; expected numbers, and nothing where one is missing; or its kind in data.schema"
    )


def typed(column: RawColumn, schema: ColumnSchema, place: str) -> TypedColumn:
    """Return a column's values, converted to the kind in its schema.

    Raises:
        ValueError: a value is of another kind; one line that names it and its row.
    """
    if schema.kind == "datetime":
        seconds, resolution = _seconds(column, place)
        return TypedColumn(schema, seconds, resolution=resolution)
    if schema.kind in ("continuous", "integer"):
        numbers = _numbers(column, schema, place)
        return TypedColumn(schema, numbers, decimals=_decimals(numbers))
    return TypedColumn(schema, _categories(column, schema, place))


def _numbers(column: RawColumn, schema: ColumnSchema, place: str) -> np.ndarray:
    if column.values.dtype.kind == "M":
        raise _other(column, 0, "a number", place)
    found = np.full(len(column.values), np.nan)
    for i in np.flatnonzero(~column.missing).tolist():
        try:
            found[i] = float(column.values[i])
        except (TypeError, ValueError) as error:
            raise _other(column, i, "a number", place) from error
    odd = ~column.missing & ~np.isfinite(found)
    if odd.any():
        raise _other(column, int(odd.argmax()), "a finite number, or nothing where it is missing", place)
    if schema.kind == "integer":
        odd = ~column.missing & (found != np.rint(found))
        if odd.any():
            raise _other(column, int(odd.argmax()), "an integer", place)
    return found


def _decimals(numbers: np.ndarray) -> int | None:
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return None
    return next((k for k in range(_MOST_DECIMALS + 1) if np.array_equal(np.round(known, k), known)), None)


def _seconds(column: RawColumn, place: str) -> tuple[np.ndarray, Resolution]:
    import pandas as pd

    given: Any = column.values
    if given.dtype.kind not in "OM":
        raise _other(column, 0, "a date", place)
    times = pd.to_datetime(pd.Series(given), format="ISO8601", utc=True, errors="coerce")
    odd = times.isna().to_numpy() & ~column.missing
    if odd.any():
        raise _other(column, int(odd.argmax()), "a date as 2024-01-31", place)
    nanoseconds = times.dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    known = nanoseconds[~column.missing]
    seconds = np.where(column.missing, np.nan, nanoseconds / _NANOSECONDS)
    if (known % int(_NANOSECONDS) != 0).any():
        return seconds, "ns"
    return seconds, "s" if (known // int(_NANOSECONDS) % _DAY != 0).any() else "D"


def _categories(column: RawColumn, schema: ColumnSchema, place: str) -> np.ndarray:
    found = np.empty(len(column.values), dtype=object)
    allowed = set(schema.categories)
    for i in np.flatnonzero(~column.missing).tolist():
        value = column.values[i]
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, float) and value.is_integer():
            # A column of integers with missing values is read as floats.
            value = int(value)
        if schema.kind == "boolean":
            value = _TRUTH.get(value, value) if isinstance(value, str) else value
            if value not in (True, False):
                raise _other(column, i, "True or False", place)
            value = bool(value)
        if allowed and value not in allowed:
            raise _other(column, i, f"a category of its schema, {show(', '.join(map(str, allowed)))}", place)
        found[i] = value
    return found


def _other(column: RawColumn, row: int, expected: str, place: str) -> ValueError:
    value = column.values[row] if len(column.values) else None
    return ValueError(
        f"{place}: column {column.name} holds {show(value)} in row {row + 1}; expected {expected}"
    )

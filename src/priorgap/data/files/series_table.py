"""Tables of time series in text, Parquet and NumPy files: time, series and measurements of each row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.files.columns import INDEX, check_names, numbers_the_rows, quoted
from priorgap.data.files.contents import Format, check_beginning, check_size, format_of
from priorgap.data.files.parquet_table import columns_of, holds_numbers, numbers_of, opened, plain_of
from priorgap.data.files.series_keys import entities_of, times_of
from priorgap.data.files.text_form import Decimal, form_of
from priorgap.data.files.text_table import frame_of, line_of, mostly_numbers, whole_lines
from priorgap.data.files.text_table import numbers_of as text_numbers
from priorgap.data.npz_file import arrays_of
from priorgap.data.own_arrays import role_of

FORMATS: tuple[Format, ...] = ("text", "parquet", "npz")
_REMEDY = "data.values=[NAME,...] names the columns to take, or put numbers for its values, nothing for missing ones"


@dataclass(frozen=True)
class SeriesChoice:
    """The user's choice of columns in a table of series.

    Attributes:
        time: the name of the column of times; None: the rows are in order.
        entity: the name of the column that says which series a row belongs to; None: there is one series.
        values: the names of the columns of measurements; None: all others that hold numbers.
    """

    time: str | None = None
    entity: str | None = None
    values: tuple[str, ...] | None = None

    def asked(self) -> dict[str, tuple[str, ...]]:
        """Return the chosen names by configuration key."""
        time, entity = (() if name is None else (name,) for name in (self.time, self.entity))
        return {"time": time, "entity": entity, "values": self.values or ()}

    def wanted(self, names: Sequence[str], place: str) -> list[int]:
        """Return the positions of the chosen columns of measurements, or of all columns that may hold some.

        Raises:
            ValueError: no column has a chosen name, or several have it; one line.
        """
        check_names(names, self.asked(), place)
        if self.values is not None:
            return [names.index(name) for name in self.values]
        return [i for i, name in enumerate(names) if not name or name not in (self.time, self.entity)]


@dataclass(frozen=True, eq=False)
class SeriesTable:
    """Rows of series as a file holds them.

    Attributes:
        values: float64 [n, f]; NaN is a missing value.
        names: the names of the values' columns.
        time: [n], numbers or datetime64, none of them missing; None: the rows are in order.
        entity: [n], the series' names; None: there is one series.
        line: returns where a row is in the file, in words.
        done: what was left out or is unusual, in words.
    """

    values: np.ndarray
    names: tuple[str, ...]
    time: np.ndarray | None
    entity: np.ndarray | None
    line: Callable[[int], str]
    done: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class _Raw:
    """Columns as read from a file: measurements by name, times and series without conversion."""

    numbers: Mapping[str, np.ndarray]
    time: np.ndarray | None
    entity: np.ndarray | None
    line: Callable[[int], str]
    done: list[str]


def read_series_table(
    path: Path, choice: SeriesChoice, header: bool | None, decimal: Decimal | None
) -> SeriesTable:
    """Return a file's rows; missing measurements are kept as NaN.

    Args:
        path: the file, of one of the `FORMATS`.
        choice: the user's choice of columns.
        header: whether the first line of a text file names the columns; None: decided by its values.
        decimal: the decimal separator of a text file; None: decided by the values.

    Raises:
        DataUnavailable: there is no such file.
        DataCorrupt: its content is of another format than its name says, or damaged.
        ValueError: columns hold no numbers, times or names; one line.
    """
    place, file_format = f"data.path={path}", format_of(path)
    check_beginning(path, file_format)
    if file_format == "text":
        raw = _of_text(path, choice, header, decimal)
    elif file_format == "parquet":
        raw = _of_parquet(path, choice)
    else:
        raw = _of_arrays(path, choice)
    numbers = raw.numbers
    if not numbers or not len(next(iter(numbers.values()))):
        raise ValueError(f"{place}: no numbers are left; expected rows with at least one column of them")
    values = np.column_stack([np.asarray(column, np.float64) for column in numbers.values()])
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0].tolist()
        raise ValueError(
            f"{place}: column {list(numbers)[column]} is infinite in {raw.line(row)}; expected numbers: leave the "
            "value empty where it is missing"
        )
    time = None if choice.time is None else times_of(raw.time, choice.time, raw.line)
    entity = None if choice.entity is None else entities_of(raw.entity, choice.entity, raw.line)
    return SeriesTable(values, tuple(numbers), time, entity, raw.line, tuple(raw.done))


def _measurements(
    numbers: Mapping[str, np.ndarray], choice: SeriesChoice, place: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the numeric columns that are measurements, and a text that names those left out.

    Raises:
        ValueError: a column that the user did not name is a row number.
    """
    kept: dict[str, np.ndarray] = {}
    left: list[str] = []
    if choice.values is not None:
        return dict(numbers), left
    for name, column in numbers.items():
        if column.dtype.kind == "f" and np.isnan(column).all():
            left.append(f"column {name} left out: empty")
        elif not numbers_the_rows(column):
            kept[name] = column
        elif _unnamed(name):
            left.append("a column without a name that numbers the rows was left out")
        else:
            as_time = "" if choice.time else f"data.time={quoted(name)} takes it as the time, "
            raise ValueError(
                f"{place}: column {name} numbers the rows ({', '.join(f'{v:g}' for v in column[:3])}, ...); expected "
                f"measurements: {as_time}data.values=[NAME,...] names the columns to take"
            )
    return kept, left


def _unnamed(name: str) -> bool:
    return name.startswith(INDEX) or name.endswith(_NO_NAME)


_NO_NAME = " (it has no name)"


def _called(names: Sequence[str], i: int) -> str:
    return names[i] or f"{i + 1}{_NO_NAME}"


def _of_text(path: Path, choice: SeriesChoice, header: bool | None, decimal: Decimal | None) -> _Raw:
    place = f"data.path={path}"
    check_size(path.stat().st_size, place)
    form = form_of(path, place, header, decimal)
    wanted = choice.wanted(form.names, place)
    keys = {
        key: form.names.index(name)
        for key, name in (("time", choice.time), ("entity", choice.entity))
        if name
    }
    frame = frame_of(path, place, form, list(keys.values()))
    whole_lines(frame, path, form)
    numbers, done = {}, list(form.done)
    for i in wanted:
        column, name = frame[str(i)], _called(form.names, i)
        if choice.values is None and not mostly_numbers(column):
            done.append(f"column {name} left out: no numbers ({show(column.dropna().iloc[0])})")
        else:
            numbers[name] = text_numbers(column, name, path, place, form, _REMEDY)
    numbers, left = _measurements(numbers, choice, place)
    done += left
    found = {key: frame[str(i)].fillna("").to_numpy(dtype=object) for key, i in keys.items()}
    if "time" in found and form.decimal == ",":
        found["time"] = np.array([text.replace(",", ".") for text in found["time"]], dtype=object)
    return _Raw(numbers, found.get("time"), found.get("entity"), lambda row: line_of(path, form, row), done)


def _of_parquet(path: Path, choice: SeriesChoice) -> _Raw:
    place = f"data.path={path}"
    with opened(path, place) as file:
        names = [str(name) for name in file.schema_arrow.names]
        wanted = choice.wanted(names, place)
        done, kept = [], []
        for i in wanted:
            kind = file.schema_arrow.field(i).type
            if choice.values is None and not holds_numbers(kind):
                done.append(f"column {_called(names, i)} left out: no numbers ({kind})")
            else:
                kept.append(i)
        keys = [names.index(name) for name in (choice.time, choice.entity) if name is not None]
        table = columns_of(file, [*kept, *keys], place)
    numbers = {
        _called(names, i): numbers_of(table.column(at), _called(names, i), place, _REMEDY)
        for at, i in enumerate(kept)
    }
    numbers, left = _measurements(numbers, choice, place)
    done += left
    time, entity = (
        None if name is None else plain_of(table.column(name), f"data.{key}={name}")
        for key, name in (("time", choice.time), ("entity", choice.entity))
    )
    return _Raw(numbers, time, entity, lambda row: f"row {row}", done)


def _of_arrays(path: Path, choice: SeriesChoice) -> _Raw:
    place = f"data.path={path}"
    arrays = arrays_of(path, place)
    names = list(arrays)
    wanted = [names[i] for i in choice.wanted(names, place)]
    done = []
    if choice.values is None:
        numeric = [name for name in wanted if arrays[name].dtype.kind in "fiub"]
        called = [name for name in numeric if role_of(name) == ("x", "")]
        wanted = called or numeric
        others = [name for name in names if name not in (*wanted, choice.time, choice.entity)]
        if others:
            done.append(f"arrays {show(', '.join(others))} left out")
    keys = [name for name in (choice.time, choice.entity) if name is not None]
    n = len(arrays[wanted[0]]) if wanted and arrays[wanted[0]].ndim else 0
    numbers: dict[str, np.ndarray] = {}
    for name in (*wanted, *keys):
        array, axes = arrays[name], (1,) if name in keys else (1, 2)
        kinds = "fiubUM" if name in keys else "fiub"
        if array.ndim not in axes or len(array) != n or array.dtype.kind not in kinds:
            raise ValueError(
                f"{place}: {name} is {array.dtype} {array.shape}; expected "
                + (
                    "one value for each row"
                    if name in keys
                    else "numbers [n, f] or [n], rows in order of time"
                )
                + f", {n} of them as in {wanted[0]}" * (n > 0 and name != wanted[0])
            )
        if name in wanted:
            columns = array[:, None] if array.ndim == 1 else array
            single = columns.shape[1] == 1
            numbers |= {name if single else f"{name}[{j}]": columns[:, j] for j in range(columns.shape[1])}
    time, entity = (None if name is None else arrays[name] for name in (choice.time, choice.entity))
    return _Raw(numbers, time, entity, lambda row: f"row {row}", done)

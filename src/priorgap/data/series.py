"""Time series in order: each series' rows are together and sorted by time, and no time occurs twice."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.files.series_table import SeriesChoice, SeriesTable

# Time steps whose relative difference is smaller are equal: times may be sums of floats, with rounding
# errors.
_RELATIVE = 1e-6


@dataclass(frozen=True, eq=False)
class OrderedSeries:
    """Rows of one or several series, one series after the other.

    Attributes:
        values: float64 [n, f]; NaN is a missing value.
        names: the names of the values' columns.
        time: [n], numbers or datetime64; None: the rows are in the order of the file.
        rows: the rows of each series.
        entities: the name of each series; empty where there is one series without a name.
        line: returns where a row is in the file, in words.
    """

    values: np.ndarray
    names: tuple[str, ...]
    time: np.ndarray | None
    rows: tuple[range, ...]
    entities: tuple[str, ...]
    line: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.values)

    def place(self, row: int) -> str:
        """Return a row's series, time and place in the file, in words."""
        words = [self.entities[i] for i, rows in enumerate(self.rows) if self.entities and row in rows]
        words += [] if self.time is None else [_moment(self.time[row])]
        return f"{self.line(row)} ({', '.join(words)})" if words else self.line(row)

    def clock(self) -> np.ndarray:
        """Return each row's time as float64: counted from the first time, or the row's number within its series."""
        if self.time is None:
            return np.concatenate([np.arange(len(rows), dtype=np.float64) for rows in self.rows])
        since: np.ndarray = self.time - self.time.min()
        return since.astype(np.int64 if since.dtype.kind == "m" else since.dtype).astype(np.float64)

    def uneven_steps(self) -> tuple[float, str]:
        """Return the share of time steps that differ from their median, and the median in words."""
        time = self.time
        if time is None:
            return 0.0, "1 row"
        steps = np.concatenate([np.diff(time[rows.start : rows.stop]) for rows in self.rows])
        if not len(steps):
            return 0.0, "0"
        sizes = steps.astype(np.int64 if steps.dtype.kind == "m" else steps.dtype).astype(np.float64)
        # The upper median, which is a step that occurs and not the mean of two.
        median = np.sort(sizes)[len(sizes) // 2]
        share = float((np.abs(sizes - median) > _RELATIVE * abs(median)).mean())
        return share, _duration(steps[sizes == median][0])


def _moment(time: "np.generic[Any]") -> str:
    # "auto" leaves out hours or seconds that are zero.
    return np.datetime_as_string(time, unit="auto") if isinstance(time, np.datetime64) else f"{time.item():g}"


def _duration(step: "np.generic[Any]") -> str:
    if not isinstance(step, np.timedelta64):
        return f"{step.item():g}"
    import pandas as pd

    return str(pd.Timedelta(step)).replace("0 days ", "")


def in_order(table: SeriesTable, choice: SeriesChoice) -> OrderedSeries:
    """Return a table's rows sorted by series and time.

    Raises:
        ValueError: a series has two rows of the same time; one line that names the first.
    """
    n = len(table)
    if table.entity is None:
        names, code = np.array([], dtype=str), np.zeros(n, dtype=np.int64)
    else:
        names, code = np.unique(table.entity, return_inverse=True)
        code = code.reshape(-1)
    keys = (code,) if table.time is None else (table.time, code)
    # lexsort is stable, so that rows without times keep their order.
    order = np.lexsort(keys)
    code = code[order]
    time = None if table.time is None else table.time[order]
    cuts = [0, *(np.flatnonzero(np.diff(code)) + 1).tolist(), n]
    series = OrderedSeries(
        table.values[order],
        table.names,
        time,
        tuple(range(a, b) for a, b in pairwise(cuts)),
        tuple(names.tolist()),
        lambda row: table.line(int(order[row])),
    )
    if time is not None:
        _check_times(series, time, code, choice)
    return series


def _check_times(series: OrderedSeries, time: np.ndarray, code: np.ndarray, choice: SeriesChoice) -> None:
    twice = (time[1:] == time[:-1]) & (code[1:] == code[:-1])
    if not twice.any():
        return
    first = int(twice.argmax())
    remedy = (
        "expected one row for each time of a series"
        if choice.entity is not None
        else "expected one row for each time; data.entity=NAME where the file holds several series"
    )
    n = int(twice.sum())
    rows = "1 row repeats" if n == 1 else f"{n} rows repeat"
    raise ValueError(
        f"data.time={show(choice.time)}: {rows} the time of another, first {series.place(first + 1)} that of "
        f"{series.line(first)}; {remedy}"
    )

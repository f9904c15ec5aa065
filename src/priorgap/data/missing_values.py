"""Missing values of time series: refused, interpolated inside a block, or their windows left out."""

from collections.abc import Iterable

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.series import OrderedSeries


def refuse_missing(series: OrderedSeries) -> None:
    """Refuse missing values.

    Raises:
        ValueError: one line: how many, where the first is, of which columns, and what to do.
    """
    missing = np.isnan(series.values)
    if not missing.any():
        return
    rows, share = missing.any(1), 100 * missing.mean()
    of = ", ".join(
        f"{name} ({n})" for name, n in zip(series.names, missing.sum(0).tolist(), strict=True) if n
    )
    raise ValueError(
        f"data.missing=error: missing values in {int(rows.sum())} of {len(rows)} rows ({share:.2g}% of the "
        f"values), first in {series.place(int(rows.argmax()))}, of columns {show(of)}; expected none, or "
        "data.missing=interpolate or drop, or data.values=[NAME,...] without those columns"
    )


def interpolated(series: OrderedSeries, blocks: Iterable[range], least: int) -> np.ndarray:
    """Return the values with those that are missing on lines between their neighbours; at edges the nearest.

    Nothing is taken from another block, which may belong to another part of the data.

    Args:
        series: the values.
        blocks: rows that follow each other.
        least: the number of rows of a window; shorter blocks have none, and stay as they are.

    Raises:
        ValueError: a block has no value of a column at all; one line.
    """
    values, clock = series.values.copy(), series.clock()
    for block in blocks:
        if len(block) < least:
            continue
        rows, when = values[block.start : block.stop], clock[block.start : block.stop]
        for column in np.flatnonzero(np.isnan(rows).any(0)).tolist():
            missing = np.isnan(rows[:, column])
            if missing.all():
                raise ValueError(
                    f"data.missing=interpolate: column {series.names[column]} has no value in the {len(block)} rows "
                    f"from {series.place(block.start)} on; expected at least one: data.missing=drop, or "
                    "data.values=[NAME,...] without it"
                )
            rows[missing, column] = np.interp(when[missing], when[~missing], rows[~missing, column])
    return values


def whole_windows(starts: np.ndarray, length: int, values: np.ndarray) -> np.ndarray:
    """Return the starts of those windows that hold no missing value."""
    before = np.concatenate([[0], np.isnan(values).any(1).cumsum()])
    found: np.ndarray = starts[before[starts + length] == before[starts]]
    return found

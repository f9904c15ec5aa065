"""Missing values of time series: refused, interpolated inside a block, their windows left out, or masked."""

from collections.abc import Iterable, Mapping

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.series import OrderedSeries
from priorgap.modalities import GapLayout


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
        "data.missing=interpolate, drop or mask, or data.values=[NAME,...] without those columns"
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


def gap_layout(series: OrderedSeries, rows: Mapping[str, np.ndarray]) -> GapLayout:
    """Return the channels of windows: a missing-indicator for each column that has gaps in training windows.

    An indicator that is 0 in all training windows would tell a model nothing and stand still in every measure. So a
    column without gaps there has none, and is not to have gaps in the other parts, whose windows a model that never
    saw a gap cannot describe: leaving them out would choose what is tested by its values.

    Args:
        series: the values.
        rows: by part, "train" among them, which rows stand in its windows: booleans [n].

    Raises:
        ValueError: a column is missing in all training windows, or in those of another part only; one line.
    """
    missing = np.isnan(series.values)
    own = missing[rows["train"]]
    (empty,) = np.nonzero(own.all(0))
    if len(empty):
        raise ValueError(
            f"data.missing=mask: column {show(series.names[empty[0]])} has no value in training windows; expected "
            "some, or data.values=[NAME,...] without it"
        )
    about = own.any(0)
    for part, inside in rows.items():
        (unknown,) = np.nonzero(missing[inside].any(0) & ~about)
        if len(unknown):
            column = int(unknown[0])
            first = int((missing[:, column] & inside).argmax())
            raise ValueError(
                f"data.missing=mask: column {show(series.names[column])} has missing values in {part} windows, first "
                f"in {series.place(first)}, and none in training windows, to learn them from; expected "
                "data.missing=interpolate or drop, other parts (data.split, data.source.test_fraction), or "
                "data.values=[NAME,...] without it"
            )
    return GapLayout(len(series.names), tuple(np.flatnonzero(about).tolist()))


def masked(scaled: np.ndarray, layout: GapLayout, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return scaled rows [n, f] as channels [n, width] with missing-indicators; rows in no window are 0.

    Args:
        scaled: values, NaN where missing.
        layout: of the channels.
        rows: by part, which rows stand in its windows; others may miss what has no indicator.
    """
    inside = np.logical_or.reduce(list(rows.values()))
    found = np.zeros((len(scaled), layout.width))
    found[inside] = layout.encoded(scaled[inside])
    return found

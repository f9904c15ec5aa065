"""Missing values of time series: refused, interpolated within a block, dropped with their windows, or masked."""

from collections.abc import Iterable, Mapping

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.series import OrderedSeries
from priorgap.modalities import GapLayout


def refuse_missing(series: OrderedSeries) -> None:
    """Refuse missing values.

    Raises:
        ValueError: values are missing; one line with their number, the first one's place, their columns and the
            remedy.
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
    """Return values in which gaps are filled by linear interpolation; at a block's edges by the nearest value.

    No value is taken from another block, because that may belong to another part of the data.

    Args:
        series: the values.
        blocks: ranges of consecutive rows.
        least: the number of rows of a window; shorter blocks hold no window and are left unchanged.

    Raises:
        ValueError: a column has no value in a whole block; one line.
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
    """Return the starts of the windows without missing values."""
    before = np.concatenate([[0], np.isnan(values).any(1).cumsum()])
    found: np.ndarray = starts[before[starts + length] == before[starts]]
    return found


def gap_layout(series: OrderedSeries, rows: Mapping[str, np.ndarray]) -> GapLayout:
    """Return the windows' channels: a missing-indicator is added for each column with gaps in training windows.

    An indicator that is 0 in all training windows would teach a model nothing and be constant in every measure. So a
    column without gaps in training windows gets no indicator, and must have no gaps in the other parts either: a
    model that never saw a gap cannot describe such windows, and leaving them out would select the test windows by
    their values.

    Args:
        series: the values.
        rows: by part, "train" among them, booleans [n]: whether a row is in one of its windows.

    Raises:
        ValueError: a column is missing in all training windows, or has gaps only in another part's windows; one line.
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
    """Return scaled rows [n, f] as channels [n, width] with missing-indicators; rows outside of all windows are 0.

    Args:
        scaled: values, NaN where missing.
        layout: the layout of the channels.
        rows: by part, which rows are in its windows; other rows may have gaps in columns without an indicator.
    """
    inside = np.logical_or.reduce(list(rows.values()))
    found = np.zeros((len(scaled), layout.width))
    found[inside] = layout.encoded(scaled[inside])
    return found

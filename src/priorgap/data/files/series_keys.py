"""The columns of a table of series that hold the time of a row, and the series that it belongs to."""

from collections.abc import Callable

import numpy as np

from priorgap.core.arguments import show

Line = Callable[[int], str]


def times_of(raw: "np.ndarray | None", name: str, line: Line) -> np.ndarray:
    """Return times as numbers or as datetime64 in UTC.

    Args:
        raw: numbers, datetime64, or texts: numbers or ISO dates.
        name: the column's name.
        line: returns where a row is in the file, in words.

    Raises:
        ValueError: a time is missing, or is neither number nor date; one line.
    """
    assert raw is not None
    if raw.dtype.kind in "iubM":
        found = raw.astype(np.int64) if raw.dtype.kind in "ub" else raw
        return _known(found, np.isnat(found) if found.dtype.kind == "M" else None, raw, name, line)
    if raw.dtype.kind == "f":
        return _known(raw, ~np.isfinite(raw), raw, name, line)
    import pandas as pd

    texts = pd.Series([_text(value) for value in raw.tolist()], dtype=object)
    missing = (texts == "").to_numpy()
    numbers = pd.to_numeric(texts, errors="coerce")
    if np.isfinite(numbers[~missing].to_numpy(np.float64)).all():
        return _known(np.asarray(numbers.to_numpy()), missing, raw, name, line)
    dates = pd.DatetimeIndex(pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce"))
    return _known(np.asarray(dates.tz_localize(None)), np.asarray(dates.isna()), raw, name, line)


def entities_of(raw: "np.ndarray | None", name: str, line: Line) -> np.ndarray:
    """Return for each row the name of its series, as text.

    Raises:
        ValueError: a row has no name; one line.
    """
    assert raw is not None
    texts = np.array([_text(value) for value in raw.tolist()], dtype=str)
    missing = texts == ""
    if missing.any():
        raise ValueError(
            f"data.entity={name}: no value in {line(int(missing.argmax()))}, in all {int(missing.sum())} of "
            f"{len(texts)} rows; expected the name of a series in each"
        )
    return texts


def _text(value: object) -> str:
    # A missing value such as NaN is not equal to itself.
    return "" if value is None or value != value else str(value).strip()


def _known(found: np.ndarray, odd: "np.ndarray | None", raw: np.ndarray, name: str, line: Line) -> np.ndarray:
    """Return the times, and refuse missing ones."""
    if odd is not None and odd.any():
        row = int(odd.argmax())
        given = show(raw[row])
        what = "no value" if _text(raw[row]) in ("", "NaT") else f"{given}"
        raise ValueError(
            f"data.time={name}: {what} in {line(row)}, in all {int(odd.sum())} of {len(found)} rows; expected "
            "numbers, or dates as 2013-01-31 or 2013-01-31T06:00"
        )
    return found

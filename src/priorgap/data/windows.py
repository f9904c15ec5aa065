"""Windows of time series in a user's own file: sequences of past and future steps."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch

from priorgap.core.arguments import AtLeast, show
from priorgap.core.artifacts import file_digest
from priorgap.core.random import stream
from priorgap.data.files.contents import check_size, format_of
from priorgap.data.files.series_table import FORMATS, SeriesChoice, read_series_table
from priorgap.data.files.text_form import Decimal
from priorgap.data.missing_values import gap_layout, interpolated, masked, refuse_missing, whole_windows
from priorgap.data.scaling import ColumnScaling
from priorgap.data.series import OrderedSeries, in_order
from priorgap.data.splits import Dataset, Split, check_fractions
from priorgap.data.window_split import (
    MANY_SERIES,
    Blocks,
    by_series,
    by_time,
    longest,
    refuse_shared_rows,
    rows_in,
    shared_rows,
    starts_in,
)
from priorgap.modalities import GapLayout

__all__ = ["Windows", "shared_rows"]

_log = logging.getLogger(__name__)

SplitBy = Literal["auto", "time", "entity"]
Missing = Literal["error", "interpolate", "drop", "mask"]
# Each part must have at least this many windows.
_LEAST = 2
# The bytes of a value in float32.
_FLOAT = 4


@dataclass(frozen=True)
class Windows:
    """Windows [n_past + n_future, f] of the series in a table (.csv, .tsv, .txt, .parquet) or in arrays (.npz, .npy).

    The rows of a series are sorted by time. The parts of the data are blocks of time, the test last, or whole series;
    a window lies inside of one block, so that no row is in two parts. Columns are scaled to mean 0 and variance 1
    over the training windows' rows (`ColumnScaling.of(dataset)` brings values back to the file's units).

    Attributes:
        path: the file.
        n_past: the number of steps in a window before a forecast begins.
        n_future: the number of steps that are forecast.
        time: the column of times, numbers or ISO dates; None: the rows are in order.
        entity: the column that says which series a row belongs to; None: there is one series.
        values: the columns of measurements; None: all others that hold numbers.
        stride: the number of rows from one window to the next.
        missing: what is done with missing values: "error"; "interpolate" inside a block; "drop" leaves out the
            windows that hold one; "mask" sets them to 0, the mean, and adds a channel for each column with gaps in
            training windows that is 1 where the value is missing (`Split.gaps` has the layout).
        split: "time" or "entity"; "auto": by entity from 20 series on.
        header: whether the first line of a text file names the columns; None: decided by its values.
        decimal: the decimal separator of a text file; None: decided by the values.
        validation_fraction: the part of the rows (or series) kept for validation.
        test_fraction: the part of the rows (or series) kept for the test.
        split_seed: the seed that assigns series to parts; blocks of time are not drawn.
    """

    path: Path
    n_past: Annotated[int, AtLeast(0)]
    n_future: Annotated[int, AtLeast(0)]
    name: str = "windows"
    time: str | int | None = None
    entity: str | int | None = None
    values: str | int | tuple[str | int, ...] | None = None
    stride: Annotated[int, AtLeast(1)] = 1
    missing: Missing = "error"
    split: SplitBy = "auto"
    header: bool | None = None
    decimal: Decimal | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(os.path.expanduser(self.path)))
        if isinstance(self.values, list):
            object.__setattr__(self, "values", tuple(self.values))
        check_fractions(self.validation_fraction, self.test_fraction)
        for key, literal in (("missing", Missing), ("split", SplitBy)):
            if getattr(self, key) not in get_args(literal):
                raise ValueError(
                    f"data.{key}={show(getattr(self, key))}: expected one of {', '.join(get_args(literal))}"
                )
        if self.n_past < 0 or self.n_future < 0 or self.length < 2:
            raise ValueError(
                f"data.n_past={self.n_past}, data.n_future={self.n_future}: expected 0 or more each, and at least 2 "
                "steps together"
            )
        if self.stride < 1:
            raise ValueError(f"data.stride={self.stride}: expected an integer >= 1")
        self._check_columns()
        self._check_split()

    @property
    def length(self) -> int:
        """The number of steps of a window."""
        return self.n_past + self.n_future

    @property
    def choice(self) -> SeriesChoice:
        """The user's choice of columns."""
        time, entity = (None if name is None else str(name) for name in (self.time, self.entity))
        values = self.values if isinstance(self.values, tuple | None) else (self.values,)
        return SeriesChoice(time, entity, None if values is None else tuple(map(str, values)))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return (self.path,)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: there is no such file.
            DataCorrupt: its content is of another format than its name says, or damaged.
            ValueError: columns are not as described above, a time occurs twice, values are missing, or there are too
                few windows; one line.
        """
        table = read_series_table(self.path, self.choice, self.header, self.decimal)
        series = in_order(table, self.choice)
        return self.cut(series, self._blocks(series), table.done, place=f"data.path={self.path}")

    def cut(self, series: OrderedSeries, blocks: Blocks, done: "tuple[str, ...]", *, place: str) -> Dataset:
        """Return the scaled windows of series that have been read; the errors are those of `load`.

        Args:
            series: the rows in order.
            blocks: the blocks of each part.
            done: what the reader left out or changed, in words.
            place: the origin of the rows, for messages.
        """
        values, starts, missing = self._windows(series, blocks)
        refuse_shared_rows(starts, self.length, place)
        rows = {part: rows_in(first, self.length, len(values)) for part, first in starts.items()}
        gaps = gap_layout(series, rows) if self.missing == "mask" else None
        scaling = ColumnScaling.fit(values[rows["train"]], series.names)
        scaled = scaling.scaled(values)
        if gaps is not None:
            missing = {**missing, "indicators": [series.names[i] for i in gaps.about]}
            scaled = masked(scaled, gaps, rows)
        parts = self._parts(scaled, starts, gaps, place)
        uneven, step = series.uneven_steps()
        facts = {
            "source": str(self.path), "sha256": file_digest(self.path), "columns": list(series.names),
            "n_rows": len(series), "n_series": len(series.rows), "n_past": self.n_past, "n_future": self.n_future,
            "stride": self.stride, "split": blocks.said, "split_seed": self.split_seed if blocks.drawn else None,
            "sizes": [len(part) for part in parts.values()], "missing": missing, "uneven_steps": uneven,
            "reading": list(done), **scaling.facts(),
        }  # fmt: skip
        self._say(series, scaling, facts, step, place)
        return Dataset(
            self.name, **parts, n_classes=None, official=False, provenance=facts, exchangeable=False
        )

    def _blocks(self, series: OrderedSeries) -> Blocks:
        """Return the blocks of the three parts."""
        n = len(series.rows)
        if self.split == "entity" or (self.split == "auto" and n >= MANY_SERIES):
            generator = stream(self.split_seed, "split", "windows")
            return by_series(series, self.validation_fraction, self.test_fraction, generator=generator)
        if self.split_seed:
            raise ValueError(
                f"data.source.split_seed={self.split_seed}: {n} series are split by time, where nothing is drawn; "
                "expected 0, or data.split=entity"
            )
        return by_time(series, self.validation_fraction, self.test_fraction)

    def _windows(
        self, series: OrderedSeries, blocks: Blocks
    ) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
        """Return the values, the first rows of each part's windows, and the layout of missing-indicators."""
        if self.missing == "error":
            refuse_missing(series)
        parts, values = blocks.parts(), series.values
        if self.missing == "interpolate":
            values = interpolated(series, [one for part in parts.values() for one in part], self.length)
        starts, n_left_out = {}, 0
        for part, own in parts.items():
            possible = starts_in(own, self.length, self.stride)
            starts[part] = (
                possible if self.missing == "mask" else whole_windows(possible, self.length, values)
            )
            n_left_out += len(possible) - len(starts[part])
            self._check_number(part, len(starts[part]), len(possible), longest(own))
        share = float(np.isnan(series.values).mean())
        return values, starts, {"share": share, "handled": self.missing, "windows_left_out": n_left_out}

    def _check_number(self, part: str, n: int, n_possible: int, n_rows: int) -> None:
        if n >= _LEAST:
            return
        gaps, filled = "", ""
        if n_possible > n:
            gaps = f", {n_possible - n} more hold missing values"
            filled = (
                "data.missing=interpolate or mask, data.values=[NAME,...] without the columns that have "
                "gaps, or "
            )
        larger = "" if part == "train" else f", or a larger data.source.{part}_fraction"
        raise ValueError(
            f"data.n_past={self.n_past}, data.n_future={self.n_future}, data.stride={self.stride}: {n} windows of "
            f"{self.length} rows for {part}, whose longest block has {n_rows} rows{gaps}; expected at least "
            f"{_LEAST}: {filled}a smaller n_past, n_future or stride{larger}"
        )

    def _parts(
        self, scaled: np.ndarray, starts: "dict[str, np.ndarray]", gaps: GapLayout | None, place: str
    ) -> dict[str, Split]:
        """Return the windows of each part."""
        n, width = sum(map(len, starts.values())), scaled.shape[1]
        what = f"data.stride={self.stride}: {n} windows of {self.length} x {width}"
        check_size(n * self.length * width * _FLOAT, what)
        with np.errstate(over="ignore"):
            values = scaled.astype(np.float32)
        steps = np.arange(self.length)
        parts = {part: values[first[:, None] + steps] for part, first in starts.items()}
        for part, x in parts.items():
            if not np.isfinite(x).all():
                raise ValueError(
                    f"{place}: values of {part} lie too far from those of training for 32 bits; "
                    "expected numbers of about one size"
                )
        return {
            part: Split(torch.from_numpy(x), None, "float_sequence", gaps=gaps) for part, x in parts.items()
        }

    def _say(
        self, series: OrderedSeries, scaling: ColumnScaling, facts: "dict[str, Any]", step: str, place: str
    ) -> None:
        """Log one line that says what was read, and another where time steps are uneven."""
        short = sum(len(rows) < self.length for rows in series.rows)
        gaps = facts["missing"]
        more = [
            *facts["reading"],
            *([f"{short} series shorter than a window left out"] if short else []),
            *(
                [f"{100 * gaps['share']:.2g}% of the values are missing: {gaps['handled']}"]
                if gaps["share"]
                else []
            ),
            *(
                [f"missing-indicators: {show(', '.join(gaps['indicators'])) or 'none'}"]
                if "indicators" in gaps
                else []
            ),
            *([f"{gaps['windows_left_out']} windows left out"] if gaps["windows_left_out"] else []),
            *(
                [f"constant columns, not scaled: {show(', '.join(scaling.constant))}"]
                if scaling.constant
                else []
            ),
        ]
        _log.info(
            "%s: %d rows of %d series, columns %s; windows of %d steps, %s for training, validation and "
            "test; split %s%s", place, len(series), len(series.rows), show(", ".join(series.names)), self.length,
            " + ".join(map(str, facts["sizes"])), facts["split"], "".join(f"; {one}" for one in more),
        )  # fmt: skip
        if facts["uneven_steps"]:
            _log.warning(
                "data.time=%s: the time step is uneven: %.2g%% of the steps differ from their median, %s; windows "
                "take rows as they follow each other", self.time, 100 * facts["uneven_steps"], step,
            )  # fmt: skip

    def _check_columns(self) -> None:
        """Check what the configuration alone says about the file and its columns."""
        file_format, choice = format_of(self.path), self.choice
        end = self.path.suffix.lower()
        if file_format not in FORMATS:
            raise ValueError(
                f"data.path={self.path}: expected .csv, .tsv, .txt, .parquet, .npz or .npy; got {end}"
            )
        for key in ("header", "decimal"):
            if getattr(self, key) is not None and file_format != "text":
                raise ValueError(f"data.{key}: a key of text files; a file {end} has none of it")
        if choice.values == ():
            raise ValueError("data.values=[]: expected at least one name")
        asked = choice.asked()
        for key, other in (("time", "entity"), ("time", "values"), ("entity", "values")):
            both = set(asked[key]) & set(asked[other])
            if both:
                raise ValueError(
                    f"data.{key}={show(both.pop())}: stands in data.{other} too; expected one of the two"
                )

    def _check_split(self) -> None:
        """Check what the configuration alone says about the split."""
        if self.split == "entity" and self.entity is None:
            raise ValueError("data.split=entity: expected data.entity=NAME with it, or data.split=time")
        if self.split == "time" and self.split_seed:
            raise ValueError(
                f"data.source.split_seed={self.split_seed}: data.split=time draws nothing; expected 0, or "
                "data.split=entity"
            )

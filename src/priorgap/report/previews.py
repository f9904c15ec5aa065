"""Previews of observations in a report, real and synthetic: grids of images, pictures of series and of tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from priorgap.core.shown import REAL, RECONSTRUCTIONS
from priorgap.modalities import Modality
from priorgap.report import table_pictures
from priorgap.report.figures import style
from priorgap.report.series_pictures import pictures_of
from priorgap.report.tiles import light_tile, sample_tile, samples_side_by_side

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class SeriesPreview:
    """Windows of one sampler, or real windows.

    Attributes:
        values: [n, T, f], in the file's units where known; NaN where missing.
        n_past: the number of steps in the past, 0 where there is none.
        channels: the channels' names; () where they have none.
    """

    values: npt.NDArray[np.floating]
    n_past: int = 0
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TablePreview:
    """Rows of one sampler, or real rows.

    Attributes:
        frame: the rows in the file's units.
        numeric: the names of the columns of numbers and points in time.
    """

    frame: "pd.DataFrame"
    numeric: tuple[str, ...]


# The path of a finished PNG, images [n, h, w, 1 or 3], windows, or rows.
Preview = Path | npt.NDArray[np.uint8] | SeriesPreview | TablePreview


@dataclass(frozen=True)
class Drawn:
    """A picture of observations.

    Attributes:
        file: the suffix of its file's name.
        content: PNG.
        alt: its alternative text.
        caption: what stands below it.
        note: a remark that readers need to understand it.
        wide: whether it shows all samplers and takes the full width; others are tiles in a row.
        beside: whether it is only written as a file and not shown on the page.
        light: WebP that the page shows instead of the PNG; b"" where it shows the PNG.
    """

    file: str
    content: bytes
    alt: str
    caption: str
    note: str = ""
    wide: bool = False
    beside: bool = False
    light: bytes = b""


def preview_of(
    stored: npt.NDArray[np.generic], modality: Modality, *, n_past: int = 0, channels: tuple[str, ...] = ()
) -> Preview | None:
    """Return observations in the form that a report shows; None for kinds that it does not show.

    Args:
        stored: observations in the stored form of data, [n, ...]; images have channels first, windows have NaN
            instead of missing-indicators.
        modality: the modality of observations.
        n_past: for windows, the number of steps in the past.
        channels: for windows, the channels' names.
    """
    if modality.pictures:
        return stored.transpose(0, 2, 3, 1).astype(np.uint8)
    if modality.table is not None:
        numeric = tuple(column.name for column in modality.table.columns if column.numeric)
        return TablePreview(modality.table.frame(stored), numeric)
    if modality.sequences:
        return SeriesPreview(stored.astype(np.float64), n_past, channels)
    return None


def drawn(
    known: Mapping[str, Preview], samplers: Sequence[str], title: str, *, baseline: str = ""
) -> Iterator[Drawn]:
    """Yield the pictures of a model: real observations and reconstructions first, then its samplers in order.

    Args:
        known: the previews by name.
        samplers: the samplers in the order of their rank.
        title: the model's title.
        baseline: the sampler that is always shown where there is no room for all.

    Raises:
        ValueError: an array does not hold uint8 images of one or three channels.
    """
    named = [name for name in (REAL, RECONSTRUCTIONS, *samplers) if name in known]
    order = [*named, *sorted(set(known) - set(named))]
    series, tables, tiles, light = {}, {}, {}, {}
    for name in order:
        one = known[name]
        if isinstance(one, SeriesPreview):
            series[name] = one
        elif isinstance(one, TablePreview):
            tables[name] = one
        else:
            tiles[name], light[name] = sample_tile(one), light_tile(one)
    for name, tile in tiles.items():
        yield Drawn(name, tile, f"Samples from {name}, {title}", name, light=light[name])
    if tiles:
        together = samples_side_by_side(tiles, title)
        yield Drawn("", together, f"Samples side by side by sampler, {title}", "", beside=True)
    if series:
        yield from _of_series(series, title)
    if tables:
        yield from _of_tables(tables, title, baseline)


def _of_series(series: Mapping[str, SeriesPreview], title: str) -> Iterator[Drawn]:
    first = next(iter(series.values()))
    colours = {name: style(name, list(series))[0] for name in series}
    windows = {name: one.values for name, one in series.items()}
    gaps = any(np.isnan(one).any() for one in windows.values())
    note = f"{_WINDOWS} Lines break where values are missing." if gaps else _WINDOWS
    for what, whom, content in pictures_of(windows, colours, n_past=first.n_past, channels=first.channels):
        if whom:
            alt = f"Windows from {whom} over time, {title}"
            yield Drawn(whom, content, alt, whom, note)
            continue
        said = _WIDE[what]
        yield Drawn(what, content, f"{said} {title}", said, wide=True)


def _of_tables(tables: Mapping[str, TablePreview], title: str, baseline: str) -> Iterator[Drawn]:
    numeric = next(iter(tables.values())).numeric
    colours = {name: style(name, list(tables))[0] for name in tables}
    frames = {name: one.frame for name, one in tables.items()}
    # More lines than this could not be told apart.
    order = dict.fromkeys([REAL, baseline, *(name for name in frames if name != RECONSTRUCTIONS)])
    few = [name for name in order if name in frames][:_MAX_LINES]
    for what, content in table_pictures.pictures_of(frames, few, numeric, colours):
        yield Drawn(what, content, f"{_WIDE[what]} {title}", _WIDE[what], wide=True)


_MAX_LINES = 5
_WINDOWS = "Five windows, the median, and the middle 90 % at each step; the axes are those of real windows."
_WIDE = {
    "autocorrelation": "Autocorrelation of real windows (black) and of each sampler's.",
    "columns": "The values of each column: real rows grey, samplers in colours; what lies beyond is at the edge.",
    "pairs": "How columns go together, in real rows and in each sampler's.",
    "channels": "Correlations between channels at the same step, of real windows and of each sampler's.",
}

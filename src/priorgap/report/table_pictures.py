"""Pictures of tables, real beside synthetic: values of each column, and associations between columns."""

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from priorgap.core.shown import REAL, RECONSTRUCTIONS
from priorgap.report.drawing import WIDTH, close_matrices, empty_figure, png

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]
# The numbers of columns, categories and bins that fit the page's width and stay readable.
_MAX_COLUMNS, _MAX_MATRIX, _MAX_CATEGORIES, _N_BINS = 18, 24, 8, 24
_N_QUANTILES = 8
_REAL_COLOUR, _MISSING, _OTHERS = "#000000", "(missing)", "(others)"


def column_values(
    frames: Mapping[str, "pd.DataFrame"], numeric: Collection[str], colours: Mapping[str, str]
) -> bytes:
    """Draw each column: histograms of numbers and times, shares of categories, a colour for each sampler."""
    real = frames.get(REAL, next(iter(frames.values())))
    names = list(real.columns)[:_MAX_COLUMNS]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = empty_figure(0.7 + 1.55 * rows, rows, columns)
    for axis, name in zip(axes.flat, names, strict=False):
        if name in numeric:
            _histograms(axis, {of: frame[name] for of, frame in frames.items()}, real[name], colours)
        else:
            _shares(axis, {of: frame[name] for of, frame in frames.items()}, real[name], colours)
        axis.set_title(_short(name, 26), fontsize=8)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.tick_params(labelsize=7)
    for axis in islice(axes.flat, len(names), None):
        axis.set_axis_off()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return png(figure)


def column_pairs(frames: Mapping[str, "pd.DataFrame"], numeric: Collection[str]) -> bytes | None:
    """Draw each sampler's matrix of associations between columns; None for one column, or for too many."""
    real = frames.get(REAL, next(iter(frames.values())))
    names = list(real.columns)
    if not 2 <= len(names) <= _MAX_MATRIX:
        return None
    columns = min(3, len(frames))
    rows = -(-len(frames) // columns)
    figure, axes = empty_figure(rows * WIDTH / columns + 0.7, rows, columns)
    drawn = None
    for place, (axis, (of, frame)) in enumerate(zip(axes.flat, frames.items(), strict=False)):
        drawn = axis.imshow(
            associations(frame, numeric), vmin=0, vmax=1, cmap="viridis", interpolation="nearest"
        )
        axis.set_title(of, fontsize=9)
        last = place + columns >= len(frames)
        labels = [_short(name, 12) for name in names]
        axis.set_xticks(range(len(names)), labels if last else [], rotation=90, fontsize=6)
        axis.set_yticks(range(len(names)), labels if place % columns == 0 else [], fontsize=6)
    said = "association: |r| of numbers, else Cramér's V"
    return close_matrices(figure, axes, len(frames), drawn, said)


def associations(frame: "pd.DataFrame", numeric: Collection[str]) -> Array:
    """Return |Pearson's r| of two numbers, else Cramér's V with numbers in eight groups of equal size, [c, c]."""
    names = list(frame.columns)
    values = {name: _numbers(frame[name]) for name in names if name in numeric}
    codes = {name: _groups(values[name]) if name in values else _codes(frame[name]) for name in names}
    found = np.eye(len(names))
    for i, j in combinations(range(len(names)), 2):
        a, b = names[i], names[j]
        both = a in values and b in values
        found[i, j] = found[j, i] = (
            abs(_correlation(values[a], values[b])) if both else _cramer(codes[a], codes[b])
        )
    return found


def _correlation(a: Array, b: Array) -> float:
    there = np.isfinite(a) & np.isfinite(b)
    a, b = a[there], b[there]
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _cramer(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> float:
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    least = min(table.shape) - 1
    if least < 1:
        return 0.0
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(np.sqrt((np.square(table - expected) / expected).sum() / table.sum() / least))


def _numbers(column: "pd.Series") -> Array:
    """Return numbers, or points in time as seconds, with NaN where missing."""
    if column.dtype.kind == "M":
        known = column.notna().to_numpy()
        seconds = column.to_numpy().astype("datetime64[s]").astype(np.float64)
        return np.where(known, seconds, np.nan)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _groups(values: Array) -> npt.NDArray[np.int64]:
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, _N_QUANTILES + 1)[1:-1]))
    return np.where(known, np.searchsorted(edges, values, side="right"), _N_QUANTILES).astype(np.int64)


def _codes(column: "pd.Series") -> npt.NDArray[np.int64]:
    import pandas as pd

    codes, known = pd.factorize(_texts(column), sort=True)
    return codes.astype(np.int64) if len(known) else np.zeros(len(column), np.int64)


def _texts(column: "pd.Series") -> npt.NDArray[np.object_]:
    known = zip(column, column.isna(), strict=True)
    return np.array([_MISSING if missing else str(value) for value, missing in known], dtype=object)


def _histograms(
    axis: "Axes", values: Mapping[str, "pd.Series"], real: "pd.Series", colours: Mapping[str, str]
) -> None:
    own = _numbers(real)
    low, high = (float(v) for v in np.nanpercentile(own, (0.2, 99.8)))
    width = (high - low) or 1.0
    edges = np.linspace(low - 0.1 * width, high + 0.1 * width, _N_BINS + 1)
    for of, column in values.items():
        numbers = _numbers(column)
        # Values outside of the range are counted in the first or last bin.
        inside = np.clip(numbers[np.isfinite(numbers)], edges[0], edges[-1])
        heights, _ = np.histogram(inside, edges)
        shares = heights / max(1, len(inside))
        if of == REAL:
            axis.stairs(shares, edges, fill=True, color=_REAL_COLOUR, alpha=0.18, label=of)
        else:
            axis.stairs(shares, edges, color=_colour(of, colours), linewidth=1.2, label=of)
    if real.dtype.kind == "M":
        ticks = np.linspace(low, high, 3)
        axis.set_xticks(ticks, [str(np.datetime64(int(t), "s").astype("datetime64[D]")) for t in ticks])


def _shares(
    axis: "Axes", values: Mapping[str, "pd.Series"], real: "pd.Series", colours: Mapping[str, str]
) -> None:
    texts = _texts(real)
    names, counts = np.unique(texts.astype(str), return_counts=True)
    order = names[np.argsort(-counts, kind="stable")][:_MAX_CATEGORIES].tolist()
    n_bars = len(values)
    labels = [*order, *([_OTHERS] if len(names) > len(order) else [])]
    for place, (of, column) in enumerate(values.items()):
        own = _texts(column)
        shares = [float((own == name).mean()) for name in order]
        shares += [1 - sum(shares)] if len(labels) > len(order) else []
        at = np.arange(len(labels)) + (place - (n_bars - 1) / 2) * 0.8 / n_bars
        if of == REAL:
            axis.bar(at, shares, 0.8 / n_bars, color=_REAL_COLOUR, alpha=0.35, label=of)
        else:
            axis.bar(at, shares, 0.8 / n_bars, color=_colour(of, colours), label=of)
    turned = len(labels) > 3 or max(map(len, labels)) > 8
    axis.set_xticks(
        range(len(labels)), [_short(name, 12) for name in labels], rotation=40 if turned else 0,
        ha="right" if turned else "center",
    )  # fmt: skip


def _colour(of: str, colours: Mapping[str, str]) -> str:
    return "#777777" if of == RECONSTRUCTIONS else colours.get(of, "#777777")


def _short(name: object, most: int) -> str:
    text = str(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def pictures_of(
    frames: Mapping[str, "pd.DataFrame"],
    few: Collection[str],
    numeric: Collection[str],
    colours: Mapping[str, str],
) -> Iterator[tuple[str, bytes]]:
    """Yield (kind, PNG): "columns" of a few samplers, then "pairs" of all if there are not too many columns."""
    yield "columns", column_values({name: frames[name] for name in few}, numeric, colours)
    pairs = column_pairs(frames, numeric)
    if pairs is not None:
        yield "pairs", pairs

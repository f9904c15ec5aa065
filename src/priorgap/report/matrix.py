"""Samplers × cells: a few observations of each, with real ones and reconstructions on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from priorgap.core.shown import REAL, RECONSTRUCTIONS
from priorgap.report.drawing import Drawing
from priorgap.report.previews import Preview
from priorgap.report.tables import Cell
from priorgap.report.tiles import tiled

# The number of images of a sampler in a cell, and the number in a row.
_N, _COLUMNS = 4, 2
# A figure for print has room for at most this many cells.
_MAX_CELLS = 8
_N_ALONE = 10
# The width in inches of a cell's images, and of a row of images where there is only one cell.
_CELL, _ALONE = 0.9, 4.2


@dataclass(frozen=True, eq=False)
class Matrix:
    """Images by sampler and cell.

    Attributes:
        cells: the names of the columns.
        rows: maps each name to its images in each cell, [n, h, w, c], or None.
        samplers: the names that belong to samplers.
    """

    cells: tuple[str, ...]
    rows: Mapping[str, tuple[npt.NDArray[np.uint8] | None, ...]]
    samplers: frozenset[str]


def matrix_of(
    models: Sequence[tuple[Cell, str]], previews: Mapping[str, Mapping[str, Preview]]
) -> Matrix | None:
    """Return the matrix of some models, one for each cell; None where no images are shown.

    Args:
        models: cells, each with the id of the model that represents it.
        previews: maps each model to its previews by name.
    """
    names = [name for cell, _ in models for name in cell.samplers]
    order = list(dict.fromkeys([REAL, RECONSTRUCTIONS, *names]))
    shown = [(cell.name, _images(previews.get(model, {}))) for cell, model in models]
    shown = [(name, images) for name, images in shown if images]
    rows = {name: tuple(images.get(name) for _, images in shown) for name in order}
    rows = {name: row for name, row in rows.items() if any(one is not None for one in row)}
    if not rows:
        return None
    return Matrix(tuple(name for name, _ in shown), rows, frozenset(names))


def _images(known: Mapping[str, Preview]) -> dict[str, npt.NDArray[np.uint8]]:
    return {name: one for name, one in known.items() if isinstance(one, np.ndarray)}


def few(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the first images joined into one, two in a row."""
    return tiled(images[:_N], _COLUMNS)


def figure_of(matrix: Matrix) -> Drawing:
    """Draw the matrix for print: a row for each sampler; a single cell gets longer rows of images."""
    alone = len(matrix.cells) == 1
    cells = matrix.cells[:_MAX_CELLS]
    tile = (lambda images: tiled(images[:_N_ALONE], _N_ALONE)) if alone else few
    tiles = {
        name: [None if one is None else tile(one) for one in row[: len(cells)]]
        for name, row in matrix.rows.items()
    }
    known = [one for one in chain.from_iterable(tiles.values()) if one is not None]
    height, width = (max(one.shape[axis] for one in known) for axis in (0, 1))
    gap = max(2, height // 12)
    canvas = np.full((len(tiles) * (height + gap) - gap, len(cells) * (width + gap) - gap, 3), 255, np.uint8)
    for place, row in enumerate(tiles.values()):
        for column, one in enumerate(row):
            if one is not None:
                top, left = place * (height + gap), column * (width + gap)
                coloured = one if one.ndim == 3 else one[..., None]
                canvas[top : top + one.shape[0], left : left + one.shape[1]] = coloured
    heads = [] if alone else [name.replace(", ", "\n") for name in cells]
    figure, axis, turned = _room(canvas.shape[0] / canvas.shape[1], list(tiles), heads)
    axis.imshow(canvas, interpolation="nearest")
    axis.set_yticks(
        [place * (height + gap) + height / 2 for place in range(len(tiles))], list(tiles), fontsize=8
    )
    axis.xaxis.tick_top()
    places = [column * (width + gap) + width / 2 for column in range(len(heads))]
    axis.set_xticks(places, heads, fontsize=7, rotation=90 if turned else 0)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return Drawing(figure)


def _room(ratio: float, names: Sequence[str], heads: Sequence[str]) -> tuple[Figure, Axes, bool]:
    """Return a figure with room for row names and column heads, its axes, and whether heads are vertical.

    Args:
        ratio: the height of the images over their width.
        names: the rows' names.
        heads: the columns' heads; [] for none.
    """
    letter, small, line, margin = 0.075, 0.062, 0.13, 0.08  # All of these are in inches.
    body = _CELL * len(heads) if heads else _ALONE
    lines = [text for head in heads for text in head.split("\n")]
    longest = max(map(len, lines), default=0)
    turned = longest * small > _CELL
    top = longest * small if turned else line * max((head.count("\n") + 1 for head in heads), default=0)
    left = letter * max(map(len, names)) + 2 * margin
    width, height = left + body + margin, top + body * ratio + 3 * margin
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((left / width, margin / height, body / width, body * ratio / height))
    return figure, axis, turned

"""Samplers × cells: a few observations of each, real ones and reconstructions on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from priorgap.core.shown import REAL, RECONSTRUCTIONS
from priorgap.report.drawing import Drawing
from priorgap.report.previews import Preview
from priorgap.report.tables import Cell
from priorgap.report.tiles import tiled

# images of a sampler in a cell, and how many stand in a row
_N, _COLUMNS = 4, 2
# cells that a figure of a paper has room for
_MAX_CELLS = 8
_N_ALONE = 10


@dataclass(frozen=True, eq=False)
class Matrix:
    """Images by sampler and cell.

    Attributes:
        cells: the names of the columns.
        rows: name -> its images in each cell, [n, h, w, c]; None where a cell has none.
        samplers: those names that are samplers'.
    """

    cells: tuple[str, ...]
    rows: Mapping[str, tuple[npt.NDArray[np.uint8] | None, ...]]
    samplers: frozenset[str]


def matrix_of(
    models: Sequence[tuple[Cell, str]], previews: Mapping[str, Mapping[str, Preview]]
) -> Matrix | None:
    """Return the matrix of some models, one a cell; None where no images are shown.

    Args:
        models: cells, each with the id of the model that is shown of it.
        previews: model -> what is shown, by name.
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
    """Return the first images as one, two in a row."""
    return tiled(images[:_N], _COLUMNS)


def figure_of(matrix: Matrix) -> Drawing:
    """Draw the matrix for print: a row for each sampler; of one cell a longer row of images."""
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
    across = 5.2 if alone else min(7.0, 1.5 + 0.9 * len(cells))
    figure = Figure(
        figsize=(across, max(1.5, (across - 1.4) * canvas.shape[0] / canvas.shape[1] + 0.5)),
        layout="constrained",
    )
    axis = figure.subplots()
    axis.imshow(canvas, interpolation="nearest")
    axis.set_yticks(
        [place * (height + gap) + height / 2 for place in range(len(tiles))], list(tiles), fontsize=8
    )
    axis.xaxis.tick_top()
    heads = [] if alone else [name.replace(", ", "\n") for name in cells]
    axis.set_xticks([column * (width + gap) + width / 2 for column in range(len(heads))], heads, fontsize=7)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return Drawing(figure)

"""What every figure of a report shares: colours, size, and bytes that depend on nothing but the content."""

import io
import logging
from dataclasses import dataclass
from itertools import islice
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

# what writes letters into a PDF tells of each table of the font that it leaves out
logging.getLogger("fontTools").setLevel(logging.WARNING)

# Okabe & Ito's palette without its yellow (too faint for lines), plus grey: safe for any colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#777777")
WIDTH = 5.2  # inches; with 10 pt text this stays readable on a phone
_DPI = 160
_N_COLOURS = 128


def png(figure: Figure) -> bytes:
    """Return a figure as PNG bytes without anything that depends on when or with what it was written."""
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, metadata={"Software": None})
    # lines and letters need few colours; with a palette a page is a quarter as large
    image = Image.open(drawn).convert("RGB").quantize(_N_COLOURS, dither=Image.Dither.NONE)
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure that a page shows and a paper prints."""

    figure: Figure

    @property
    def png(self) -> bytes:
        """It as PNG."""
        return png(self.figure)

    @property
    def pdf(self) -> bytes:
        """It as PDF, lines and letters as such, without anything that depends on when it was written."""
        drawn = io.BytesIO()
        # 42: letters that stay text, as journals ask for
        with matplotlib.rc_context({"pdf.fonttype": 42}):
            nothing = {"CreationDate": None, "Creator": None, "Producer": None}
            self.figure.savefig(drawn, format="pdf", dpi=2 * _DPI, metadata=nothing)
        return drawn.getvalue()


def empty_figure(
    height: float, rows: int = 1, columns: int = 1, *, share_x: bool = False, width: float = WIDTH
) -> tuple[Figure, Any]:
    """Return a figure (of the page's width) and its axes [rows, columns], without boxes around them."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share_x)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    return figure, axes


def close_matrices(figure: Figure, axes: Any, n_drawn: int, drawn: Any, said: str) -> bytes:
    """Return a figure of matrices as PNG: axes beyond the drawn ones go, and one bar below says what colours mean."""
    for axis in islice(axes.flat, n_drawn, None):
        axis.set_axis_off()
    bar = figure.colorbar(drawn, ax=axes, location="bottom", fraction=0.04, aspect=40)
    bar.set_label(said, fontsize=9)
    return png(figure)

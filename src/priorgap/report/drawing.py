"""Common parts of all figures of a report: colours, size, and bytes that depend only on the content."""

import io
import logging
from dataclasses import dataclass
from itertools import islice
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

# fontTools, which writes letters into a PDF, would log every table of the font that it leaves out.
logging.getLogger("fontTools").setLevel(logging.WARNING)

# Okabe & Ito's palette without its yellow (too faint for lines), plus grey: safe for any colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#777777")
WIDTH = 5.2  # The width in inches; with 10 pt text it stays readable on a phone.
_DPI = 160
_N_COLOURS = 128


def png(figure: Figure) -> bytes:
    """Return a figure as PNG bytes that depend neither on the time nor on the program's version."""
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, metadata={"Software": None})
    # Lines and letters need few colours; with a palette a page is a quarter as large.
    image = Image.open(drawn).convert("RGB").quantize(_N_COLOURS, dither=Image.Dither.NONE)
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure for the page and for print."""

    figure: Figure

    @property
    def png(self) -> bytes:
        """The figure as PNG."""
        return png(self.figure)

    @property
    def pdf(self) -> bytes:
        """The figure as PDF, with vector lines and text, in bytes that do not depend on the time."""
        drawn = io.BytesIO()
        # Font type 42 keeps letters as text, as journals require.
        with matplotlib.rc_context({"pdf.fonttype": 42}):
            nothing = {"CreationDate": None, "Creator": None, "Producer": None}
            self.figure.savefig(drawn, format="pdf", dpi=2 * _DPI, metadata=nothing)
        return drawn.getvalue()


def empty_figure(
    height: float, rows: int = 1, columns: int = 1, *, share_x: bool = False, width: float = WIDTH
) -> tuple[Figure, Any]:
    """Return a figure of the page's width and its axes [rows, columns], without frames."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share_x)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    return figure, axes


def close_matrices(figure: Figure, axes: Any, n_drawn: int, drawn: Any, said: str) -> bytes:
    """Return a figure of matrices as PNG, without unused axes, and with one colour bar below that `said` labels."""
    for axis in islice(axes.flat, n_drawn, None):
        axis.set_axis_off()
    bar = figure.colorbar(drawn, ax=axes, location="bottom", fraction=0.04, aspect=40)
    bar.set_label(said, fontsize=9)
    return png(figure)

"""A model's training curves as a file that can be read without torch or Lightning."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

CURVES = "curves.csv"


def curves_text(curves: Sequence[Mapping[str, float]]) -> str:
    """Return the text of the file."""
    out = io.StringIO()
    if curves:
        writer = csv.DictWriter(out, fieldnames=list(curves[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(curves)
    return out.getvalue()


def read_curves(folder: Path) -> list[dict[str, float]]:
    """Read a model's training curves, one mapping for each epoch."""
    with (folder / CURVES).open(newline="", encoding="utf-8") as handle:
        return [
            {k: float(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(handle)
        ]

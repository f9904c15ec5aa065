"""New rows that a comparison's sampler gave, with the card that says what they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from priorgap.data.exports import Block, Format, format_of, write
from priorgap.report.card import DataCard, write_card


@dataclass(frozen=True, eq=False)
class Synthetic:
    """A synthetic data set.

    Attributes:
        x: the rows as data are stored: uint8 images [n, c, h, w], or float32 [n, d].
        label: their classes as your labels have them, [n]; None without.
        card: where they come from, what was measured, and whether they may be used.
    """

    x: np.ndarray
    label: np.ndarray | None
    card: DataCard

    def __len__(self) -> int:
        return len(self.x)

    def save(self, out: str | Path, file_format: Format | None = None) -> Path:
        """Write the rows to a new file (.npz, .parquet, .csv) or folder (of PNGs), and the card beside it.

        Returns:
            The card's path.

        Raises:
            ValueError: there is something already, or the name says no format; one line.
        """
        place = Path(out)
        chosen = format_of(place, file_format or "", images=self.x.dtype == np.uint8)
        if place.exists():
            raise ValueError(f"out={place}: exists already; expected a new path")
        write(place, iter([Block(self.x, self.label)]), len(self), chosen)
        return write_card(self.card, place)


def gathered(blocks: Iterator[Block], card: DataCard) -> Synthetic:
    """Return blocks as one data set."""
    parts = list(blocks)
    labels = [block.label for block in parts if block.label is not None]
    return Synthetic(
        np.concatenate([block.x for block in parts]), np.concatenate(labels) if labels else None, card
    )

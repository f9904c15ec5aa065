"""New rows from a comparison's sampler, with the card that describes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from priorgap.core.contexts import Contexts
from priorgap.data.exports import Block, Format, format_of, write, write_arrays
from priorgap.report.card import DataCard, write_card


@dataclass(frozen=True, eq=False)
class Synthetic:
    """A synthetic data set.

    Attributes:
        x: the rows in the stored form of data: uint8 images [n, c, h, w], or float32 [n, d].
        label: their classes in the form of your labels, [n]; None without.
        card: the rows' origin, what was measured, and whether they may be used.
        context: the rows' contexts: an array, or arrays by name; None for a model that takes no context.
    """

    x: np.ndarray
    label: np.ndarray | None
    card: DataCard
    context: np.ndarray | Mapping[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def save(self, out: str | Path, file_format: Format | None = None) -> Path:
        """Write the rows to a new file (.npz, .parquet, .csv) or folder (of PNGs), and the card beside it.

        Contexts, where there are any, are written to a file beside it whose name ends in `.context.npz`.

        Returns:
            The card's path.

        Raises:
            ValueError: the path exists already, or its name implies no format; one line.
        """
        place = Path(out)
        chosen = format_of(place, file_format or "", images=self.x.dtype == np.uint8)
        if place.exists():
            raise ValueError(f"out={place}: exists already; expected a new path")
        write(place, iter([Block(self.x, self.label)]), len(self), chosen)
        if self.context is not None:
            named = self.context if isinstance(self.context, Mapping) else {"context": self.context}
            write_arrays(place.with_name(f"{place.name}.context.npz"), named)
        return write_card(self.card, place)


def gathered(blocks: Iterator[Block], card: DataCard, contexts: Contexts | None = None) -> Synthetic:
    """Return blocks as one data set, with the contexts that belong to their numbers."""
    parts = list(blocks)
    labels = [block.label for block in parts if block.label is not None]
    numbers = [block.context for block in parts if block.context is not None]
    context: np.ndarray | Mapping[str, np.ndarray] | None = None
    if contexts is not None and numbers:
        values = contexts.take(torch.from_numpy(np.concatenate(numbers)))
        context = (
            values.numpy()
            if isinstance(values, Tensor)
            else {name: one.numpy() for name, one in values.items()}
        )
    return Synthetic(
        np.concatenate([block.x for block in parts]),
        np.concatenate(labels) if labels else None,
        card,
        context,
    )

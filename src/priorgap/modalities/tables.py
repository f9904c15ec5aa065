"""Rows of tables: numbers standardised, categories one-hot, as a layout says."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.modalities.gaps import GapLayout
from priorgap.modalities.protocol import Kind
from priorgap.tables.layout import TableLayout


@dataclass(frozen=True)
class Tables:
    """Rows of a table as vectors.

    Attributes:
        table: how the columns lie in a vector, and what values they stand for.
    """

    table: TableLayout
    kind: ClassVar[Kind] = "table"
    noun: ClassVar[str] = "row"
    n_axes: ClassVar[int] = 2
    dtype: ClassVar[torch.dtype] = torch.float32
    range: ClassVar[tuple[float, float] | None] = None
    pictures: ClassVar[bool] = False
    n_shown: ClassVar[int] = 500
    sequences: ClassVar[bool] = False
    gaps: ClassVar[GapLayout | None] = None
    space: ClassVar[str] = "data"
    feature_space: ClassVar[str] = "classifier"
    shifts: ClassVar[bool] = False
    grain: ClassVar[int] = 0

    def stored(self, x: Float[Tensor, "n d"]) -> Tensor:
        """Return values as they are, of 32 bits."""
        return x.float()

    def described(self, shape: tuple[int, ...]) -> str:
        """Return how many columns of which kinds the rows have."""
        return f"rows of {self.table.described()}"

"""Rows of tables: standardised numbers and one-hot categories, in the places that a layout gives."""

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
        table: the layout of the columns in a vector, with the values that they represent.
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
        """Return the values unchanged, as 32-bit floats."""
        return x.float()

    def described(self, shape: tuple[int, ...]) -> str:
        """Return the number of columns of each kind, in words."""
        return f"rows of {self.table.described()}"

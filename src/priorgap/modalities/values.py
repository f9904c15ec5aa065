"""Numbers on no common scale: vectors, and sequences of them; taken as they are."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.modalities.protocol import Kind
from priorgap.tables.layout import TableLayout


@dataclass(frozen=True)
class Values:
    """Numbers of 32 bits.

    Attributes:
        kind: vectors [d] or sequences [t, f].
        n_axes: with that of rows.
    """

    kind: Kind
    n_axes: int
    dtype: ClassVar[torch.dtype] = torch.float32
    range: ClassVar[tuple[float, float] | None] = None
    pictures: ClassVar[bool] = False
    table: ClassVar[TableLayout | None] = None
    space: ClassVar[str] = "data"
    grain: ClassVar[int] = 0

    @property
    def noun(self) -> str:
        """What one observation is called: windows are cut from a series, vectors are rows."""
        return "window" if self.sequences else "row"

    @property
    def n_shown(self) -> int:
        """Enough series for bands and correlations; vectors have no picture."""
        return 256 if self.sequences else 0

    @property
    def sequences(self) -> bool:
        """Whether they are values over time."""
        return self.n_axes == 3

    @property
    def shifts(self) -> bool:
        """Whether a copy that is shifted a little is a copy still: of series."""
        return self.sequences

    def stored(self, x: Float[Tensor, "n ..."]) -> Tensor:
        """Return values as they are, of 32 bits."""
        return x.float()

    def described(self, shape: tuple[int, ...]) -> str:
        """Return vectors or sequences, and their size."""
        if len(shape) == 1:
            return f"vectors of {shape[0]} values"
        return f"sequences of {shape[0]} steps of {shape[1]} values"


VECTORS = Values("float_vector", 2)
SEQUENCES = Values("float_sequence", 3)

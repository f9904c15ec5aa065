"""Numbers on no common scale: vectors, and sequences of them; taken as they are."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.modalities.gaps import GapLayout
from priorgap.modalities.protocol import Kind
from priorgap.tables.layout import TableLayout


@dataclass(frozen=True)
class Values:
    """Numbers of 32 bits.

    Attributes:
        kind: vectors [d] or sequences [t, f].
        n_axes: with that of rows.
        gaps: of sequences: which channels say what is missing; None: nothing is.
    """

    kind: Kind
    n_axes: int
    gaps: GapLayout | None = None
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
    def feature_space(self) -> str:
        """Random convolutions over time; a network of the rows' classes or clusters for vectors."""
        return "rocket" if self.sequences else "classifier"

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
        if self.gaps is None:
            return f"sequences of {shape[0]} steps of {shape[1]} values"
        n = len(self.gaps.about)
        return (
            f"sequences of {shape[0]} steps of {self.gaps.n_values} values and {n} "
            f"missing-indicator{'' if n == 1 else 's'}"
        )


VECTORS = Values("float_vector", 2)
SEQUENCES = Values("float_sequence", 3)

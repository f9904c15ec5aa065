"""Numbers without a common scale: vectors, and sequences of vectors; they are stored unchanged."""

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
    """32-bit floats.

    Attributes:
        kind: vectors [d] or sequences [t, f].
        n_axes: the number of axes, rows included.
        gaps: for sequences: the layout of missing-indicators; None: no values are missing.
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
        """The word for one observation: windows are cut from series, vectors are rows."""
        return "window" if self.sequences else "row"

    @property
    def n_shown(self) -> int:
        """Enough series for bands and correlations; 0 for vectors, which have no picture."""
        return 256 if self.sequences else 0

    @property
    def sequences(self) -> bool:
        """Whether the values are sequences over time."""
        return self.n_axes == 3

    @property
    def feature_space(self) -> str:
        """Random convolutions for sequences; for vectors a network that predicts the rows' classes or clusters."""
        return "rocket" if self.sequences else "classifier"

    @property
    def shifts(self) -> bool:
        """Whether a slightly shifted copy still counts as a copy: only for series."""
        return self.sequences

    def stored(self, x: Float[Tensor, "n ..."]) -> Tensor:
        """Return the values unchanged, as 32-bit floats."""
        return x.float()

    def described(self, shape: tuple[int, ...]) -> str:
        """Return vectors or sequences with their size, in words."""
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

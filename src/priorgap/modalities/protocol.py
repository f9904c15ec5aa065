"""What a modality answers."""

from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.modalities.gaps import GapLayout
from priorgap.tables.layout import TableLayout

# as data sets and results are stored
Kind = Literal["uint8_image", "float_vector", "float_sequence", "table"]


class Modality(Protocol):
    """What an observation is."""

    @property
    def kind(self) -> Kind:
        """The name under which data of it are stored."""
        ...

    @property
    def noun(self) -> str:
        """What one observation is called; its plural ends in s."""
        ...

    @property
    def n_axes(self) -> int:
        """The number of axes of many observations, the first that of rows."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type that observations are stored in."""
        ...

    @property
    def range(self) -> tuple[float, float] | None:
        """The interval that observations stay in as floats; None where there is none."""
        ...

    @property
    def pictures(self) -> bool:
        """Whether an observation can be looked at: previews, picture files, sharpness, metrics of image pairs."""
        ...

    @property
    def n_shown(self) -> int:
        """How many observations a report keeps to draw pictures of them; 0 where it draws none."""
        ...

    @property
    def sequences(self) -> bool:
        """Whether an observation is values over time, [steps, channels]: measures of series."""
        ...

    @property
    def table(self) -> TableLayout | None:
        """How a table's columns lie in a vector; None: observations are no rows of a table."""
        ...

    @property
    def gaps(self) -> GapLayout | None:
        """Which channels of windows say what is missing; None: observations have no missing-indicators."""
        ...

    @property
    def space(self) -> str:
        """The name of the space of the values themselves, in which copies are looked for."""
        ...

    @property
    def feature_space(self) -> str:
        """The name of the feature space that samples are compared in where none is chosen."""
        ...

    @property
    def shifts(self) -> bool:
        """Whether a copy that is shifted a little, or of images flipped, is a copy still."""
        ...

    @property
    def grain(self) -> int:
        """How far stored values may lie apart and still count as equal: a grey level of images."""
        ...

    def stored(self, x: Float[Tensor, "n ..."]) -> Tensor:
        """Return what a decoder gave as observations are stored."""
        ...

    def described(self, shape: tuple[int, ...]) -> str:
        """Return observations of a shape in words, in the plural."""
        ...

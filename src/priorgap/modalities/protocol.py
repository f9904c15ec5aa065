"""The protocol of modalities."""

from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.modalities.gaps import GapLayout
from priorgap.tables.layout import TableLayout

# The names under which data sets and results are stored.
Kind = Literal["uint8_image", "float_vector", "float_sequence", "table"]


class Modality(Protocol):
    """What an observation is."""

    @property
    def kind(self) -> Kind:
        """The name under which data of this modality are stored."""
        ...

    @property
    def noun(self) -> str:
        """The word for one observation; its plural is formed with s."""
        ...

    @property
    def n_axes(self) -> int:
        """The number of axes of a set of observations, rows included."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The data type in which observations are stored."""
        ...

    @property
    def range(self) -> tuple[float, float] | None:
        """The interval of observations as floats; None where it is unbounded."""
        ...

    @property
    def pictures(self) -> bool:
        """Whether an observation is an image: for previews, picture files, sharpness, metrics of image pairs."""
        ...

    @property
    def n_shown(self) -> int:
        """The number of observations that a report keeps for pictures; 0 where it shows none."""
        ...

    @property
    def sequences(self) -> bool:
        """Whether an observation is a sequence of values over time, [steps, channels], for measures of series."""
        ...

    @property
    def table(self) -> TableLayout | None:
        """The layout of a table's columns in a vector; None where observations are not table rows."""
        ...

    @property
    def gaps(self) -> GapLayout | None:
        """The layout of missing-indicators among the channels of windows; None where there are none."""
        ...

    @property
    def space(self) -> str:
        """The name of the space of the values themselves, in which copies are searched."""
        ...

    @property
    def feature_space(self) -> str:
        """The name of the default feature space, in which samples are compared."""
        ...

    @property
    def shifts(self) -> bool:
        """Whether a copy that is slightly shifted (or, for images, flipped) still counts as a copy."""
        ...

    @property
    def grain(self) -> int:
        """The distance up to which stored values count as equal: one grey level for images."""
        ...

    def stored(self, x: Float[Tensor, "n ..."]) -> Tensor:
        """Return a decoder's output in the stored form of observations."""
        ...

    def described(self, shape: tuple[int, ...]) -> str:
        """Return a plural description of observations of this shape."""
        ...

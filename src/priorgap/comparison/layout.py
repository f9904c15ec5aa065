"""How a user's model represents an observation: the order of its axes and the range of its values."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from priorgap.data.arrays import AS_IT_IS, Axes

_NAMES = {
    "channels_first": "[b, c, h, w]",
    "channels_last": "[b, h, w, c]",
    "no_channels": "[b, h, w]",
    "vectors": "[b, d]",
    "series": "[b, steps, channels]",
}


@dataclass(frozen=True)
class Layout:
    """The form of encode's input and decode's output.

    Attributes:
        axes: the axes of observations.
        range: the values of images that mean black and white.
    """

    axes: Axes
    range: tuple[float, float]

    @property
    def plain(self) -> bool:
        """Whether the model uses the stored form of observations: channels first, in [0, 1]."""
        return (self.axes == "channels_first" or not self.images) and self.range == (0.0, 1.0)

    @property
    def images(self) -> bool:
        """Whether values have a scale, as those of images have."""
        return self.axes not in AS_IT_IS

    @property
    def sentence(self) -> str:
        """The assumed form of the two callables' values, worded to follow a semicolon."""
        low, high = self.range
        return f"encode gets, and decode gives, {_NAMES[self.axes]} in [{low:g}, {high:g}]"

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return an observation's shape in the model, given its stored shape."""
        if self.axes == "no_channels":
            return stored[1:]
        return (*stored[1:], stored[0]) if self.axes == "channels_last" else stored

    def to_model(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Return stored observations (images in [0, 1]) in the model's form."""
        low, high = self.range
        if (low, high) != (0.0, 1.0):
            x = x * (high - low) + low
        if self.axes == "no_channels":
            return x[:, 0]
        return x.permute(0, 2, 3, 1).contiguous() if self.axes == "channels_last" else x

    def from_model(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Return the model's observations in stored form: the inverse of `to_model`."""
        if self.axes == "no_channels":
            x = x[:, None]
        elif self.axes == "channels_last":
            x = x.permute(0, 3, 1, 2).contiguous()
        return self.in_unit(x)

    def in_unit(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Return values of the model's range rescaled to [0, 1]."""
        low, high = self.range
        return x if (low, high) == (0.0, 1.0) else (x - low) / (high - low)

    def in_model(self, value: float) -> float:
        """Return a stored value in the model's range."""
        low, high = self.range
        return value if (low, high) == (0.0, 1.0) else value * (high - low) + low

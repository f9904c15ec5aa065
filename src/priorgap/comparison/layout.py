"""How a user's model has an observation: the order of its axes and the range of its values."""

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
    """What encode gets and decode gives.

    Attributes:
        axes: of observations.
        range: the values of images that stand for black and white.
    """

    axes: Axes
    range: tuple[float, float]

    @property
    def plain(self) -> bool:
        """Whether the model has observations as they are stored: channels first, in [0, 1]."""
        return (self.axes == "channels_first" or not self.images) and self.range == (0.0, 1.0)

    @property
    def images(self) -> bool:
        """Whether values have a scale, as those of images."""
        return self.axes not in AS_IT_IS

    @property
    def sentence(self) -> str:
        """What the two callables are taken to do, to stand after a semicolon."""
        low, high = self.range
        return f"encode gets, and decode gives, {_NAMES[self.axes]} in [{low:g}, {high:g}]"

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of an observation in the model, by the stored one."""
        if self.axes == "no_channels":
            return stored[1:]
        return (*stored[1:], stored[0]) if self.axes == "channels_last" else stored

    def to_model(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Return stored observations, images in [0, 1], as the model has them."""
        low, high = self.range
        if (low, high) != (0.0, 1.0):
            x = x * (high - low) + low
        if self.axes == "no_channels":
            return x[:, 0]
        return x.permute(0, 2, 3, 1).contiguous() if self.axes == "channels_last" else x

    def from_model(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Return what the model gives as observations are stored: the inverse of `to_model`."""
        if self.axes == "no_channels":
            x = x[:, None]
        elif self.axes == "channels_last":
            x = x.permute(0, 3, 1, 2).contiguous()
        return self.in_unit(x)

    def in_unit(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Return values of the model's range as values of [0, 1]."""
        low, high = self.range
        return x if (low, high) == (0.0, 1.0) else (x - low) / (high - low)

    def in_model(self, value: float) -> float:
        """Return a stored value as the model has it."""
        low, high = self.range
        return value if (low, high) == (0.0, 1.0) else value * (high - low) + low

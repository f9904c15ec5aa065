"""Encoders and decoders: the encoder ends with an affine head (mean, log_var), the decoder starts affine in z.

Calibration needs both (`models.calibrate`). There is no batch normalisation, because it would make the
decoding of one row depend on the others.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

from torch import nn

MAX_LATENT_DIM = 256
# A layer between two layers of this width has 4e9 weights; a larger number is a typing error.
MAX_WIDTH = 65_536


@runtime_checkable
class Architecture(Protocol):
    """A frozen dataclass of sizes that builds an encoder and a decoder."""

    @property
    def latent_dim(self) -> int:
        """Dimension d of z."""
        ...

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        """Return encoder x -> [n, 2 d] (means, then log-variances) and decoder z -> raw [n, *shape]."""
        ...

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        """Return the encoder's layers with an affine head of another width."""
        ...

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Return the decoder."""
        ...


def check_latent_dim(latent_dim: int) -> None:
    """Check the dimension of z.

    Raises:
        ValueError: it is not an integer from 1 to `MAX_LATENT_DIM`.
    """
    if (
        isinstance(latent_dim, bool)
        or not isinstance(latent_dim, int)
        or not 1 <= latent_dim <= MAX_LATENT_DIM
    ):
        raise ValueError(f"latent_dim={latent_dim}: expected an integer from 1 to {MAX_LATENT_DIM}")


def check_widths(key: str, widths: tuple[int, ...], *, may_be_empty: bool) -> None:
    """Check the widths of layers; `key` is their name in messages.

    Raises:
        ValueError: one is not an integer from 1 to `MAX_WIDTH`, or the list is empty and must not be.
    """
    fits = [not isinstance(w, bool) and int(w) == w and 1 <= w <= MAX_WIDTH for w in widths]
    if (not widths and not may_be_empty) or not all(fits):
        raise ValueError(f"{key}={list(widths)}: expected positive integers of at most {MAX_WIDTH}")


def _dense(widths: list[int]) -> list[nn.Module]:
    """Return affine layers of these widths with ReLU between them and none after the last."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return layers[:-1]


@dataclass(frozen=True)
class MLP:
    """Fully connected layers with ReLU; the decoder mirrors the encoder.

    Attributes:
        latent_dim: d.
        hidden: widths of the encoder's hidden layers.
    """

    latent_dim: int = 16
    hidden: tuple[int, ...] = (512, 256)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        check_latent_dim(self.latent_dim)
        check_widths("hidden", self.hidden, may_be_empty=False)

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        """Return the encoder and the decoder for observations of this shape."""
        return self.encoder(shape, 2 * self.latent_dim), self.decoder(shape)

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        """Return layers x -> [n, n_outputs]."""
        return nn.Sequential(nn.Flatten(), *_dense([math.prod(shape), *self.hidden, n_outputs]))

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Return layers z -> raw [n, *shape]."""
        widths = [self.latent_dim, *reversed(self.hidden), math.prod(shape)]
        return nn.Sequential(*_dense(widths), nn.Unflatten(1, shape))


@dataclass(frozen=True)
class Linear:
    """One affine map each way: the model whose optimum on Gaussian data is known in closed form.

    Attributes:
        latent_dim: d.
    """

    latent_dim: int = 16

    def __post_init__(self) -> None:
        check_latent_dim(self.latent_dim)

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        """Return the encoder and the decoder for observations of this shape."""
        return self.encoder(shape, 2 * self.latent_dim), self.decoder(shape)

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        """Return one affine map x -> [n, n_outputs]."""
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), n_outputs))

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Return one affine map z -> raw [n, *shape]."""
        return nn.Sequential(nn.Linear(self.latent_dim, math.prod(shape)), nn.Unflatten(1, shape))


@dataclass(frozen=True)
class Conv:
    """Stride-2 convolutions, one per entry of `channels`, and their transposes; for images.

    Attributes:
        latent_dim: d.
        channels: channels after each halving; an image's sides must be divisible by 2^len(channels).
        hidden: width of the affine layer on either side of z.
    """

    latent_dim: int = 16
    channels: tuple[int, ...] = (32, 64)
    hidden: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_latent_dim(self.latent_dim)
        check_widths("channels", self.channels, may_be_empty=False)
        check_widths("hidden", (self.hidden,), may_be_empty=False)

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        """Return the encoder and the decoder for images [c, h, w].

        Raises:
            ValueError: the data are not images, or a side is not a multiple of 2^len(channels) from 8 to 128.
        """
        # Both lists of convolutions are built first, because the order in which weights are drawn is part of
        # a model's identity.
        down, up = self._down(shape), self._up(shape)
        return self._encoder(down, shape, 2 * self.latent_dim), self._decoder(up, shape)

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        """Return layers x -> [n, n_outputs] for images; raises as `build` does."""
        return self._encoder(self._down(shape), shape, n_outputs)

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Return layers z -> raw [n, *shape] for images; raises as `build` does."""
        return self._decoder(self._up(shape), shape)

    def _encoder(self, down: list[nn.Module], shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        widths = [math.prod(self._smallest(shape)), self.hidden, n_outputs]
        return nn.Sequential(*down, nn.Flatten(), *_dense(widths))

    def _decoder(self, up: list[nn.Module], shape: tuple[int, ...]) -> nn.Sequential:
        small = self._smallest(shape)
        first = _dense([self.latent_dim, self.hidden, math.prod(small)])
        return nn.Sequential(*first, nn.ReLU(), nn.Unflatten(1, small), *up)

    def _down(self, shape: tuple[int, ...]) -> list[nn.Module]:
        self._smallest(shape)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((shape[0], *self.channels)):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.ReLU()]
        return layers

    def _up(self, shape: tuple[int, ...]) -> list[nn.Module]:
        self._smallest(shape)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((*reversed(self.channels), shape[0])):
            layers += [nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1), nn.ReLU()]
        return layers[:-1]

    def _smallest(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return the shape of the smallest feature map; refuse data of another shape."""
        factor = 2 ** len(self.channels)
        if len(shape) != 3:
            raise ValueError(f"model=conv: expected images [c, h, w], the data have shape {list(shape)}")
        _, height, width = shape
        if any(side % factor or not 8 <= side <= 128 for side in (height, width)):
            raise ValueError(
                f"model=conv: images of {height} x {width}; with {len(self.channels)} channel sizes "
                f"expected sides that are multiples of {factor} from 8 to 128"
            )
        return self.channels[-1], height // factor, width // factor

"""Convolutions with batch normalisation, of a decoder that need not mirror the encoder."""

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from priorgap.models.networks import check_latent_dim, check_widths

# Keras's batch normalisation: 0.99 of the running moments are kept at each step
_EPSILON, _MOMENTUM = 1e-3, 0.01


@dataclass(frozen=True)
class NormedConv:
    """Stride-2 convolutions of 4 x 4, each with batch normalisation and ReLU; an affine layer on either side of z.

    The decoder begins with an affine map to `up_channels[0]` channels, doubles the sides once for each further entry,
    and ends in a convolution of 4 x 4 without a stride. Weights start from Glorot's uniform distribution, biases
    from 0. A trained model goes by its running moments, so that no row depends on others; in training rows do.

    **Source**: Ghosh et al. (2020), "From variational to deterministic autoencoders": the defaults are their network
    for MNIST, padded to 32 x 32 (`models/rae/rae_mnist.py` of their code).

    Attributes:
        latent_dim: d.
        channels: of the encoder, after each halving.
        up_channels: of the decoder, before each doubling and after the last.
    """

    latent_dim: int = 16
    channels: tuple[int, ...] = (128, 256, 512, 1024)
    up_channels: tuple[int, ...] = (1024, 512, 256)

    def __post_init__(self) -> None:
        check_latent_dim(self.latent_dim)
        for key in ("channels", "up_channels"):
            object.__setattr__(self, key, tuple(getattr(self, key)))
            check_widths(key, getattr(self, key), may_be_empty=False)

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        """Return the encoder and the decoder for images [c, h, w].

        Raises:
            ValueError: the data are not images, or a side cannot be halved so often.
        """
        return self.encoder(shape, 2 * self.latent_dim), self.decoder(shape)

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        """Return layers x -> [n, n_outputs] with an affine head; raises as `build` does."""
        height, width = _halved(shape, len(self.channels))
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((shape[0], *self.channels)):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), *_normed(n_out)]
        head = nn.Linear(self.channels[-1] * height * width, n_outputs)
        return _started(nn.Sequential(*layers, nn.Flatten(), head))

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Return layers z -> raw [n, *shape]; raises as `build` does."""
        height, width = _halved(shape, len(self.up_channels) - 1)
        first = self.up_channels[0]
        layers: list[nn.Module] = [
            nn.Linear(self.latent_dim, first * height * width),
            nn.Unflatten(1, (first, height, width)),
        ]
        for n_in, n_out in pairwise(self.up_channels):
            layers += [nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1), *_normed(n_out)]
        # an even kernel without a stride: one row and one column too many, cut at the end as Keras does
        last = [
            nn.ConvTranspose2d(self.up_channels[-1], shape[0], 4, padding=1),
            nn.ZeroPad2d((0, -1, 0, -1)),
        ]
        return _started(nn.Sequential(*layers, *last))


def _halved(shape: tuple[int, ...], times: int) -> tuple[int, int]:
    """Return the sides of the smallest map, or refuse the data's shape."""
    if len(shape) != 3:
        raise ValueError(f"model=normed_conv: expected images [c, h, w], the data have shape {list(shape)}")
    factor = 2**times
    _, height, width = shape
    if height % factor or width % factor:
        raise ValueError(
            f"model=normed_conv: images of {height} x {width}: expected sides that are multiples of {factor}"
        )
    return height // factor, width // factor


def _normed(n_channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(n_channels, eps=_EPSILON, momentum=_MOMENTUM), nn.ReLU()]


def _started(network: nn.Sequential) -> nn.Sequential:
    """Return a network whose weights start as Keras's do."""
    for layer in network:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return network

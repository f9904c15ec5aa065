"""Encoders and decoders of series [T, f]: dilated convolutions over time, and recurrent networks.

As in `models.networks` the encoder ends with an affine head and the decoder starts with an affine layer; nothing is
normalised over a batch, so that no row depends on the others.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.models.networks import check_latent_dim, check_widths

MAX_LAYERS = 32
MAX_KERNEL_SIZE = 31


def steps_and_channels(model: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return T and f of series.

    Raises:
        ValueError: the data are not series.
    """
    if len(shape) != 2:
        raise ValueError(
            f"model={model}: expected series [steps, channels] (data=windows, data=sines), "
            f"the data have shape {list(shape)}"
        )
    return shape[0], shape[1]


def _check_n_layers(n_layers: int) -> None:
    if isinstance(n_layers, bool) or not isinstance(n_layers, int) or not 1 <= n_layers <= MAX_LAYERS:
        raise ValueError(f"n_layers={n_layers}: expected an integer from 1 to {MAX_LAYERS}")


class _Transpose(nn.Module):
    """[n, a, b] -> [n, b, a], because convolutions expect channels before steps."""

    def forward(self, x: Float[Tensor, "n a b"]) -> Float[Tensor, "n b a"]:
        return x.transpose(1, 2)


class _DilatedBlock(nn.Module):
    """x + two dilated convolutions over time, each after a ReLU; the number of steps does not change."""

    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.first = nn.Conv1d(channels, channels, kernel_size, padding=padding, dilation=dilation)
        self.second = nn.Conv1d(channels, channels, kernel_size, padding=padding, dilation=dilation)

    def forward(self, x: Float[Tensor, "n c t"]) -> Float[Tensor, "n c t"]:
        change: Tensor = self.second(self.first(x.relu()).relu())
        return x + change


@dataclass(frozen=True)
class TCN:
    """Residual blocks of dilated convolutions over time; the decoder mirrors the encoder. For series.

    The convolutions use both directions of time: a window is encoded and generated as a whole, not step by step.

    **Source**: Bai, Kolter & Koltun (2018), "An Empirical Evaluation of Generic Convolutional and Recurrent Networks
    for Sequence Modeling"; here without causal padding, weight norm and dropout.

    Attributes:
        latent_dim: d.
        hidden: channels of each convolution.
        n_layers: residual blocks on either side of z; dilations are 1, 2, 4, ... and start again from 1 where the
            next one would exceed the window.
        kernel_size: the number of steps of a convolution's kernel, odd.
    """

    latent_dim: int = 16
    hidden: int = 32
    n_layers: int = 4
    kernel_size: int = 3

    def __post_init__(self) -> None:
        check_latent_dim(self.latent_dim)
        check_widths("hidden", (self.hidden,), may_be_empty=False)
        _check_n_layers(self.n_layers)
        size = self.kernel_size
        if not isinstance(size, int) or size % 2 == 0 or not 3 <= size <= MAX_KERNEL_SIZE:
            raise ValueError(f"kernel_size={size}: expected an odd integer from 3 to {MAX_KERNEL_SIZE}")

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        """Return the encoder and the decoder for series [T, f].

        Raises:
            ValueError: the data are not series.
        """
        return self.encoder(shape, 2 * self.latent_dim), self.decoder(shape)

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        """Return layers x -> [n, n_outputs] for series; raises as `build` does."""
        n_steps, n_channels = steps_and_channels("tcn", shape)
        return nn.Sequential(
            _Transpose(),
            nn.Conv1d(n_channels, self.hidden, 1),
            *[self._block(dilation) for dilation in self._dilations(n_steps)],
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(self.hidden * n_steps, n_outputs),
        )

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Return layers z -> raw [n, T, f] for series; raises as `build` does."""
        n_steps, n_channels = steps_and_channels("tcn", shape)
        return nn.Sequential(
            nn.Linear(self.latent_dim, self.hidden * n_steps),
            nn.Unflatten(1, (self.hidden, n_steps)),
            *[self._block(dilation) for dilation in reversed(self._dilations(n_steps))],
            nn.ReLU(),
            nn.Conv1d(self.hidden, n_channels, 1),
            _Transpose(),
        )

    def _block(self, dilation: int) -> _DilatedBlock:
        return _DilatedBlock(self.hidden, self.kernel_size, dilation)

    def _dilations(self, n_steps: int) -> list[int]:
        """Return powers of 2 below the number of steps, repeated from 1 until there are enough."""
        n_powers = max(1, (n_steps - 1).bit_length())
        return [2 ** (layer % n_powers) for layer in range(self.n_layers)]


class _LastStates(nn.Module):
    """Maps a series to the last layer's states after reading it forwards and backwards, [n, 2 hidden]."""

    def __init__(self, n_channels: int, hidden: int, n_layers: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_channels, hidden, n_layers, batch_first=True, bidirectional=True)

    def forward(self, x: Float[Tensor, "n t f"]) -> Float[Tensor, "n h2"]:
        _, states = self.gru(x)
        return torch.cat([states[-2], states[-1]], dim=1)


class _Unroll(nn.Module):
    """Maps initial states of all layers, and an input that is the same at every step, to outputs [n, T, hidden]."""

    def __init__(self, n_steps: int, hidden: int, n_layers: int) -> None:
        super().__init__()
        self.gru = nn.GRU(hidden, hidden, n_layers, batch_first=True)
        self.n_steps = n_steps

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n t hidden"]:
        parts = x.unflatten(1, (self.gru.num_layers + 1, self.gru.hidden_size))
        driven = parts[:, :1].expand(-1, self.n_steps, -1)
        # A GRU's states lie between -1 and 1, and so must the initial ones.
        states = parts[:, 1:].tanh().transpose(0, 1)
        found: Tensor = self.gru(driven.contiguous(), states.contiguous())[0]
        return found


@dataclass(frozen=True)
class GRU:
    """A bidirectional GRU encodes the series; a GRU with initial states and inputs from z generates it. For series.

    One affine layer gives the decoder's initial states and its input at every step, so that z enters in one place,
    where calibration folds its shift and scale. There is no teacher forcing: the decoder never gets x.

    **Source**: Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
    Translation", for the unit.

    Attributes:
        latent_dim: d.
        hidden: width of the state; in the encoder, of each direction.
        n_layers: recurrent layers on either side of z.
    """

    latent_dim: int = 16
    hidden: int = 64
    n_layers: int = 1

    def __post_init__(self) -> None:
        check_latent_dim(self.latent_dim)
        check_widths("hidden", (self.hidden,), may_be_empty=False)
        _check_n_layers(self.n_layers)

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        """Return the encoder and the decoder for series [T, f].

        Raises:
            ValueError: the data are not series.
        """
        return self.encoder(shape, 2 * self.latent_dim), self.decoder(shape)

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        """Return layers x -> [n, n_outputs] for series; raises as `build` does."""
        _, n_channels = steps_and_channels("gru", shape)
        reader = _LastStates(n_channels, self.hidden, self.n_layers)
        return nn.Sequential(reader, nn.Linear(2 * self.hidden, n_outputs))

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Return layers z -> raw [n, T, f] for series; raises as `build` does."""
        n_steps, n_channels = steps_and_channels("gru", shape)
        return nn.Sequential(
            nn.Linear(self.latent_dim, (self.n_layers + 1) * self.hidden),
            _Unroll(n_steps, self.hidden, self.n_layers),
            nn.Linear(self.hidden, n_channels),
        )

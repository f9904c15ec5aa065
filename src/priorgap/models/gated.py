"""Fully connected networks of gated layers, with bounded log-variances."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from priorgap.models.networks import check_latent_dim, check_widths


class BoundedLogVar(nn.Module):
    """Clamps the second half of the columns, the log-variances, to [low, high]; the gradient is 0 outside."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Float[Tensor, "n d2"]) -> Float[Tensor, "n d2"]:
        """Return the means unchanged, and the log-variances clamped to their bounds."""
        mean, log_var = x.chunk(2, dim=1)
        return torch.cat([mean, functional.hardtanh(log_var, self.low, self.high)], dim=1)


@dataclass(frozen=True)
class GatedMLP:
    """Gated layers h = (W x + b) * sigmoid(V x + c); the decoder mirrors the encoder.

    W and V are one affine layer, followed by a GLU. All weights start from N(0, 2 / number of inputs).

    **Source**: Dauphin et al. (2017), "Language modeling with gated convolutional networks" (the gate); Tomczak &
    Welling (2018), "VAE with a VampPrior" (sizes, bounds and initial weights).

    Attributes:
        latent_dim: d.
        hidden: widths of the encoder's hidden layers, after the gate.
        log_var_bounds: the smallest and the largest log-variance of the encoder; None for no bounds.
    """

    latent_dim: int = 40
    hidden: tuple[int, ...] = (300, 300)
    log_var_bounds: tuple[float, float] | None = (-6.0, 2.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        check_latent_dim(self.latent_dim)
        check_widths("hidden", self.hidden, may_be_empty=False)
        if self.log_var_bounds is not None:
            object.__setattr__(self, "log_var_bounds", _checked_bounds(self.log_var_bounds))

    def build(self, shape: tuple[int, ...]) -> tuple[nn.Sequential, nn.Sequential]:
        """Return the encoder and the decoder for observations of this shape."""
        encoder = self.encoder(shape, 2 * self.latent_dim)
        if self.log_var_bounds is not None:
            encoder.append(BoundedLogVar(*self.log_var_bounds))
        return encoder, self.decoder(shape)

    def encoder(self, shape: tuple[int, ...], n_outputs: int) -> nn.Sequential:
        """Return layers x -> [n, n_outputs] with an affine head, without bounds."""
        return nn.Sequential(nn.Flatten(), *_gated([math.prod(shape), *self.hidden], n_outputs))

    def decoder(self, shape: tuple[int, ...]) -> nn.Sequential:
        """Return layers z -> raw [n, *shape]."""
        widths = [self.latent_dim, *reversed(self.hidden)]
        return nn.Sequential(*_gated(widths, math.prod(shape)), nn.Unflatten(1, shape))


def _checked_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    given = tuple(bounds)
    numbers = [isinstance(b, int | float) and not isinstance(b, bool) and math.isfinite(b) for b in given]
    if len(given) != 2 or not all(numbers) or not given[0] < given[1]:
        raise ValueError(
            f"log_var_bounds={list(given)}: expected two numbers, the smaller one first, or null"
        )
    return float(given[0]), float(given[1])


def _gated(widths: list[int], n_outputs: int) -> list[nn.Module]:
    """Return gated layers of these widths and an affine head."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [_affine(n_in, 2 * n_out), nn.GLU(dim=1)]
    return [*layers, _affine(widths[-1], n_outputs)]


def _affine(n_in: int, n_out: int) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    nn.init.kaiming_normal_(layer.weight)
    return layer

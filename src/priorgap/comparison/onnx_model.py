"""A VAE in two ONNX files, as the encode and decode that `compare` takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from priorgap.comparison.model_outputs import posterior_of
from priorgap.core.onnx_network import OnnxNetwork


@dataclass(frozen=True, eq=False)
class OnnxEncoder:
    """x [b, ...] -> the outputs by name if the names identify mean and log-variance, else in order."""

    network: OnnxNetwork
    named: bool

    def __call__(self, x: Tensor) -> Tensor | tuple[Tensor, ...] | Mapping[str, Tensor]:
        """Return the network's outputs."""
        found = self.network(x)
        if self.named:
            return dict(zip(self.network.outputs, found, strict=True))
        return found[0] if len(found) == 1 else found


@dataclass(frozen=True, eq=False)
class OnnxDecoder:
    """z [b, ...] -> x [b, ...]."""

    network: OnnxNetwork

    def __call__(self, z: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the network's output; `compare` picks the one with an observation's shape if there are several."""
        found = self.network(z)
        return found[0] if len(found) == 1 else found


def onnx_model(encoder: str | Path, decoder: str | Path) -> tuple[OnnxEncoder, OnnxDecoder]:
    """Return encode and decode of a VAE that was exported to ONNX, for `compare`.

    Args:
        encoder: a file with one input, x, and outputs mean and log_var: by these names (`mu`, `logvar`, ...), or
            in this order. A single output means a plain autoencoder.
        decoder: a file with one input, z, that gives x: E[x|z].

    The first axis of every input and output counts rows, with a free or a fixed length. Floats of 16, 32 or 64 bits
    are accepted.

    Raises:
        ValueError: onnxruntime is not installed, or a file does not hold such a network; one line.

    Example:
        >>> compare(*onnx_model("encoder.onnx", "decoder.onnx"), train, test)  # doctest: +SKIP
    """
    encoding = OnnxNetwork(encoder, "encoder")
    return OnnxEncoder(encoding, _tells(encoding.outputs)), OnnxDecoder(OnnxNetwork(decoder, "decoder"))


def _tells(names: tuple[str, ...]) -> bool:
    """Whether the outputs' names identify mean and log-variance."""
    row = torch.ones(1, 1)
    try:
        _, log_var = posterior_of(dict.fromkeys(names, row))
    except ValueError:
        return False
    # One known name of two does not identify the other output.
    return log_var is not None or len(names) == 1

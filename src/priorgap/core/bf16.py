"""Matrix products in bfloat16 and all else in float32, for training on processors that compute them fast."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


@contextmanager
def bf16(*networks: nn.Module) -> Iterator[None]:
    """Run networks' products in bfloat16, forwards and backwards, while the context is open; they return float32.

    Recurrent layers stay in float32: their products are inputs of the next step, so that rounding errors would add up
    over steps. Weights, losses and the optimiser's state stay in float32, so that sums over a batch and over pixels
    lose nothing; bfloat16 has float32's range, so that no scaling of the loss is needed.
    """
    with rounded(rounded_parts(*networks)):
        yield


@contextmanager
def rounded(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Run modules as `bf16` does, whose parts they are; for loops that ask for them once."""
    for part in parts:
        part.forward = partial(_rounded, part.forward)
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def rounded_parts(*networks: nn.Module) -> list[nn.Module]:
    """Return the modules to round as a whole: networks, or the single layers of those with recurrent ones."""
    found: list[nn.Module] = []
    for network in networks:
        modules = list(network.modules())
        recurrent = any(isinstance(m, nn.RNNBase) for m in modules)
        found += [m for m in modules if isinstance(m, _PRODUCTS)] if recurrent else [network]
    return found


def _rounded(forward: Callable[..., Tensor], *given: Tensor) -> Tensor:
    with torch.autocast(given[0].device.type, torch.bfloat16):
        return forward(*given).float()

"""Matrix products in bfloat16 and all else in float32, for training on processors that compute them fast."""

from collections.abc import Callable, Iterator
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
    parts = [part for network in networks for part in _rounded_parts(network)]
    for part in parts:
        part.forward = partial(_rounded, part.forward)
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def _rounded_parts(network: nn.Module) -> list[nn.Module]:
    """Return the modules to round as a whole: the network, or its single layers where some of them are recurrent."""
    modules = list(network.modules())
    if any(isinstance(m, nn.RNNBase) for m in modules):
        return [m for m in modules if isinstance(m, _PRODUCTS)]
    return [network]


def _rounded(forward: Callable[..., Tensor], *given: Tensor) -> Tensor:
    with torch.autocast(given[0].device.type, torch.bfloat16):
        return forward(*given).float()

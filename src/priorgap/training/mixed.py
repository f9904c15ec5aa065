"""Training in mixed precision: products in bfloat16, all else in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

_PRODUCTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@contextmanager
def bf16(*networks: nn.Module) -> Iterator[None]:
    """Let the affine and convolutional layers multiply in bfloat16, backwards too, while the context is open.

    Weights, what is between the layers, losses and the optimiser's state stay in float32, so that sums over a
    batch and over pixels lose nothing; bfloat16 has float32's range, so that no scaling of the loss is needed.
    """
    layers = [m for network in networks for m in network.modules() if isinstance(m, _PRODUCTS)]
    for layer in layers:
        layer.forward = partial(_rounded, layer.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _rounded(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, torch.bfloat16):
        return forward(x).float()

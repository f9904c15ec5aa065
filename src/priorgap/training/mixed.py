"""Training in mixed precision: products in bfloat16, all else in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from priorgap.training.lightning import Precision

_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


class Bf16Products(Precision):
    """`bf16` in training steps, as Lightning's precision plugin.

    Lightning's own `bf16-mixed` would cast what enters the losses (means, log-variances), and validation too.

    Args:
        networks: whose layers multiply in bfloat16.
    """

    def __init__(self, *networks: nn.Module) -> None:
        self._networks = networks

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        """Open `bf16` for the forward pass; the backward pass follows it."""
        with bf16(*self._networks):
            yield


@contextmanager
def bf16(*networks: nn.Module) -> Iterator[None]:
    """Let the affine and convolutional layers multiply in bfloat16, backwards too, while the context is open.

    Recurrent layers stay in float32: their products feed the next step, so that rounding would add up over steps.
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

"""Training in mixed precision, as Lightning's precision plugin."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from priorgap.core.bf16 import bf16
from priorgap.training.lightning import Precision


class Bf16Products(Precision):
    """`bf16` in training steps.

    Lightning's own `bf16-mixed` would cast what enters the losses (means, log-variances), and validation too.

    Args:
        networks: whose products are in bfloat16.
    """

    def __init__(self, *networks: nn.Module) -> None:
        self._networks = networks

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        """Open `bf16` for the forward pass; the backward pass follows it."""
        with bf16(*self._networks):
            yield

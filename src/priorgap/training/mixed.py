"""Training in mixed precision, as a precision plugin for Lightning."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from priorgap.core.bf16 import rounded, rounded_parts
from priorgap.training.lightning import Precision


class Bf16Products(Precision):
    """Applies `bf16` to training steps.

    Lightning's own `bf16-mixed` would also cast the inputs of the losses (means, log-variances), and
    validation.

    Args:
        networks: the networks whose products are in bfloat16.
    """

    def __init__(self, *networks: nn.Module) -> None:
        self._parts = rounded_parts(*networks)

    @contextmanager
    def train_step_context(self) -> Iterator[None]:
        """Open `bf16` for the forward pass; the backward pass uses the same types."""
        with rounded(self._parts):
            yield

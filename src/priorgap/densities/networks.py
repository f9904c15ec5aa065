"""Common parts of densities that are networks: standardised z, settings of the fit, the best epoch."""

import copy
import math
from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

# The least scale, because a collapsed unit has no spread of its own.
_LEAST_SCALE = 1e-6


class Standardised(Protocol):
    """A network that standardises its input as (z - centre) / scale."""

    centre: Tensor
    scale: Tensor


def standardise(network: Standardised, z: Float[Tensor, "n d"]) -> None:
    """Set a network's centre and scale to the mean and standard deviation of each unit of z."""
    network.centre.copy_(z.mean(0))
    network.scale.copy_(z.std(0).clamp_min(_LEAST_SCALE))


def check_fit(*, epochs: int, batch_size: int, learning_rate: float, weight_decay: float) -> None:
    """Refuse settings with which nothing can be fitted.

    Raises:
        ValueError: one line that names the setting.
    """
    for key, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{key}={value}: expected an integer of at least 1")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate={learning_rate}: expected a number above 0")
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay={weight_decay}: expected a number of at least 0")


class BestEpoch:
    """The weights of the best epoch so far.

    Args:
        network: the network that is trained.
        loss: returns the loss of the network in its current state, which is to be minimal; None: the last
            epoch counts as best.
    """

    def __init__(self, network: nn.Module, loss: Callable[[], float] | None) -> None:
        self._network, self._loss = network, loss
        self._least = math.inf
        self._weights: dict[str, Tensor] | None = None

    def look(self, epoch: int, loss: float) -> None:
        """Evaluate the network; keep its weights if it is the best so far."""
        if self._loss is None:
            return
        self._network.eval()
        with torch.no_grad():
            found = self._loss()
        if found < self._least:
            self._least, self._weights = found, copy.deepcopy(self._network.state_dict())
        self._network.train()

    def restore(self) -> None:
        """Load the best weights into the network."""
        if self._weights is not None:
            self._network.load_state_dict(self._weights)

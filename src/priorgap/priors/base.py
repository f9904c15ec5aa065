"""What a prior must be able to do."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Prior(nn.Module, ABC):
    """A law p(z) on R^dim that a VAE is trained with."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim={dim}: expected an integer of at least 1")
        self.dim = dim

    @abstractmethod
    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log p(z), nats."""

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows of z, on the CPU, in one call."""

    def kl(self, mean: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]) -> Float[Tensor, "n d"] | None:
        """Return KL(N(mean, exp log_var) || p) per unit, nats, or None where it has no closed form."""
        return None

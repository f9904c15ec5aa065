"""The standard normal prior N(0, I)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.priors.base import Prior


class StandardNormal(Prior):
    """p(z) = N(0, I)."""

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return -|z|^2 / 2 - d/2 log(2 pi), nats."""
        return -0.5 * z.square().sum(1) - 0.5 * self.dim * math.log(2 * math.pi)

    def sample(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows of standard normal noise, on the CPU, in one call.

        Raises:
            ValueError: n is below 1.
        """
        if n < 1:
            raise ValueError(f"n={n}: expected at least 1")
        return torch.randn(n, self.dim, generator=generator)

    def kl(self, mean: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return (mean^2 + s^2 - 1 - log s^2) / 2 per unit, nats, never negative.

        expm1 keeps the precision that e^v - 1 - v loses near v = 0.
        """
        return 0.5 * (mean.square() + torch.expm1(log_var) - log_var)

"""The contract of priors, and how a learned prior gets its parameters."""

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@runtime_checkable
class PriorSpec(Protocol):
    """A prior as the configuration names it: one without parameters, or the sizes of a learned one."""

    @property
    def dim(self) -> int:
        """Dimension of z."""
        ...

    def build(self, encoder: nn.Module, shape: tuple[int, ...]) -> "Prior":
        """Return the prior of one model; its initial parameters are drawn from the global random state.

        Args:
            encoder: the model's own, x -> [n, 2 d], means then log-variances.
            shape: shape of one observation.
        """
        ...


class Prior(nn.Module, ABC):
    """A distribution p(z) on R^dim that a VAE is trained with; one without parameters is its own `PriorSpec`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        check_count("dim", dim)
        self.dim = dim

    def build(self, encoder: nn.Module, shape: tuple[int, ...]) -> "Prior":
        """Return itself, because there are no parameters to draw."""
        return self

    @abstractmethod
    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log p(z), nats, in the precision of z."""

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows of z in one call, on the CPU, where the prior must be at that time."""

    def kl(self, mean: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]) -> Float[Tensor, "n d"] | None:
        """Return KL(N(mean, exp log_var) || p) per unit, nats, or None where it has no closed form."""
        return None


def check_count(key: str, value: object, most: int | None = None) -> None:
    """Refuse a value that is no positive integer.

    Raises:
        ValueError: one line with the key, the value and what was expected.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most and value > most):
        expected = "an integer of at least 1" if most is None else f"an integer from 1 to {most}"
        raise ValueError(f"{key}={value}: expected {expected}")

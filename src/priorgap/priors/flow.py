"""A normalising flow as a prior, trained with the model."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.priors.base import Prior, check_count

Kind = Literal["nsf", "maf"]
_LOG_2PI = math.log(2 * math.pi)
# Rows in one call of the inverse, which stores spline parameters for every row and unit.
_CHUNK = 2000


@contextmanager
def unchanged_distributions() -> Iterator[None]:
    """Undo a side effect of importing zuko, which switches off torch.distributions' argument checks everywhere."""
    base = torch.distributions.Distribution
    validate, constraints = base._validate_args, base.__dict__["arg_constraints"]
    try:
        yield
    finally:
        base.set_default_validate_args(validate)
        # zuko replaces this class attribute by a dictionary.
        base.arg_constraints = constraints  # type: ignore[method-assign]


@dataclass(frozen=True)
class Flow:
    """Sizes of a `FlowPrior`.

    Attributes:
        dim: dimension of z.
        kind: "nsf", neural spline flow, or "maf", masked autoregressive flow with affine steps.
        n_transforms: autoregressive steps, in alternating order of the units.
        hidden: widths of the hidden layers of each step's network.
    """

    dim: int
    kind: Kind
    n_transforms: int
    hidden: tuple[int, ...]

    def __post_init__(self) -> None:
        check_count("dim", self.dim)
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind={self.kind}: expected nsf or maf")
        check_count("n_transforms", self.n_transforms)
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden:
            raise ValueError("hidden=[]: expected a list of positive integers")
        for width in self.hidden:
            check_count("hidden", width)

    def build(self, encoder: nn.Module, shape: tuple[int, ...]) -> "FlowPrior":
        """Draw the weights; zuko is imported here and not earlier."""
        with unchanged_distributions():
            import zuko

            make = {"nsf": zuko.flows.NSF, "maf": zuko.flows.MAF}[self.kind]
            flow = make(self.dim, transforms=self.n_transforms, hidden_features=self.hidden)
        return FlowPrior(self.dim, flow.transform)


class FlowPrior(Prior):
    """p(z) = N(t(z) | 0, I) |det dt/dz|, t a composition of autoregressive transforms.

    **Source**: Durkan et al. (2019), "Neural Spline Flows"; Papamakarios et al. (2017), "Masked
    Autoregressive Flow for Density Estimation".

    Attributes:
        transform: zuko's network, z to noise.
    """

    def __init__(self, dim: int, transform: nn.Module) -> None:
        super().__init__(dim)
        self.transform = transform

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log N(t(z) | 0, I) + log |det dt/dz|, nats; computed in the precision of the weights."""
        own = next(self.transform.parameters()).dtype
        noise, log_det = self.transform().call_and_ladj(z.to(own))
        log_base = -0.5 * noise.square().sum(1) - 0.5 * self.dim * _LOG_2PI
        found: Tensor = (log_base + log_det).to(z.dtype)
        return found

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows of noise, and map them through the inverse.

        Raises:
            ValueError: n is below 1.
        """
        check_count("n", n)
        noise = torch.randn(n, self.dim, generator=generator)
        inverse = self.transform().inv
        return torch.cat([inverse(part) for part in noise.split(_CHUNK)])

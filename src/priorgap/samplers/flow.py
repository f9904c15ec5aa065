"""A normalising flow fitted to the aggregate posterior after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import LatentDraw
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities.flow import Family, FittedFlow, Flow, FlowShape
from priorgap.priors.base import Prior
from priorgap.samplers.ex_post import FITTED, check_draws, draws_to_fit
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerState,
    check_kind,
)


@dataclass(frozen=True, eq=False)
class FittedFlowSampler:
    """A trained flow under a sampler's name."""

    name: str
    flow: FittedFlow
    kind: ClassVar[str] = "flow"
    facts: ClassVar[SamplerFacts] = FITTED

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows: noise first, in one call, then the inverse flow."""
        return LatentDraw(self.flow.draw(n, generator=generator))

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z), nats, float64."""
        return self.flow.log_prob(z)

    def state(self) -> SamplerState:
        """Return the weights and the flow's architecture."""
        return SamplerState(
            self.name, self.flow.state(), {"kind": self.kind, "flow": self.flow.description()}
        )

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        check_kind(state, cls.kind)
        return cls(state.name, FittedFlow.from_state(state.tensors, state.json["flow"]))


@dataclass(frozen=True)
class FlowSampler:
    """A normalising flow fitted to draws of z by maximum likelihood, its epoch chosen on validation draws.

    Attributes:
        kind: "nsf" (masked autoregressive splines) or "maf" (masked autoregressive affine maps).
        transforms: the number of transforms.
        hidden: widths of each conditioner's hidden layers.
        bins: the number of bins of each spline; not used by "maf".
        dropout: share of a conditioner's hidden units that training drops.
        n_fit: the largest number of training draws.
        draws_per_image: the largest number of draws from one posterior, where there are fewer images than n_fit.
        epochs: passes over the draws.
        batch_size: draws for each step.
        learning_rate: Adam's, falling to 0.
        weight_decay: decoupled.
    """

    kind: Family
    transforms: int
    hidden: Sequence[int]
    bins: int
    dropout: float
    n_fit: int
    draws_per_image: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    name: str = "flow"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        check_draws(self.n_fit, self.draws_per_image)
        self._density()

    def _density(self) -> Flow:
        shape = FlowShape(self.kind, self.transforms, tuple(self.hidden), self.bins, self.dropout)
        return Flow(shape, self.epochs, self.batch_size, self.learning_rate, self.weight_decay)

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedFlowSampler:
        """Draw z from the training posteriors and train; the epoch is chosen on draws of the validation ones."""
        draws = draws_to_fit(inputs, self.n_fit, self.draws_per_image, generator=generator)
        return FittedFlowSampler(self.name, self._density().fit(*draws, generator=generator))

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedFlowSampler:
        """Return the fitted sampler with this state."""
        return FittedFlowSampler.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> None:
        """Return None: a flow has no moments in closed form."""
        return None

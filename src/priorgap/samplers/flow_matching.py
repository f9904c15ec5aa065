"""Flow matching on the aggregate posterior after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from priorgap.core.latents import LatentDraw
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities.flow_matching import FittedFlowMatching, FlowMatching, VelocityShape
from priorgap.priors.base import Prior
from priorgap.samplers.ex_post import FITTED, check_draws, draws_to_fit
from priorgap.samplers.protocols import FitInputs, LabelSource, Role, SamplerState, check_kind


@dataclass(frozen=True, eq=False)
class FittedFlowMatchingSampler:
    """A trained velocity field under a sampler's name."""

    name: str
    field: FittedFlowMatching
    kind: ClassVar[str] = "flow_matching"
    facts: ClassVar[SamplerFacts] = FITTED

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows: noise first, in one call, then along the field."""
        return LatentDraw(self.field.draw(n, generator=generator))

    def state(self) -> SamplerState:
        """Return the weights and the field's architecture."""
        return SamplerState(
            self.name, self.field.state(), {"kind": self.kind, "field": self.field.description()}
        )

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        check_kind(state, cls.kind)
        return cls(state.name, FittedFlowMatching.from_state(state.tensors, state.json["field"]))


@dataclass(frozen=True)
class FlowMatchingSampler:
    """A velocity field fitted to draws of z by flow matching, its epoch chosen on validation draws.

    Attributes:
        hidden: widths of the field's hidden layers.
        frequencies: the number of frequencies of the sines and cosines that encode time.
        steps: the number of integration steps (Runge-Kutta, order 4).
        n_fit: the largest number of training draws.
        draws_per_image: the largest number of draws from one posterior, where there are fewer images than n_fit.
        epochs: passes over the draws.
        batch_size: draws for each step.
        learning_rate: Adam's, falling to 0.
        weight_decay: decoupled.
    """

    hidden: Sequence[int]
    frequencies: int
    steps: int
    n_fit: int
    draws_per_image: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    name: str = "flow_matching"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        check_draws(self.n_fit, self.draws_per_image)
        self._density()

    def _density(self) -> FlowMatching:
        shape = VelocityShape(tuple(self.hidden), self.frequencies)
        return FlowMatching(
            shape, self.steps, self.epochs, self.batch_size, self.learning_rate, self.weight_decay
        )

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedFlowMatchingSampler:
        """Draw z from the training posteriors and train; the epoch is chosen on draws of the validation ones."""
        draws = draws_to_fit(inputs, self.n_fit, self.draws_per_image, generator=generator)
        fitted = self._density().fit(*draws, generator=generator)
        return FittedFlowMatchingSampler(self.name, fitted)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedFlowMatchingSampler:
        """Return the fitted sampler with this state."""
        return FittedFlowMatchingSampler.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> None:
        """Return None: the field has no moments in closed form."""
        return None

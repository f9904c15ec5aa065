"""Draws from the prior, and from the prior with a temperature."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import LatentDraw, Moments
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities import FittedGaussian
from priorgap.densities.protocols import check_n
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal
from priorgap.samplers.ex_post import FittedExPost
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerNotApplicable,
    SamplerState,
    check_kind,
    standard_moments,
)


@dataclass(frozen=True, eq=False)
class FittedPrior:
    """The model's own p(z); nothing is fitted."""

    prior: Prior
    kind: ClassVar[str] = "prior"
    facts: ClassVar[SamplerFacts] = SamplerFacts(
        reconstructs=False,
        needs_training_data=False,
        fixed=True,
        cost="It needs nothing but the decoder.",
        known_as="mode 3 of generate_new_data: z = eps, the prior, which knows no row of the data",
    )

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows of p(z)."""
        check_n(n)
        with torch.no_grad():
            return LatentDraw(self.prior.sample(n, generator=generator).float())

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log p(z), nats, float64."""
        with torch.no_grad():
            return self.prior.log_prob(z.double()).double()

    def state(self) -> SamplerState:
        """Return the dimension; a learned prior's weights belong to the model and are not copied here."""
        learned = not isinstance(self.prior, StandardNormal)
        return SamplerState("prior", {}, {"kind": self.kind, "dim": self.prior.dim, "learned": learned})

    @classmethod
    def from_state(cls, state: SamplerState, prior: Prior | None = None) -> Self:
        """Rebuild from `state`'s result, and from the model's prior where that is learned.

        Raises:
            ValueError: a learned prior is missing.
        """
        check_kind(state, cls.kind)
        if prior is None and state.json["learned"]:
            raise ValueError("prior: the model has a learned prior; expected it as an argument of restore")
        return cls(
            prior if state.json["learned"] and prior is not None else StandardNormal(state.json["dim"])
        )


@dataclass(frozen=True)
class PriorSampler:
    """z ~ p(z), the textbook method."""

    name: ClassVar[str] = "prior"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""
    needs: ClassVar[frozenset[str]] = frozenset({"prior"})

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedPrior:
        """Return the prior itself; N(0, I) where the inputs name none."""
        return FittedPrior(StandardNormal(inputs.train.dim) if inputs.prior is None else inputs.prior)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedPrior:
        """Return the fitted sampler with this state."""
        return FittedPrior.from_state(state, prior)

    def expected_moments(self, inputs: FitInputs) -> Moments | None:
        """Return 0 and I for the standard normal, None for a learned prior."""
        standard = inputs.prior is None or isinstance(inputs.prior, StandardNormal)
        return standard_moments(inputs.train.dim) if standard else None


@dataclass(frozen=True)
class TemperedPrior:
    """z = T eps: the standard-normal prior, narrowed (T < 1) or widened.

    Attributes:
        temperature: the standard deviation T > 0.
    """

    temperature: float
    name: str = "tempered_prior"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""
    needs: ClassVar[frozenset[str]] = frozenset({"standard_prior"})

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature={self.temperature}: expected a number above 0")

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedExPost:
        """Return N(0, T² I).

        Raises:
            SamplerNotApplicable: the model's prior is not the standard normal.
        """
        if inputs.prior is not None and not isinstance(inputs.prior, StandardNormal):
            raise SamplerNotApplicable(f"{self.name}: defined for the standard-normal prior only")
        moments = standard_moments(inputs.train.dim, self.temperature)
        cost = "It needs nothing but the decoder and a temperature."
        facts = replace(FittedPrior.facts, cost=cost, known_as="")
        return FittedExPost(self.name, FittedGaussian.from_moments(moments), facts)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedExPost:
        """Return the fitted sampler with this state."""
        return FittedExPost.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return 0 and T² I."""
        return standard_moments(inputs.train.dim, self.temperature)

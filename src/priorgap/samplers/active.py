"""Any sampler, fitted to the latent units in use; the units that are not in use are independent Gaussians."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from priorgap.core.latents import MOST_FULL, LatentDraw, Latents, Moments
from priorgap.core.random import child
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities.gaussian import FittedDiagonal
from priorgap.priors.base import Prior
from priorgap.samplers.ex_post import aggregate_diagonal
from priorgap.samplers.needs import needs_of
from priorgap.samplers.protocols import (
    FitInputs,
    FittedSampler,
    LabelSource,
    LatentDensity,
    Role,
    Sampler,
    SamplerNotApplicable,
    SamplerState,
    check_kind,
)

_BASE = "base/"
_REST = "rest/"


@dataclass(frozen=True, eq=False)
class FittedActiveUnits:
    """The base's draws in the units in use, and independent normal draws in the others.

    Attributes:
        name: the sampler's name.
        active: whether each unit is in use, [d].
        base: the sampler of these units.
        rest: the Gaussian of the others; None where all units are in use.
    """

    name: str
    active: Bool[Tensor, "d"]
    base: FittedSampler
    rest: FittedDiagonal | None
    kind: ClassVar[str] = "active_units"

    @property
    def facts(self) -> SamplerFacts:
        """The base's facts."""
        return self.base.facts

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows; source, label and context are those of the base's draws."""
        found = self.base.sample(n, generator=generator)
        z = found.z.new_empty(n, len(self.active))
        z[:, self.active] = found.z
        if self.rest is not None:
            z[:, ~self.active] = self.rest.draw(n, generator=child(generator))
        return LatentDraw(z, found.source, found.label, found.context)

    def state(self) -> SamplerState:
        """Return the states of base and Gaussian, under prefixes."""
        inner = self.base.state()
        tensors = {"active": self.active} | {_BASE + key: value for key, value in inner.tensors.items()}
        if self.rest is not None:
            tensors |= {_REST + key: value for key, value in self.rest.state().items()}
        return SamplerState(
            self.name, tensors, {"kind": self.kind, "base": {"name": inner.name, "json": inner.json}}
        )


class FittedActiveDensity(FittedActiveUnits):
    """The same, where the base has a density."""

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z): the base's in the units in use plus the Gaussian's in the others, nats, float64."""
        base: Any = self.base
        found: Tensor = base.log_prob(z[:, self.active])
        return found if self.rest is None else found + self.rest.log_prob(z[:, ~self.active])


@dataclass(frozen=True)
class ActiveUnits:
    """The base sampler, fitted to the units in use; the others are drawn independently, each from a Gaussian.

    f(z) = f_A(z_A) prod_{j not in A} N(z_j; m_j, v_j), where A holds the units whose posterior means make up a share
    Var(mu_j) / v_j >= least_share of the unit's variance v_j = Var(mu_j) + mean s_j², and m_j is the mean of mu_j.

    A unit that training left unused has q(z_j | x) = p(z_j) for every x: nothing is to be learned there, and a
    density of all units spends its parameters on it.

    Attributes:
        base: the sampler that is fitted to the units in use.
        least_share: the least share of the variance for a unit in use, from 0 to 1.
    """

    base: Sampler
    least_share: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.least_share < 1:
            raise ValueError(f"least_share={self.least_share}: expected a number between 0 and 1")
        if needs_of(self.base) & {"prior", "standard_prior"}:
            raise ValueError(f"base={self.base.name}: expected a sampler that draws nothing from the prior")

    @property
    def name(self) -> str:
        """active_ followed by the base's name."""
        return f"active_{self.base.name}"

    @property
    def role(self) -> Role:
        """The base's role."""
        return self.base.role

    @property
    def label_source(self) -> LabelSource:
        """The base's labels."""
        return self.base.label_source

    @property
    def needs(self) -> frozenset[str]:
        """The base's needs."""
        return needs_of(self.base)

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedActiveUnits:
        """Find the units in use, and fit the base to them.

        Raises:
            SamplerNotApplicable: no unit is in use, or the base does not apply.
        """
        active = self.in_use(inputs.train)
        base = self.base.fit(_restricted(inputs, active), generator=generator)
        rest = None if bool(active.all()) else aggregate_diagonal(_units(inputs.train, ~active))
        return _assemble(self.name, active, base, rest)

    def in_use(self, train: Latents) -> Bool[Tensor, "d"]:
        """Return whether each unit is in use.

        Raises:
            SamplerNotApplicable: none is.
        """
        # in blocks, so that no float64 copy of all posteriors is made
        between = torch.cat([part.double().var(0, correction=0) for part in train.mean.split(MOST_FULL, 1)])
        within = torch.zeros_like(between)
        if train.log_var is not None:
            within = torch.cat([part.double().exp().mean(0) for part in train.log_var.split(MOST_FULL, 1)])
        active = (between > 0) & (between >= self.least_share * (between + within))
        if not bool(active.any()):
            raise SamplerNotApplicable(
                f"{self.name}: no unit is in use (posterior means make up less than {self.least_share:g} of the "
                "variance of every unit)"
            )
        return active

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedActiveUnits:
        """Return the fitted sampler with this state; the base restores its own."""
        check_kind(state, FittedActiveUnits.kind)
        inner = state.json["base"]
        base = self.base.restore(SamplerState(inner["name"], _under(state, _BASE), inner["json"]), prior)
        rest = _under(state, _REST)
        return _assemble(
            state.name, state.tensors["active"], base, FittedDiagonal.from_state(rest) if rest else None
        )

    def expected_moments(self, inputs: FitInputs) -> Moments | None:
        """Return the moments, without covariances between the two groups of units; None where the base has none."""
        active = self.in_use(inputs.train)
        own = self.base.expected_moments(_restricted(inputs, active))
        if own is None:
            return None
        every = aggregate_diagonal(inputs.train).moments()
        mean, cov = every.mean.clone(), every.cov
        mean[active] = own.mean
        cov[active.nonzero(), active.nonzero().T] = own.cov
        return Moments(mean, cov)


def _assemble(
    name: str, active: Bool[Tensor, "d"], base: FittedSampler, rest: FittedDiagonal | None
) -> FittedActiveUnits:
    """Return the sampler, with a density if the base has one."""
    made = FittedActiveDensity if isinstance(base, LatentDensity) else FittedActiveUnits
    return made(name, active, base, rest)


def _restricted(inputs: FitInputs, active: Bool[Tensor, "d"]) -> FitInputs:
    return FitInputs(
        _units(inputs.train, active), _units(inputs.validation, active), label_prior=inputs.label_prior
    )


def _units(latents: Latents, chosen: Bool[Tensor, "d"]) -> Latents:
    log_var = None if latents.log_var is None else latents.log_var[:, chosen]
    return Latents(latents.mean[:, chosen], log_var, latents.label, latents.context)


def _under(state: SamplerState, prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.tensors.items() if key.startswith(prefix)}

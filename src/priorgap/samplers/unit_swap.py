"""Posterior draws in which one unit is replaced, to find out which unit's mismatch costs quality."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.latents import LatentDraw, Moments
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal
from priorgap.samplers.posterior import FittedRows
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerNotApplicable,
    SamplerState,
    check_kind,
    total_moments,
)

Arm = Literal["prior", "moments", "shuffle"]
_SWAPPED = SamplerFacts(
    reconstructs=False,
    needs_training_data=True,
    fixed=False,
    cost="It needs the training images' posteriors at generation time; one unit of each draw is replaced.",
)


@dataclass(frozen=True, eq=False)
class FittedUnitSwap:
    """The sampler `posterior` with unit j replaced; the other units are those of `posterior`, draw for draw.

    Attributes:
        name: the sampler's name.
        rows: the table of training posteriors.
        unit: j, from 0.
        arm: what the unit is replaced by.
        mean: the mean of the normal draws of the arms `prior` and `moments`.
        std: their standard deviation.
    """

    name: str
    rows: FittedRows
    unit: int
    arm: Arm
    mean: float
    std: float
    kind: ClassVar[str] = "unit_swap"

    @property
    def facts(self) -> SamplerFacts:
        """Facts of draws with one unit replaced, which are no reconstructions any more."""
        return self.rows.facts

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows of `posterior`, then the unit's replacement."""
        draw = self.rows.sample(n, generator=generator)
        assert draw.source is not None
        z = draw.z.clone()
        noise = torch.randn(n, generator=generator)
        if self.arm == "shuffle":
            z[:, self.unit] = self._of_another_image(draw.source, noise, generator)
        else:
            z[:, self.unit] = self.mean + self.std * noise
        return LatentDraw(z, draw.source, draw.label, draw.context)

    def _of_another_image(
        self, row: Int[Tensor, "n"], noise: Float[Tensor, "n"], generator: torch.Generator
    ) -> Float[Tensor, "n"]:
        n_rows = len(self.rows.centre)
        step = torch.randint(1, n_rows, row.shape, generator=generator)
        other = (row + step) % n_rows
        z = self.rows.centre[other, self.unit].float()
        return z if self.rows.spread is None else z + self.rows.spread[other, self.unit].float() * noise

    def state(self) -> SamplerState:
        """Return the table, the unit and the arm."""
        table = self.rows.state()
        json = {
            "kind": self.kind,
            "training": table.json["training"],
            "facts": table.json["facts"],
            "unit": self.unit,
            "arm": self.arm,
            "mean": self.mean,
            "std": self.std,
        }
        return SamplerState(self.name, table.tensors, json)

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        check_kind(state, cls.kind)
        rows = SamplerState(state.name, state.tensors, {**state.json, "kind": FittedRows.kind})
        json = state.json
        return cls(
            state.name, FittedRows.from_state(rows), json["unit"], json["arm"], json["mean"], json["std"]
        )


@dataclass(frozen=True)
class UnitSwap:
    """A posterior draw mu_i + s_i eps whose unit j is replaced, so that it no longer depends on the others.

    `prior`: N(0, 1), as in generation from the prior. `moments`: N(m_j, C_jj) with the unit's aggregate
    mean and variance, so that only the shape of its distribution and its dependence on the others are lost.
    `shuffle`: z_j of a draw of another training image, so that its marginal is kept and only the dependence is lost.

    Attributes:
        unit: j, from 0.
        arm: prior, moments or shuffle.
    """

    unit: int
    arm: Arm
    role: ClassVar[Role] = "specimen"
    label_source: ClassVar[LabelSource] = "source"

    def __post_init__(self) -> None:
        if isinstance(self.unit, bool) or not isinstance(self.unit, int) or self.unit < 0:
            raise ValueError(f"unit={self.unit}: expected an integer of at least 0")
        if self.arm not in get_args(Arm):
            raise ValueError(f"arm={self.arm!r}: expected one of {', '.join(get_args(Arm))}")

    @property
    def name(self) -> str:
        """unit_swap_<unit>_<arm>."""
        return f"unit_swap_{self.unit}_{self.arm}"

    @property
    def needs(self) -> frozenset[str]:
        """Posteriors; the arm `prior` also needs N(0, 1), which replaces the unit."""
        return frozenset({"encoder"} | ({"standard_prior"} if self.arm == "prior" else set()))

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedUnitSwap:
        """Return the table of training posteriors with the unit's replacement.

        Raises:
            SamplerNotApplicable: the model has no such unit, or the arm is `prior` and the prior is learned.
        """
        self._check(inputs)
        train = inputs.train
        spread = None if train.log_var is None else train.std
        rows = FittedRows(self.name, train.mean, spread, train.label, True, _SWAPPED)
        mean, variance = self._replacement(inputs)
        return FittedUnitSwap(self.name, rows, self.unit, self.arm, mean, variance**0.5)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedUnitSwap:
        """Return the fitted sampler with this state."""
        return FittedUnitSwap.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return the aggregate moments without the unit's covariances, and with its replacement's moments."""
        self._check(inputs)
        full = _aggregate(inputs)
        mean, cov = full.mean.clone(), full.cov.clone()
        between = total_moments(inputs.train.mean, None).cov[self.unit].clone()
        mean[self.unit], variance = self._replacement(inputs)
        # The other image is drawn without replacement, so that the two means have a small negative covariance.
        left = -between / (len(inputs.train) - 1) if self.arm == "shuffle" else torch.zeros_like(between)
        cov[self.unit], cov[:, self.unit] = left, left
        cov[self.unit, self.unit] = variance
        return Moments(mean, cov)

    def _replacement(self, inputs: FitInputs) -> tuple[float, float]:
        if self.arm == "prior":
            return 0.0, 1.0
        moments = _aggregate(inputs)
        return float(moments.mean[self.unit]), float(moments.cov[self.unit, self.unit])

    def _check(self, inputs: FitInputs) -> None:
        if self.unit >= inputs.train.dim:
            raise SamplerNotApplicable(f"{self.name}: the model has {inputs.train.dim} units, from 0")
        if self.arm == "prior" and inputs.prior is not None and not isinstance(inputs.prior, StandardNormal):
            raise SamplerNotApplicable(f"{self.name}: defined for the standard-normal prior only")


def _aggregate(inputs: FitInputs) -> Moments:
    log_var = inputs.train.log_var
    return total_moments(inputs.train.mean, None if log_var is None else log_var.double().exp())

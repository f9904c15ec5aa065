"""A multivariate t: the moments of the aggregate posterior, with heavier tails than a Gaussian's."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw, Moments
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities.protocols import check_n, stable_cholesky
from priorgap.priors.base import Prior
from priorgap.samplers import FitInputs, SamplerState
from priorgap.samplers.protocols import LabelSource, Role, check_kind, total_moments


@dataclass(frozen=True, eq=False)
class FittedStudentT:
    """z = mean + scale · eps · sqrt(dof / chi²), the distribution of a fitted t.

    Attributes:
        mean: [d], float64.
        scale: the Cholesky factor of the scale matrix, [d, d], float64.
        dof: degrees of freedom.
    """

    mean: Tensor
    scale: Tensor
    dof: float
    kind: ClassVar[str] = "student_t"
    facts: ClassVar[SamplerFacts] = SamplerFacts(
        reconstructs=False,
        needs_training_data=False,
        fixed=False,
        cost="It needs a mean and a covariance, fitted once to the training posteriors.",
    )

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows; the noise comes first, as the prior's does."""
        check_n(n)
        noise = torch.randn(n, len(self.mean), generator=generator).double()
        # chi² as a sum over whole degrees of freedom, because torch's chi² takes no generator
        squares = torch.randn(n, int(self.dof), generator=generator, dtype=torch.float64).square()
        factor = (self.dof / squares.sum(1)).sqrt()
        return LatentDraw((self.mean + factor[:, None] * (noise @ self.scale.T)).float())

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log f(z), nats, float64."""
        d, dof = len(self.mean), self.dof
        white = torch.linalg.solve_triangular(self.scale, (z.double() - self.mean).T, upper=False)
        constant = math.lgamma((dof + d) / 2) - math.lgamma(dof / 2) - d / 2 * math.log(dof * math.pi)
        inside = 1 + white.square().sum(0) / dof
        return constant - self.scale.diagonal().log().sum() - (dof + d) / 2 * inside.log()

    def state(self) -> SamplerState:
        """Return what `StudentT.restore` needs."""
        tensors = {"mean": self.mean, "scale": self.scale}
        return SamplerState("student_t", tensors, {"kind": self.kind, "dof": self.dof})


@dataclass(frozen=True)
class StudentT:
    """z from the t with the aggregate mean and covariance of the training posteriors.

    Attributes:
        dof: degrees of freedom, more than 4, so that kurtosis exists.
    """

    dof: int
    name: ClassVar[str] = "student_t"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""

    def __post_init__(self) -> None:
        if self.dof < 5:
            raise ValueError(f"dof={self.dof}: expected an integer >= 5")

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedStudentT:
        """Return the t of these posteriors; nothing is random."""
        moments = self.expected_moments(inputs)
        factor = stable_cholesky(moments.cov * (self.dof - 2) / self.dof)
        return FittedStudentT(moments.mean, factor, self.dof)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedStudentT:
        """Return the fitted sampler of a state."""
        check_kind(state, FittedStudentT.kind)
        return FittedStudentT(state.tensors["mean"], state.tensors["scale"], state.json["dof"])

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return the aggregate moments."""
        log_var = inputs.train.log_var
        return total_moments(inputs.train.mean, None if log_var is None else log_var.double().exp())

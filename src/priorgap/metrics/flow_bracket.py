"""The bracket with a normalising flow among the densities of its lower end."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.densities import GaussianMixture
from priorgap.densities.flow import Flow
from priorgap.metrics.bracket import bracket_of_kl
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.overlap import bracket_rows, split_posteriors
from priorgap.metrics.protocols import Scope, require, require_few_dimensions


@dataclass(frozen=True)
class KLFlowBracket:
    """`kl_flow` (97.5 % limits) and `kl_flow_point` of KL(q || p), each with bound lower and upper. Nats.

    Like `KLBracket`, from which it is separate because fitting a flow takes minutes.

    Attributes:
        mixture: hyperparameters of the Gaussian mixture.
        flow: hyperparameters of the flow; it is fitted to the same draws as the mixture.
        n_draws: draws of z from each validation and test posterior.
    """

    mixture: GaussianMixture
    flow: Flow
    n_draws: int
    name: ClassVar[str] = "kl_flow"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("kl_flow", "kl_flow_point")
    needs: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test", "log_var"})

    def __post_init__(self) -> None:
        if self.n_draws < 1:
            raise ValueError(f"n_draws={self.n_draws}: expected an integer of at least 1")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return four rows; a limit has the standard error of its point value."""
        require(evidence, self.needs)
        require_few_dimensions(evidence.model.train)
        train, validation, test = split_posteriors(evidence.model)
        bracket, _ = bracket_of_kl(
            train,
            validation,
            test,
            mixture=self.mixture,
            n_draws=self.n_draws,
            generator=generator,
            log_prior=evidence.model.log_prior,
            extra={"flow": self.flow},
        )
        return bracket_rows("kl_flow", bracket, len(test), len(train))

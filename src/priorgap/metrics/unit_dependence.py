"""How much each latent unit depends on the others under the aggregate posterior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.densities.mixture import GaussianMixture
from priorgap.estimators.gaussian import aggregate_moments
from priorgap.estimators.unit_dependence import gaussian_dependence, mixture_dependence
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require, require_few_dimensions


@dataclass(frozen=True)
class UnitDependence:
    """`unit_dependence_linear` and `unit_dependence` of every unit: I(z_j; all other units) under q(z). Nats.

    The first is computed from the aggregate covariance of the test posteriors alone. The second is computed
    from a Gaussian mixture fitted to draws of training posteriors (its size chosen on validation draws),
    averaged over draws of test posteriors; it is as good as the fit and no bound.

    Attributes:
        n_components: candidates for the mixture's number of components.
        n_fit, max_iter, reg_covar: as in `densities.GaussianMixture`.
    """

    n_components: int | Sequence[int]
    n_fit: int
    max_iter: int
    reg_covar: float
    name: ClassVar[str] = "unit_dependence"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("unit_dependence_linear", "unit_dependence")
    needs: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test"})

    def __post_init__(self) -> None:
        # YAML gives lists, but a field of a frozen dataclass must be hashable.
        if not isinstance(self.n_components, int):
            object.__setattr__(self, "n_components", tuple(self.n_components))
        self._mixture()

    def _mixture(self) -> GaussianMixture:
        return GaussianMixture(self.n_components, self.n_fit, self.max_iter, self.reg_covar)

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return two rows for each unit."""
        require(evidence, self.needs)
        model = evidence.model
        require_few_dimensions(model.train)
        if model.train is None or model.validation is None or model.test is None:
            raise NotApplicable("there are no posteriors")
        if min(len(model.train), len(model.validation), len(model.test)) < 2:
            raise NotApplicable("expected at least 2 posteriors in each of train, validation and test")
        _, cov = aggregate_moments(model.test.mean, model.test.log_var)
        try:
            linear = gaussian_dependence(cov)
        except ValueError as error:  # The unit is constant or redundant.
            raise NotApplicable(str(error)) from error
        z_train, z_validation, z_test = (
            part.draw(generator=generator) for part in (model.train, model.validation, model.test)
        )
        fitted = self._mixture().fit(z_train, z_validation, generator=generator)
        found = mixture_dependence(z_test, fitted.weight, fitted.mean, fitted.cov)
        n, n_train = len(z_test), len(z_train)
        rows = [
            Measurement("unit_dependence_linear", float(value), None, n, unit=str(j))
            for j, value in enumerate(linear)
        ]
        return rows + [
            measured("unit_dependence", value, n=n, n_reference=n_train, unit=j)
            for j, value in enumerate(found)
        ]

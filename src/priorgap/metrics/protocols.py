"""The contract of metrics, and how a metric reports that it cannot be computed."""

from typing import Literal, Protocol, runtime_checkable

import torch

from priorgap.core.latents import Latents, check_full
from priorgap.core.measurement import Bound, Measurement
from priorgap.core.measures import Measure
from priorgap.estimators.uncertainty import Estimate
from priorgap.metrics.evidence import NAMES, Evidence
from priorgap.metrics.evidence import NotApplicable as NotApplicable

Scope = Literal["model", "sampler"]


@runtime_checkable
class Metric(Protocol):
    """Frozen hyperparameters of a metric."""

    @property
    def name(self) -> str:
        """The label under which its absence is reported, and the name of the file in conf/metric."""
        ...

    @property
    def scope(self) -> Scope:
        """Whether it describes a model or one of its samplers."""
        ...

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The entries of every measure that it may return: from `core.catalogue`, or entries of its own."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """The names of the evidence that it requires (see `Evidence.lacks`).

        A second such set, `uses`, may name optional evidence that the metric uses if present (see `wants`).
        """
        ...

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the measurements.

        Raises:
            NotApplicable: evidence is missing, or the measure does not apply here.
        """
        ...


def wants(metric: Metric) -> frozenset[str]:
    """Return the evidence that a metric needs, and what it uses if present (`uses` of its class)."""
    used: frozenset[str] = getattr(metric, "uses", frozenset())
    return metric.needs | used


def require_few_dimensions(latents: Latents | None) -> None:
    """Refuse z with more dimensions than full covariances are computed for.

    Raises:
        NotApplicable: the dimension is too large.
    """
    try:
        check_full(0 if latents is None else latents.dim)
    except ValueError as error:
        raise NotApplicable(str(error)) from error


def require(evidence: Evidence, needs: frozenset[str]) -> None:
    """Refuse evidence that lacks something required.

    Raises:
        NotApplicable: something is missing; the message is the most general reason.
    """
    for name in sorted(needs, key=NAMES.index):
        reason = evidence.lacks(name)
        if reason is not None:
            raise NotApplicable(reason)


def measured(
    measure: str,
    estimate: Estimate | float,
    *,
    n: int,
    n_reference: int | None = None,
    space: str = "latent",
    unit: str | int = "",
    bound: Bound = "point",
    label_source: str = "",
) -> Measurement:
    """Return an estimate as a measurement.

    Raises:
        NotApplicable: the value is not finite.
    """
    value, error = (
        (estimate.value, estimate.std_error) if isinstance(estimate, Estimate) else (estimate, None)
    )
    if not abs(value) < float("inf"):
        raise NotApplicable(f"{measure}: the value is {value}")
    return Measurement(measure, float(value), error, n, n_reference, space, str(unit), bound, label_source)

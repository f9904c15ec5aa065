"""Measures of a model in latent space: rate, active units, mismatch of marginals and of moments, ELBO."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.catalogue import catalogued
from priorgap.core.latents import Latents
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.estimators.bracket import train_mixture_kl
from priorgap.estimators.decomposition import moment_decomposition
from priorgap.estimators.gaussian import LOG_2PI, rate_per_unit
from priorgap.estimators.marginal import marginal_divergences
from priorgap.estimators.uncertainty import mean_estimate
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require, require_few_dimensions

Part = Literal["train", "validation", "test"]
# The number of draws of z per image for a Monte Carlo rate, where the rate has no closed form.
_N_DRAWS = 8


def _part(evidence: Evidence, part: Part) -> tuple[Latents, Float[Tensor, "n d"]]:
    """Return posteriors and their log-variances; call it after `require`."""
    latents: Latents = getattr(evidence.model, part)
    if latents.log_var is None:
        raise NotApplicable("the encoder gives no log_var")
    return latents, latents.log_var


def _unit_rates(model: ModelEvidence, latents: Latents, log_var: Tensor) -> Float[Tensor, "n d"] | None:
    """Return KL(q(z_j|x_i) || p(z_j)) for each image and unit, nats; None where the prior gives no rate by unit."""
    if model.prior is None:
        return rate_per_unit(latents.mean, log_var)
    per_unit = model.prior.kl(latents.mean.double(), log_var.double())
    return None if per_unit is None else per_unit.detach()


def _drawn_rates(
    model: ModelEvidence, latents: Latents, log_var: Tensor, generator: torch.Generator
) -> Float[Tensor, "n"]:
    """Return log q(z|x_i) - log p(z) of each image, averaged over draws of z from q(z|x_i), nats."""
    mean, log_std = latents.mean.double(), 0.5 * log_var.double()
    total = torch.zeros(len(mean), dtype=torch.float64)
    for _ in range(_N_DRAWS):
        noise = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
        log_q = -(0.5 * (noise.square() + LOG_2PI) + log_std).sum(1)
        total += log_q - model.log_prior(mean + log_std.exp() * noise)
    return total / _N_DRAWS


@dataclass(frozen=True)
class Rate:
    """`rate` of the test images: R_j of every unit, and their sum (unit ""). Nats; informativeness.

    For a learned prior without a closed form only the sum is given, by Monte Carlo, because its units are not
    independent under p.
    """

    name: ClassVar[str] = "rate"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("rate")
    needs: ClassVar[frozenset[str]] = frozenset({"test", "log_var"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the mean over test images, with its standard error over images."""
        require(evidence, self.needs)
        latents, log_var = _part(evidence, "test")
        rates = _unit_rates(evidence.model, latents, log_var)
        if rates is None:
            drawn = _drawn_rates(evidence.model, latents, log_var, generator)
            return [measured("rate", mean_estimate(drawn), n=len(drawn))]
        n, d = rates.shape
        rows = [measured("rate", mean_estimate(rates.sum(1)), n=n)]
        return rows + [measured("rate", mean_estimate(rates[:, j]), n=n, unit=j) for j in range(d)]


@dataclass(frozen=True)
class ActiveUnits:
    """Number of units that the encoder uses on test images, by two definitions.

    Attributes:
        variance_threshold: `active_units_var` counts units with Var mu_j above it.
        rate_threshold: `active_units_rate` counts units with R_j above it, nats.
    """

    variance_threshold: Annotated[float, AtLeast(0)]
    rate_threshold: Annotated[float, AtLeast(0)]
    name: ClassVar[str] = "active_units"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("active_units_var", "active_units_rate")
    needs: ClassVar[frozenset[str]] = frozenset({"test"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the two counts; the second is left out where the prior gives no rate by unit."""
        require(evidence, self.needs)
        test = evidence.model.test
        if test is None or len(test) < 2:
            raise NotApplicable("expected at least 2 test posteriors")
        by_variance = int((test.mean.double().var(0) > self.variance_threshold).sum())
        rows = [measured("active_units_var", float(by_variance), n=len(test))]
        rates = None if test.log_var is None else _unit_rates(evidence.model, test, test.log_var)
        if rates is not None:
            by_rate = int((rates.mean(0) > self.rate_threshold).sum())
            rows.append(measured("active_units_rate", float(by_rate), n=len(test)))
        return rows


@dataclass(frozen=True)
class MarginalKL:
    """Mismatch of each unit's marginal with N(0, 1): `marginal_kl` (nats), `marginal_tv`, `marginal_w1`.

    One row for each unit, and for marginal_kl their sum (unit ""), which is at most KL(q || p).

    Attributes:
        part: the posteriors that form the aggregate: train, validation or test.
    """

    part: Part
    name: ClassVar[str] = "marginal_kl"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("marginal_kl", "marginal_tv", "marginal_w1")

    def __post_init__(self) -> None:
        if self.part not in ("train", "validation", "test"):
            raise ValueError(f"part={self.part!r}: expected train, validation or test")

    @property
    def needs(self) -> frozenset[str]:
        """The chosen posteriors, with log_var, and the standard-normal prior."""
        return frozenset({self.part, "log_var", "standard_normal"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the divergences of the exact one-dimensional mixtures."""
        require(evidence, self.needs)
        latents, log_var = _part(evidence, self.part)
        found = marginal_divergences(latents.mean, log_var)
        if not bool(found.resolved.all()):
            j = int((~found.resolved).nonzero()[0, 0])
            narrow, points = float((0.5 * log_var[:, j].double()).exp().min()), found.density.shape[1]
            raise NotApplicable(
                f"unit {j}: the narrowest posterior has s = {narrow:.3g}, and {points} points of its range are "
                f"{float(found.step[j]):.3g} apart"
            )
        n = len(latents)
        rows = [measured("marginal_kl", float(found.kl.sum()), n=n)]
        for j in range(latents.dim):
            rows.append(measured("marginal_kl", float(found.kl[j]), n=n, unit=j))
            rows.append(measured("marginal_tv", float(found.total_variation[j]), n=n, unit=j))
            rows.append(measured("marginal_w1", float(found.wasserstein1[j]), n=n, unit=j))
        return rows


@dataclass(frozen=True)
class Decomposition:
    """`kl_diag` and `kl_corr` of the test posteriors, and `kl_diag_train`, the mark of convergence. Nats.

    Attributes:
        n_groups: the number of groups of the jackknife that corrects their bias.
    """

    n_groups: Annotated[int, AtLeast(2)]
    name: ClassVar[str] = "decomposition"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("kl_diag", "kl_corr", "kl_diag_train")
    needs: ClassVar[frozenset[str]] = frozenset({"train", "test", "standard_normal"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the closed-form parts of KL(q || p), debiased."""
        require(evidence, self.needs)
        require_few_dimensions(evidence.model.test)
        found = []
        for latents in (evidence.model.test, evidence.model.train):
            if latents is None:
                raise NotApplicable("there are no posteriors")
            try:
                parts = moment_decomposition(
                    latents.mean, latents.log_var, generator=generator, n_groups=self.n_groups
                )
            except ValueError as error:  # A unit is constant, or there are too few images.
                raise NotApplicable(str(error)) from error
            found.append((parts, len(latents)))
        (test, n_test), (train, n_train) = found
        return [
            measured("kl_diag", test.kl_diag, n=n_test),
            measured("kl_corr", test.kl_corr, n=n_test),
            measured("kl_diag_train", train.kl_diag, n=n_train),
        ]


@dataclass(frozen=True)
class TrainMixture:
    """`kl_train_mixture`: KL of the mixture over training posteriors; it mostly shows log N. Nats.

    Attributes:
        n_draws: the number of training images over which is averaged, one draw each.
    """

    n_draws: Annotated[int, AtLeast(1)]
    name: ClassVar[str] = "kl_train_mixture"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("kl_train_mixture")
    needs: ClassVar[frozenset[str]] = frozenset({"train", "log_var"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return one row; it is not an end of the bracket."""
        require(evidence, self.needs)
        train, log_var = _part(evidence, "train")
        n = min(self.n_draws, len(train))
        value = train_mixture_kl(
            train.mean, log_var, n_draws=n, generator=generator, log_prior=evidence.model.log_prior
        )
        return [measured("kl_train_mixture", value, n=n, n_reference=len(train))]


@dataclass(frozen=True)
class Elbo:
    """`distortion` (nats, with the normaliser), `distortion_sse`, `elbo` of test images, alpha = beta = 1."""

    name: ClassVar[str] = "elbo"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("distortion", "distortion_sse", "elbo")
    needs: ClassVar[frozenset[str]] = frozenset({"test", "log_var", "distortion"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return means over test images; elbo = -(distortion + rate), image by image."""
        require(evidence, self.needs)
        model = evidence.model
        latents, log_var = _part(evidence, "test")
        per_unit = _unit_rates(model, latents, log_var)
        rate = _drawn_rates(model, latents, log_var, generator) if per_unit is None else per_unit.sum(1)
        if model.distortion is None or model.distortion_sse is None or len(model.distortion) != len(rate):
            raise NotApplicable("expected one distortion for each test image")
        n = len(rate)
        return [
            measured("distortion", mean_estimate(model.distortion), n=n, space="data"),
            measured("distortion_sse", mean_estimate(model.distortion_sse), n=n, space="data"),
            measured("elbo", mean_estimate(-(model.distortion.double() + rate)), n=n, space="data"),
        ]

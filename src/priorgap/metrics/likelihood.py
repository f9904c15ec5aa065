"""Bounds of log p(x) of test images that are tighter than the ELBO, and what the encoder costs against them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.data.splits import Split
from priorgap.estimators.likelihood import (
    LogLikelihood,
    amortisation_gaps,
    importance_weighted_bounds,
    unit_log_prob,
)
from priorgap.estimators.uncertainty import mean_estimate
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.models.families import Model

_NEEDS = frozenset({"test", "log_var", "log_likelihood"})


def split_log_likelihood(model: Model, split: Split, *, sigma: float | None, batch: int) -> LogLikelihood:
    """Return log p(x|z) of a split's rows with its normaliser, nats, differentiable in z.

    Args:
        model: the model, on its device; a VAE.
        split: the images.
        sigma: the decoder's standard deviation that the objective implies; None means the likelihood's own.
        batch: the number of rows that are decoded at a time.
    """
    device = next(model.parameters()).device

    def log_likelihood(z: Float[Tensor, "m d"], row: Int[Tensor, "m"]) -> Float[Tensor, "m"]:
        parts = []
        for own, rows in zip(z.split(batch), row.split(batch), strict=True):
            x = split.batch(rows, device)
            label = None if split.label is None else split.label[rows].to(device)
            raw = model.raw(own.float().to(device), label, model.context_of(x))
            nll = model.likelihood.negative_log_likelihood(raw, x, sigma=sigma)
            parts.append(-nll.double().cpu())
        return torch.cat(parts)

    return log_likelihood


@dataclass(frozen=True)
class _Images:
    """The posteriors of some random test images, and the model's log-densities at z."""

    mean: Float[Tensor, "n d"]
    log_var: Float[Tensor, "n d"]
    log_likelihood: LogLikelihood
    log_prior: Callable[[Tensor], Tensor]


def _images(model: ModelEvidence, n_images: int, *, generator: torch.Generator) -> _Images:
    """Return at most n_images random test images; call it after `require`."""
    test, inner, prior = model.test, model.log_likelihood, model.prior
    if test is None or test.log_var is None or inner is None:
        raise NotApplicable("there are no test posteriors with a likelihood")
    rows = torch.randperm(len(test), generator=generator)[:n_images]

    def log_likelihood(z: Tensor, image: Tensor) -> Tensor:
        return inner(z, rows[image])

    def log_prior(z: Tensor) -> Tensor:
        return unit_log_prob(z) if prior is None else prior.log_prob(z.double()).double()

    return _Images(test.mean[rows], test.log_var[rows], log_likelihood, log_prior)


@dataclass(frozen=True)
class ImportanceWeightedBound:
    """`iw_bound`: lower bounds of log p(x) of test images, one for each number of draws (in `unit`). Nats.

    With 1 draw its expectation is the ELBO; it grows with the number of draws towards log p(x).

    Attributes:
        n_images: the largest number of random test images.
        n_draws: the numbers of draws k; the largest determines the cost.
    """

    n_images: int
    n_draws: Sequence[int]
    name: ClassVar[str] = "iw_bound"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("iw_bound")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def __post_init__(self) -> None:
        # YAML gives lists, but a field of a frozen dataclass must be hashable.
        object.__setattr__(self, "n_draws", tuple(self.n_draws))
        if not self.n_draws or min(self.n_draws) < 1 or len(set(self.n_draws)) < len(self.n_draws):
            raise ValueError(f"n_draws={list(self.n_draws)}: expected different integers of at least 1")
        if self.n_images < 1:
            raise ValueError(f"n_images={self.n_images}: expected an integer of at least 1")

    @torch.no_grad()
    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the means over images, with their standard errors."""
        require(evidence, self.needs)
        images = _images(evidence.model, self.n_images, generator=generator)
        found = importance_weighted_bounds(
            images.mean,
            images.log_var,
            n_draws=self.n_draws,
            log_likelihood=images.log_likelihood,
            log_prior=images.log_prior,
            generator=generator,
            # All draws of an image are in one call, so that a prior that must be computed (VampPrior) is computed
            # once an image.
            chunk=max(1000, *self.n_draws),
        )
        return [
            measured("iw_bound", mean_estimate(found[:, column]), n=len(found), space="data", unit=k)
            for column, k in enumerate(self.n_draws)
        ]


@dataclass(frozen=True)
class AmortisationGap:
    """`amortisation_gap`: ELBO at the best found (mean, log_var) of each image minus that at the encoder's. Nats.

    Attributes:
        n_images: the largest number of random test images.
        n_steps: gradient steps.
        n_draws: draws of z for each image and step.
        learning_rate: Adam's, in posterior standard deviations; it falls to 0.
        n_final: draws for each image for the two ELBOs.
    """

    n_images: int
    n_steps: int
    n_draws: int
    learning_rate: float
    n_final: int
    name: ClassVar[str] = "amortisation_gap"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("amortisation_gap")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def __post_init__(self) -> None:
        for key in ("n_images", "n_steps", "n_draws", "n_final"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least 1")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate}: expected a positive number")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the mean gap over images."""
        require(evidence, self.needs)
        images = _images(evidence.model, self.n_images, generator=generator)
        gaps = amortisation_gaps(
            images.mean,
            images.log_var,
            log_likelihood=images.log_likelihood,
            log_prior=images.log_prior,
            generator=generator,
            n_steps=self.n_steps,
            n_draws=self.n_draws,
            learning_rate=self.learning_rate,
            n_final=self.n_final,
        )
        return [measured("amortisation_gap", mean_estimate(gaps), n=len(gaps), space="data")]

"""Readings of the question that are not the posterior: they are shown and never ranked."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from priorgap.core.latents import Moments
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities import FittedGaussian
from priorgap.priors.base import Prior
from priorgap.samplers.ex_post import FittedExPost
from priorgap.samplers.posterior import FittedRows, restore_rows
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerState,
    require_log_var,
    total_moments,
)

_FORMULA = SamplerFacts(
    reconstructs=False,
    needs_training_data=True,
    fixed=False,
    cost="It needs the training images' posteriors at generation time.",
)
_MODE_1 = replace(
    _FORMULA,
    known_as="mode 1 of generate_new_data as it is written: z = mu + eps * log_var, the log-variance of a row in the "
    "place of its standard deviation",
)
_MODE_2 = replace(
    _FORMULA,
    known_as="mode 2 of generate_new_data: z = mu + log_var, a shift of each row's mean, and no noise at all",
)


@dataclass(frozen=True)
class LiteralLogVar:
    """z = mu_i + eps · log s_i²: the formula read literally, with the log-variance in place of s."""

    name: ClassVar[str] = "literal_log_var"
    role: ClassVar[Role] = "specimen"
    label_source: ClassVar[LabelSource] = "source"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder", "log_var"})

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedRows:
        """Return the table of (mu_i, log s_i²).

        Raises:
            SamplerNotApplicable: the encoder gives no log_var.
        """
        log_var = require_log_var(inputs.train, self.name)
        return FittedRows(self.name, inputs.train.mean, log_var, inputs.train.label, True, _MODE_1)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedRows:
        """Return the fitted sampler with this state."""
        return restore_rows(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return Cov(mu) + diag(mean (log s²)²) about the mean of mu."""
        log_var = require_log_var(inputs.train, self.name)
        return total_moments(inputs.train.mean, log_var.double().square())


@dataclass(frozen=True)
class MuPlusLogVar:
    """z = mu_i + log s_i², without any noise."""

    name: ClassVar[str] = "mu_plus_log_var"
    role: ClassVar[Role] = "specimen"
    label_source: ClassVar[LabelSource] = "source"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder", "log_var"})

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedRows:
        """Return the table of mu_i + log s_i².

        Raises:
            SamplerNotApplicable: the encoder gives no log_var.
        """
        log_var = require_log_var(inputs.train, self.name)
        return FittedRows(self.name, inputs.train.mean + log_var, None, inputs.train.label, True, _MODE_2)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedRows:
        """Return the fitted sampler with this state."""
        return restore_rows(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return the moments of the rows mu_i + log s_i²."""
        return total_moments(inputs.train.mean + require_log_var(inputs.train, self.name), None)


@dataclass(frozen=True)
class Pooled:
    """z ~ N(mean mu, diag mean s²): two averaged vectors, without the variance between images."""

    name: ClassVar[str] = "pooled"
    role: ClassVar[Role] = "specimen"
    label_source: ClassVar[LabelSource] = ""
    needs: ClassVar[frozenset[str]] = frozenset({"encoder", "log_var"})

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedExPost:
        """Return the Gaussian.

        Raises:
            SamplerNotApplicable: the encoder gives no log_var.
        """
        return FittedExPost(self.name, FittedGaussian.from_moments(self.expected_moments(inputs)))

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedExPost:
        """Return the fitted sampler with this state."""
        return FittedExPost.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return mean mu and diag(mean s²)."""
        variance = require_log_var(inputs.train, self.name).double().exp()
        return Moments(inputs.train.mean.double().mean(0), torch.diag(variance.mean(0)))

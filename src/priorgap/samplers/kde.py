"""A kernel density on the training posteriors: every posterior is widened by one common factor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.latents import Latents, Moments
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.estimators.mixture import mixture_log_prob
from priorgap.priors.base import Prior
from priorgap.samplers.posterior import (
    FittedMixtureOfRows,
    pick_rows,
    training_posteriors,
    widened_posteriors,
)
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerState,
    check_kind,
    require_log_var,
    total_moments,
)

# Up to this factor a widened posterior counts as the posterior itself: N(mu, h² s²) is (h² - 1) / 2 - log h nats from
# N(mu, s²) in each unit, 0.0004 at h = 1.02, and mixtures of the two over the same rows are no further apart.
_NOT_WIDENED = 1.02


@dataclass(frozen=True, eq=False)
class FittedKde(FittedMixtureOfRows):
    """z = mu_i + h s_i eps for a training image i: a table of rows whose spread is h s_i.

    Attributes:
        bandwidth: h.
        bandwidths: the candidates, ascending.
        scores: mean leave-one-out log-density of each candidate, nats; empty where there was only one.
    """

    bandwidth: float
    bandwidths: tuple[float, ...]
    scores: tuple[float, ...]
    kind: ClassVar[str] = "kde"

    def state(self) -> SamplerState:
        """Return the table, and the scores by which h was chosen."""
        table = super().state()
        chosen = {
            "bandwidth": self.bandwidth,
            "bandwidths": list(self.bandwidths),
            "scores": list(self.scores),
        }
        return SamplerState(table.name, table.tensors, {**table.json, **chosen})

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        check_kind(state, cls.kind)
        tensors, json = state.tensors, state.json
        return cls(
            state.name,
            tensors["centre"],
            tensors["spread"],
            tensors.get("label"),
            json["training"],
            SamplerFacts.from_json(json["facts"]),
            json["bandwidth"],
            tuple(json["bandwidths"]),
            tuple(json["scores"]),
        )


@dataclass(frozen=True)
class Kde:
    """z = mu_i + h s_i eps with h >= 1 by leave-one-out; h = 1 gives the posterior sampler, draw for draw.

    h maximises the mean over images i of log (1/(n-1)) sum_{k != i} N(z_i | mu_k, h² diag s_k²) with one draw z_i
    of q(z|x_i): the log-density of q's own draws under a table that does not hold the image they came from.

    Attributes:
        bandwidths: the candidates for h, each at least 1; their order does not matter.
        n_score: the largest number of images that are scored, a random subset.
    """

    bandwidths: Sequence[float]
    n_score: int
    name: str = "kde"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = "source"
    needs: ClassVar[frozenset[str]] = frozenset({"encoder", "log_var"})

    def __post_init__(self) -> None:
        # YAML gives lists in any order, but a field of a frozen dataclass must be hashable.
        object.__setattr__(self, "bandwidths", tuple(sorted({float(h) for h in self.bandwidths})))
        if not self.bandwidths or not all(h >= 1 and math.isfinite(h) for h in self.bandwidths):
            raise ValueError(f"bandwidths={list(self.bandwidths)}: expected numbers of at least 1")
        if self.n_score < 2:
            raise ValueError(f"n_score={self.n_score}: expected an integer of at least 2")

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedKde:
        """Choose h by leave-one-out on draws of the training posteriors.

        Raises:
            SamplerNotApplicable: the encoder gives no log_var, so that there is no posterior to widen.
        """
        require_log_var(inputs.train, self.name)
        train = inputs.train
        best, scores = self.bandwidths[0], []
        if len(self.bandwidths) > 1:
            row = pick_rows(min(self.n_score, len(train)), len(train), generator=generator)
            z = train.take(row).draw(generator=generator)
            scores = [leave_one_out(z, row, train, h) for h in self.bandwidths]
            best = self.bandwidths[scores.index(max(scores))]
        spread = best * train.std
        # At h = 1 this is the posterior sampler, draw for draw.
        facts = training_posteriors() if best <= _NOT_WIDENED else widened_posteriors()
        return FittedKde(
            self.name,
            train.mean,
            spread,
            train.label,
            True,
            facts,
            best,
            tuple(self.bandwidths),
            tuple(scores),
        )

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedKde:
        """Return the fitted sampler with this state."""
        return FittedKde.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> Moments | None:
        """Return Cov(mu) + h² diag(mean s²) for a single candidate; h is random otherwise."""
        if len(self.bandwidths) > 1:
            return None
        log_var = require_log_var(inputs.train, self.name)
        return total_moments(inputs.train.mean, self.bandwidths[0] ** 2 * log_var.double().exp())


def leave_one_out(
    z: Float[Tensor, "m d"], row: Int[Tensor, "m"], latents: Latents, bandwidth: float
) -> float:
    """Return the mean log-density of z_i under the widened posteriors of all images except row_i, nats."""
    log_var = require_log_var(latents, "kde") + 2 * math.log(bandwidth)
    return float(mixture_log_prob(z, latents.mean, log_var, exclude=row).mean())

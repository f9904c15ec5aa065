"""Draws of the aggregate posterior: pick an image, draw from its posterior (or take its mean)."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents, Moments
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities.protocols import check_n
from priorgap.estimators.mixture import mixture_log_prob
from priorgap.priors.base import Prior
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerNotApplicable,
    SamplerState,
    check_kind,
    total_moments,
)

_RECONSTRUCTS = SamplerFacts(
    reconstructs=True,
    needs_training_data=True,
    fixed=False,
    cost="It needs the training images' posteriors at generation time, and every sample is a noisy "
    "reconstruction of one of them.",
)
_MEANS = replace(
    _RECONSTRUCTS,
    cost="It needs the training images' posteriors at generation time, and every sample is the reconstruction "
    "of one of them.",
    known_as="mode 2 of generate_new_data without its slip: z = mu, a training row's own; as it is written, "
    "z = mu + log_var, it is mu_plus_log_var",
)
_HELDOUT = SamplerFacts(
    reconstructs=False,
    needs_training_data=False,
    fixed=False,
    cost="It needs the posteriors of held-out images at generation time, and every sample is a noisy "
    "reconstruction of one of them.",
)


_MODE_1_MEANT = replace(
    _RECONSTRUCTS,
    known_as="what mode 1 of generate_new_data means: z = mu + eps * exp(log_var / 2) of a training row; as it is "
    "written, with eps * log_var, it is literal_log_var",
)


def pick_rows(n: int, n_rows: int, *, generator: torch.Generator) -> Int[Tensor, "n"]:
    """Pick n of n_rows rows in random order, all rows equally often, to within one.

    Up to n_rows the result is the prefix of a random permutation. Beyond that, further permutations are mixed in:
    permutations one after the other would make neighbours differ more than exchangeable rows do.
    """
    rounds = -(-n // n_rows)
    rows = torch.cat([torch.randperm(n_rows, generator=generator) for _ in range(rounds)])[:n]
    return rows if rounds == 1 else rows[torch.randperm(n, generator=generator)]


@dataclass(frozen=True, eq=False)
class FittedRows:
    """z = centre_i + spread_i eps over the rows i of a table of posteriors.

    Attributes:
        name: the sampler's name.
        centre: the centres, [n, d].
        spread: factors of the noise, [n, d]; None without noise. May be negative (the literal formula's are).
        label: classes of the rows, where known.
        training: whether the rows are training images, so that a draw's source is the row number.
        facts: what is true of its draws.
        context: the numbers of the rows' contexts, where these are not training rows and the model takes contexts.
    """

    name: str
    centre: Float[Tensor, "n d"]
    spread: Float[Tensor, "n d"] | None
    label: Int[Tensor, "n"] | None
    training: bool
    facts: SamplerFacts
    context: Int[Tensor, "n"] | None = field(default=None, kw_only=True)
    kind: ClassVar[str] = "rows"

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows: first the noise, then the images."""
        check_n(n)
        noise = torch.randn(n, self.centre.shape[1], generator=generator)
        row = pick_rows(n, len(self.centre), generator=generator)
        z = self.centre[row].float()
        if self.spread is not None:
            z = z + self.spread[row].float() * noise
        label = None if self.label is None else self.label[row]
        context = None if self.context is None else self.context[row]
        return LatentDraw(z, row if self.training else None, label, context)

    def state(self) -> SamplerState:
        """Return the table."""
        tensors = {"centre": self.centre}
        if self.spread is not None:
            tensors["spread"] = self.spread
        if self.label is not None:
            tensors["label"] = self.label
        if self.context is not None:
            tensors["context"] = self.context
        json = {"kind": self.kind, "training": self.training, "facts": self.facts.to_json()}
        return SamplerState(self.name, tensors, json)

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        check_kind(state, cls.kind)
        tensors = state.tensors
        return cls(
            state.name,
            tensors["centre"],
            tensors.get("spread"),
            tensors.get("label"),
            state.json["training"],
            SamplerFacts.from_json(state.json["facts"]),
            context=tensors.get("context"),
        )


@dataclass(frozen=True, eq=False)
class FittedMixtureOfRows(FittedRows):
    """Rows whose noise is never zero, so that the mixture of N(centre_i, diag spread_i²) has a density."""

    kind: ClassVar[str] = "mixture_of_rows"

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return the log-density of the mixture over all rows, nats, float64."""
        assert self.spread is not None
        return mixture_log_prob(z, self.centre, 2 * self.spread.abs().log())


def restore_rows(state: SamplerState) -> FittedRows:
    """Return the table of posteriors with this state, with a density if it was stored with one.

    Raises:
        ValueError: the state belongs to another kind of sampler.
    """
    dense = state.json.get("kind") == FittedMixtureOfRows.kind
    return (FittedMixtureOfRows if dense else FittedRows).from_state(state)


def rows_of(name: str, latents: Latents, *, training: bool) -> FittedRows:
    """Return the sampler of draws from posteriors, with a density unless the encoder is deterministic.

    Args:
        name: the sampler's name.
        latents: the posteriors.
        training: whether they belong to training images, which the draws then reconstruct.
    """
    facts = _RECONSTRUCTS if training else _HELDOUT
    # For training rows the row number, which is the draw's source, already determines the context.
    context = None if training else latents.context
    if latents.log_var is None:
        facts = _MEANS if training else _HELDOUT
        return FittedRows(name, latents.mean, None, latents.label, training, facts, context=context)
    return FittedMixtureOfRows(
        name, latents.mean, latents.std, latents.label, training, facts, context=context
    )


def widened_posteriors() -> SamplerFacts:
    """Return the facts of draws from widened training posteriors, which are no reconstructions."""
    return SamplerFacts(
        reconstructs=False,
        needs_training_data=True,
        fixed=False,
        cost="It needs the training images' posteriors at generation time; every sample is a draw of one of "
        "them, widened.",
    )


def training_posteriors(count: str = "") -> SamplerFacts:
    """Return the facts of draws from training posteriors, which are reconstructions.

    Args:
        count: the number of images in words, where these are not all: "some", "one a class".
    """
    if not count:
        return _RECONSTRUCTS
    return replace(
        _RECONSTRUCTS,
        cost=f"It needs the posteriors of training images ({count}) at generation time, and every sample is a "
        "noisy reconstruction of one of them.",
    )


@dataclass(frozen=True)
class Posterior:
    """z = mu_i + s_i eps for a training image i: reconstructive by definition; keeps the label of x_i."""

    name: ClassVar[str] = "posterior"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = "source"

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedRows:
        """Return the table of training posteriors."""
        return replace(rows_of(self.name, inputs.train, training=True), facts=_MODE_1_MEANT)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedRows:
        """Return the fitted sampler with this state."""
        return restore_rows(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return the aggregate moments of the training posteriors."""
        return _aggregate(inputs.train)


@dataclass(frozen=True)
class PosteriorHeldout:
    """The same with validation images, which the model cannot have memorised; never with test images."""

    name: ClassVar[str] = "posterior_heldout"
    role: ClassVar[Role] = "control"
    label_source: ClassVar[LabelSource] = "source"

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedRows:
        """Return the table of validation posteriors.

        Raises:
            SamplerNotApplicable: there are no validation images.
        """
        if len(inputs.validation) < 2:
            raise SamplerNotApplicable(
                f"{self.name}: {len(inputs.validation)} validation images, expected at least 2"
            )
        return rows_of(self.name, inputs.validation, training=False)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedRows:
        """Return the fitted sampler with this state."""
        return restore_rows(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return the aggregate moments of the validation posteriors."""
        return _aggregate(inputs.validation)


@dataclass(frozen=True)
class PosteriorMean:
    """z = mu_i: plain reconstructions of training images, an upper limit of quality."""

    name: ClassVar[str] = "posterior_mean"
    role: ClassVar[Role] = "control"
    label_source: ClassVar[LabelSource] = "source"

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedRows:
        """Return the table of training means."""
        return FittedRows(self.name, inputs.train.mean, None, inputs.train.label, True, _MEANS)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedRows:
        """Return the fitted sampler with this state."""
        return restore_rows(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return the mean and covariance of the means."""
        return total_moments(inputs.train.mean, None)


def _aggregate(latents: Latents) -> Moments:
    return total_moments(latents.mean, None if latents.log_var is None else latents.log_var.double().exp())

"""The contract of samplers: what a sampler is given, what it returns, and its state."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents, Moments, check_full
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.priors.base import Prior

Role = Literal["candidate", "control", "specimen"]
LabelSource = Literal["source", "condition", ""]


class SamplerNotApplicable(ValueError):  # noqa: N818
    """This sampler does not apply to this model or data; the message is the reason, in one line."""


@dataclass(frozen=True)
class FitInputs:
    """What a sampler may use: posteriors, but never images, and nothing of the test set.

    Attributes:
        train: posteriors of the training images.
        validation: posteriors of the validation images; for selection, and for posterior_heldout.
        prior: the model's own prior; None stands for N(0, I).
        label_prior: probability of each class 0..n_classes-1; None takes the training frequencies.
    """

    train: Latents
    validation: Latents
    prior: Prior | None = None
    label_prior: Float[Tensor, "n_classes"] | None = None

    def __post_init__(self) -> None:
        if len(self.train) < 2:
            raise ValueError(f"train has {len(self.train)} posteriors: expected at least 2 to fit a sampler")
        if self.validation.dim != self.train.dim:
            raise ValueError(f"validation has {self.validation.dim} units: expected train's {self.train.dim}")


@dataclass(frozen=True)
class SamplerState:
    """A fitted sampler as tensors and JSON, from which its sampler's `restore` builds one with the same draws.

    Attributes:
        name: the sampler's name, its label in tables.
        tensors: what the sampler learned.
        json: plain JSON types; `kind` names the class of the fitted sampler.
    """

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    json: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class FittedSampler(Protocol):
    """A distribution of z to draw from."""

    @property
    def facts(self) -> SamplerFacts:
        """Facts of the sampler: whether it reconstructs, needs training data, depends on the encoder; its cost."""
        ...

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n exchangeable rows, float32; where the distribution allows it, torch.randn(n, d) comes first."""
        ...

    def state(self) -> SamplerState:
        """Return what the sampler's `restore` needs to build one with the same draws."""
        ...


@runtime_checkable
class LatentDensity(Protocol):
    """The optional second capability of a fitted sampler: a log-density."""

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z), nats, float64."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Frozen hyperparameters of a sampler."""

    @property
    def name(self) -> str:
        """The label in tables, and the name of the file in conf/sampler."""
        ...

    @property
    def role(self) -> Role:
        """Candidates compete, controls give bounds, and specimens are shown but never ranked."""
        ...

    @property
    def label_source(self) -> LabelSource:
        """Where labels of draws come from: the source image, the requested class, or "" for no labels."""
        ...

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedSampler:
        """Return the fitted sampler.

        Raises:
            SamplerNotApplicable: the model or the data lack what this sampler needs.
            ValueError: bad input, in one line.
        """
        ...

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedSampler:
        """Return the fitted sampler with this state, which draws the same.

        Args:
            state: the result of `FittedSampler.state`.
            prior: the model's own prior, where that is learned: its weights belong to the model, not to the state.

        Raises:
            ValueError: the state is of another kind, or a learned prior is missing.
        """
        ...

    def expected_moments(self, inputs: FitInputs) -> Moments | None:
        """Return the moments of the distribution; None where they have no closed form."""
        ...


def check_kind(state: SamplerState, kind: str) -> None:
    """Refuse a state that belongs to another class.

    Raises:
        ValueError: one line.
    """
    if state.json.get("kind") != kind:
        raise ValueError(
            f"sampler state {state.name!r} has kind {state.json.get('kind')!r}: expected {kind!r}"
        )


def require_log_var(latents: Latents, name: str) -> Float[Tensor, "n d"]:
    """Return log s², and refuse a deterministic encoder.

    Raises:
        SamplerNotApplicable: the encoder is deterministic.
    """
    if latents.log_var is None:
        raise SamplerNotApplicable(f"{name}: the encoder gives no log_var")
    return latents.log_var


def standard_moments(dim: int, temperature: float = 1.0) -> Moments:
    """Return the moments of N(0, T² I)."""
    return Moments(
        torch.zeros(dim, dtype=torch.float64), temperature**2 * torch.eye(dim, dtype=torch.float64)
    )


def total_moments(mean: Float[Tensor, "n d"], variance: Float[Tensor, "n d"] | None) -> Moments:
    """Return the moments of the mixture of N(mean_i, diag variance_i): Cov(mean) + diag(mean variance).

    Raises:
        ValueError: too many dimensions for a full covariance.
    """
    check_full(mean.shape[1])
    rows = mean.double()
    centre = rows.mean(0)
    centred = rows - centre
    cov = centred.T @ centred / len(rows)
    if variance is not None:
        cov = cov + torch.diag(variance.double().mean(0))
    return Moments(centre, cov)

"""Ex-post densities: a distribution fitted to the aggregate posterior after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import MOST_FULL, LatentDraw, Latents, Moments
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities import FittedDensity, FittedGaussian, FittedMixture, GaussianMixture
from priorgap.densities.gaussian import Covariance, FittedDiagonal
from priorgap.densities.low_rank import FittedLowRank
from priorgap.densities.protocols import TooFewPoints
from priorgap.priors.base import Prior
from priorgap.samplers.posterior import pick_rows
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerNotApplicable,
    SamplerState,
    check_kind,
    total_moments,
)

# Facts of densities that are fitted to draws of the training posteriors.
FITTED = SamplerFacts(
    reconstructs=False,
    needs_training_data=False,
    fixed=False,
    cost="It costs one pass of the encoder over the training set and a fit; the decoder stays as it is.",
)
_DENSITIES: dict[str, type[FittedGaussian | FittedDiagonal | FittedLowRank | FittedMixture]] = {
    density.kind: density for density in (FittedGaussian, FittedDiagonal, FittedLowRank, FittedMixture)
}

# The number of validation draws for the choice of an epoch is at most the number of training draws divided by
# this.
_VALIDATION_SHARE = 4


@dataclass(frozen=True, eq=False)
class FittedExPost:
    """A density of z under a sampler's name.

    Attributes:
        name: the sampler's name.
        density: the density.
        facts: what is true of the sampler; by default the facts of a density fitted to the training
            posteriors.
    """

    name: str
    density: FittedDensity
    facts: SamplerFacts = FITTED
    kind: ClassVar[str] = "density"

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows of the density."""
        return LatentDraw(self.density.draw(n, generator=generator))

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z), nats, float64."""
        return self.density.log_prob(z)

    def state(self) -> SamplerState:
        """Return the density's tensors and its kind."""
        json = {"kind": self.kind, "density": self.density.kind, "facts": self.facts.to_json()}
        return SamplerState(self.name, self.density.state(), json)

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        check_kind(state, cls.kind)
        density = _DENSITIES[state.json["density"]].from_state(state.tensors)
        return cls(state.name, density, SamplerFacts.from_json(state.json["facts"]))


@dataclass(frozen=True)
class ExPostGaussian:
    """N(m, C) with C = Cov(mu) + diag(mean s²), by total variance, in closed form and without draws.

    Attributes:
        covariance: "full", or "diag" for the diagonal of C alone.
    """

    covariance: Covariance
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""

    def __post_init__(self) -> None:
        if self.covariance not in ("diag", "full"):
            raise ValueError(f"covariance={self.covariance!r}: expected diag or full")

    @property
    def name(self) -> str:
        """gaussian_diag or gaussian_full."""
        return f"gaussian_{self.covariance}"

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedExPost:
        """Return the Gaussian with the aggregate moments of the training posteriors.

        Raises:
            ValueError: a full covariance of too many dimensions.
        """
        if self.covariance == "diag" and inputs.train.dim > MOST_FULL:
            return FittedExPost(self.name, aggregate_diagonal(inputs.train))
        return FittedExPost(self.name, FittedGaussian.from_moments(self.expected_moments(inputs)))

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedExPost:
        """Return the fitted sampler with this state."""
        return FittedExPost.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> Moments:
        """Return the aggregate mean, and the aggregate covariance or its diagonal."""
        train = inputs.train
        variance = None if train.log_var is None else train.log_var.double().exp()
        moments = total_moments(train.mean, variance)
        if self.covariance == "full":
            return moments
        return Moments(moments.mean, torch.diag(moments.cov.diagonal()))


def aggregate_diagonal(train: Latents) -> FittedDiagonal:
    """Return the Gaussian with the aggregate means and variances, without a full matrix; no variance is 0."""
    mean = train.mean.mean(0, dtype=torch.float64)
    # Blocks of units are converted in turn, so that no float64 copy of all posteriors is made.
    parts = zip(train.mean.split(MOST_FULL, 1), mean.split(MOST_FULL), strict=True)
    variance = torch.cat([(part.double() - m).square().mean(0) for part, m in parts])
    if train.log_var is not None:
        within = [part.double().exp().mean(0) for part in train.log_var.split(MOST_FULL, 1)]
        variance = variance + torch.cat(within)
    least = 1e-12 * variance.mean().clamp_min(torch.finfo(torch.float64).tiny)
    return FittedDiagonal(mean, variance.clamp_min(least))


@dataclass(frozen=True)
class ExPostMixture:
    """A Gaussian mixture fitted to draws of z, not to mu, which would lose the posteriors' own variance.

    Attributes:
        n_components: one number, or candidates; chosen by the log-likelihood of validation draws.
        n_fit: EM uses at most this many draws.
        draws_per_image: the largest number of draws from one posterior, where there are fewer images than
            n_fit.
        max_iter: the largest number of EM steps for each candidate.
        reg_covar: the ridge on the covariances, relative to each unit's variance.
    """

    n_components: int | Sequence[int]
    n_fit: int
    draws_per_image: int
    max_iter: int
    reg_covar: float
    name: str = "gmm"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""

    def __post_init__(self) -> None:
        # YAML gives lists, but a field of a frozen dataclass must be hashable.
        if not isinstance(self.n_components, int):
            object.__setattr__(self, "n_components", tuple(self.n_components))
        if self.draws_per_image < 1:
            raise ValueError(f"draws_per_image={self.draws_per_image}: expected an integer of at least 1")
        self._density()

    def _density(self) -> GaussianMixture:
        return GaussianMixture(self.n_components, self.n_fit, self.max_iter, self.reg_covar)

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedExPost:
        """Draw z from the training posteriors, fit every candidate, and keep the best one on validation draws.

        Raises:
            SamplerNotApplicable: there are too few images.
        """
        density = self._density()
        n = min(self.n_fit, self.draws_per_image * len(inputs.train))
        z_train = draw_rows(inputs.train, n, generator=generator)
        z_validation = inputs.validation.mean
        if len(density.candidates) > 1:
            n_validation = min(self.n_fit, self.draws_per_image * len(inputs.validation))
            z_validation = draw_rows(inputs.validation, n_validation, generator=generator)
        try:
            fitted = density.fit(z_train, z_validation, generator=generator)
        except TooFewPoints as error:  # Only this fit lacks images, and other samplers can still be fitted.
            raise SamplerNotApplicable(
                f"{self.name}: {error} ({len(inputs.train)} training images)"
            ) from error
        return FittedExPost(self.name, fitted)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedExPost:
        """Return the fitted sampler with this state."""
        return FittedExPost.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> None:
        """Return None: EM's moments follow from its draws, not from the posteriors in closed form."""
        return None


def check_draws(n_fit: int, draws_per_image: int) -> None:
    """Refuse numbers of draws to which no density can be fitted.

    Raises:
        ValueError: one line that names the setting.
    """
    for key, value, least in (("n_fit", n_fit, 2), ("draws_per_image", draws_per_image, 1)):
        if value < least:
            raise ValueError(f"{key}={value}: expected an integer of at least {least}")


def draws_to_fit(
    inputs: FitInputs, n_fit: int, draws_per_image: int, *, generator: torch.Generator
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]:
    """Return draws of the training posteriors to train on, and of the validation posteriors to choose an epoch.

    Args:
        inputs: the posteriors.
        n_fit: the largest number of training draws; at most a quarter of it are validation draws.
        draws_per_image: the largest number of draws from one posterior.
        generator: makes the draws.
    """
    n = min(n_fit, draws_per_image * len(inputs.train))
    n_validation = min(max(1, n // _VALIDATION_SHARE), draws_per_image * len(inputs.validation))
    z_train = draw_rows(inputs.train, n, generator=generator)
    return z_train, draw_rows(inputs.validation, n_validation, generator=generator)


def draw_rows(latents: Latents, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
    """Draw n rows of z from posteriors, using all images equally often, to within one."""
    if n == 0:
        return latents.mean[:0]
    return latents.take(pick_rows(n, len(latents), generator=generator)).draw(generator=generator)

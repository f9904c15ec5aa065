"""The bracket of KL(q || p): the densities fitted for its lower end, and the choice among them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.latents import Latents, Moments
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import child
from priorgap.densities import FittedGaussian, GaussianMixture
from priorgap.densities.subspace import SubspaceMixture
from priorgap.estimators.bracket import (
    Bracket,
    kl_lower_bound,
    kl_upper_terms,
    largest_share,
    rows_per_parameter,
    upper_floor,
)
from priorgap.estimators.gaussian import aggregate_moments, rate_per_unit, standard_normal_log_prob
from priorgap.estimators.mixture import mixture_log_prob
from priorgap.estimators.uncertainty import mean_estimate
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require, require_few_dimensions

LogDensity = Callable[[Tensor], Tensor]

_LEVEL = 0.975
# The numbers of directions that may have a mixture of their own: a curve needs two, a pair of curves four.
_DIRECTIONS = (2, 4)
# Candidates that validation draws choose from: weights of the diagonal in a shrunk covariance, and numbers of
# directions in a low-rank one.
_SHRINKAGE = (0.1, 0.3, 0.6, 0.9)
_RANKS = (1, 4, 16)


class HasLogProb(Protocol):
    """What the lower end needs from a fitted distribution."""

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z), nats."""
        ...


class Family(Protocol):
    """Hyperparameters of distributions that may be added to the bracket's list."""

    def fit(
        self, z_train: Float[Tensor, "n d"], z_validation: Float[Tensor, "m d"], *, generator: torch.Generator
    ) -> HasLogProb:
        """Fit to `z_train`; choices, where there are any, are made on `z_validation`."""
        ...


def _log_var(latents: Latents) -> Float[Tensor, "n d"]:
    if latents.log_var is None:
        raise ValueError("the encoder gives no log_var: expected posteriors with a density")
    return latents.log_var


def _draws(latents: Latents, n_draws: int, *, generator: torch.Generator) -> Float[Tensor, "m d"]:
    """Return n_draws draws z from each posterior; row k n + i is draw k of image i."""
    return torch.cat([latents.draw(generator=generator) for _ in range(n_draws)])


def _candidates(
    train: Latents,
    z_validation: Tensor,
    mixture: GaussianMixture,
    extra: Mapping[str, Family],
    generator: torch.Generator,
) -> dict[str, LogDensity]:
    """Return the log-densities fitted to training posteriors."""
    log_var = _log_var(train)
    moments = Moments(*aggregate_moments(train.mean, log_var))
    # With few images several draws from each posterior are used, so that EM sees more of the same mixture.
    n_draws = max(1, min(4, mixture.n_fit // len(train)))
    z_train = _draws(train, n_draws, generator=generator)
    gmm = mixture.fit(z_train, z_validation, generator=generator)
    found: dict[str, LogDensity] = {
        **{name: FittedGaussian.from_moments(m).log_prob for name, m in _gaussians(moments).items()},
        "gmm": gmm.log_prob,
        "train_mixture": lambda z: mixture_log_prob(z, train.mean, log_var),
    }
    families: dict[str, Family] = {**extra, "subspace": SubspaceMixture(_DIRECTIONS, mixture)}
    for name, density in families.items():
        found[name] = density.fit(z_train, z_validation, generator=generator).log_prob
    return found


def _gaussians(moments: Moments) -> dict[str, Moments]:
    """Return Gaussians with the full covariance, and with fewer parameters for small numbers of images.

    Shrunk: (1 - w) C + w diag C. Low-rank: the largest directions of the units' correlation are kept, and the other
        eigenvalues are replaced by their mean (probabilistic principal components, Tipping & Bishop 1999).
    """
    cov = moments.cov.double()
    diagonal = torch.diag(cov.diagonal())
    scale = cov.diagonal().sqrt()
    values, vectors = torch.linalg.eigh(cov / scale[:, None] / scale)
    found = {"gaussian": cov, "diagonal": diagonal}
    found |= {f"shrunk {w:g}": (1 - w) * cov + w * diagonal for w in _SHRINKAGE}
    for rank in (r for r in _RANKS if r < len(cov) - 1):
        kept = values.clone()
        kept[:-rank] = values[:-rank].mean()
        found[f"low rank {rank}"] = scale[:, None] * (vectors * kept @ vectors.T) * scale
    return {name: Moments(moments.mean, own) for name, own in found.items()}


def chosen_density(
    train: Latents,
    validation: Latents,
    *,
    mixture: GaussianMixture,
    n_draws: int,
    generator: torch.Generator,
    extra: Mapping[str, Family] = MappingProxyType({}),
    log_prior: LogDensity | None = None,
) -> tuple[str, LogDensity]:
    """Return the density with the best log-likelihood of validation draws, among those fitted to training posteriors.

    Args:
        train, validation: posteriors with log_var.
        mixture: hyperparameters of the Gaussian mixture.
        n_draws: draws of z from each validation posterior.
        generator: makes all draws.
        extra: further families, by name, in addition to Gaussians (full, diagonal, shrunk, low-rank), Gaussian
            mixture, training mixture and mixture in a subspace.
        log_prior: log p, which is chosen (as "prior") where every fitted density is worse.

    Returns:
        The density's name, and its log-density.
    """
    z_validation = _draws(validation, n_draws, generator=generator)
    fitted = _candidates(train, z_validation, mixture, extra, child(generator))
    if log_prior is not None:
        fitted["prior"] = log_prior
    scores = {name: float(log_f(z_validation).mean()) for name, log_f in fitted.items()}
    chosen = max(scores, key=lambda name: scores[name])
    return chosen, fitted[chosen]


def bracket_of_kl(
    train: Latents,
    validation: Latents,
    test: Latents,
    *,
    mixture: GaussianMixture,
    n_draws: int,
    generator: torch.Generator,
    log_prior: LogDensity = standard_normal_log_prob,
    extra: Mapping[str, Family] = MappingProxyType({}),
) -> tuple[Bracket, str]:
    """Return the bracket of KL(q || p), and the name of the density behind its lower end.

    Lower: of {Gaussians by total variance, full, diagonal, shrunk and low-rank; Gaussian mixture; mixture of all
    training posteriors; Gaussian with a mixture in its least normal directions}, fitted on training posteriors, and p
    itself, the one with the best mean log-density on draws of the validation posteriors; mean over draws of test
    posteriors of log f - log p, which is 0 for p. Upper: the in-sample mixture over test posteriors.

    Args:
        train, validation, test: posteriors with log_var, of images of one distribution; train trained the encoder.
        mixture: hyperparameters of the Gaussian mixture.
        n_draws: draws of z from each validation and test posterior.
        generator: makes all draws.
        log_prior: log p(z), nats.
        extra: further families for the lower end, by name.
    """
    chosen, log_density = chosen_density(
        train,
        validation,
        mixture=mixture,
        n_draws=n_draws,
        generator=generator,
        extra=extra,
        log_prior=log_prior,
    )
    z = _draws(test, n_draws, generator=generator)
    log_f, log_p = (x.double().view(n_draws, len(test)).T for x in (log_density(z), log_prior(z)))
    terms = kl_upper_terms(
        test.mean, _log_var(test), n_draws=n_draws, generator=generator, log_prior=log_prior
    )
    largest = max(largest_share((log_f - log_p).mean(1)), largest_share(terms))
    return Bracket(kl_lower_bound(log_f, log_p), mean_estimate(terms), largest), chosen


@dataclass(frozen=True)
class KLBracket:
    """`kl` (asymptotic 97.5 % limits) and `kl_point` of KL(q || p), each with bound lower and upper. Nats.

    kl_largest_share: the share of one image in the variance of an end; where it is large the limits are not valid.
    kl_upper_floor: rate - 2 log n, below which no upper limit from this many images can be. kl_rows_per_parameter:
    training images for each parameter of a full Gaussian; where there are few, a lower end of 0 is no evidence.

    The list of densities does not depend on the samplers of a study.

    Attributes:
        n_components: candidates for the Gaussian mixture, of all units and of a subspace, chosen on validation draws.
        n_fit, max_iter, reg_covar: as in `densities.GaussianMixture`.
        n_draws: draws of z from each validation and test posterior.
    """

    n_components: int | Sequence[int]
    n_fit: int
    max_iter: int
    reg_covar: float
    n_draws: int
    name: ClassVar[str] = "kl"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued(
        "kl", "kl_point", "kl_largest_share", "kl_upper_floor", "kl_rows_per_parameter"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test", "log_var"})

    def __post_init__(self) -> None:
        # YAML gives lists, but a field of a frozen dataclass must be hashable.
        if not isinstance(self.n_components, int):
            object.__setattr__(self, "n_components", tuple(self.n_components))
        if self.n_draws < 1:
            raise ValueError(f"n_draws={self.n_draws}: expected an integer of at least 1")
        self._mixture()

    def _mixture(self) -> GaussianMixture:
        return GaussianMixture(self.n_components, self.n_fit, self.max_iter, self.reg_covar)

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the limits, their point values, and measures of how reliable they are."""
        require(evidence, self.needs)
        model = evidence.model
        require_few_dimensions(model.train)
        if model.train is None or model.validation is None or model.test is None:
            raise NotApplicable("there are no posteriors")
        if min(len(model.train), len(model.validation), len(model.test)) < 2:
            raise NotApplicable("expected at least 2 posteriors in each of train, validation and test")
        bracket, _ = bracket_of_kl(
            model.train,
            model.validation,
            model.test,
            mixture=self._mixture(),
            n_draws=self.n_draws,
            generator=generator,
            log_prior=model.log_prior,
        )
        low, high = bracket.limits(_LEVEL)
        n, errors = len(model.test), (bracket.lower.std_error, bracket.upper.std_error)
        return [
            Measurement("kl", low, errors[0], n, len(model.train), bound="lower"),
            Measurement("kl", high, errors[1], n, n, bound="upper"),
            measured("kl_point", bracket.lower, n=n, n_reference=len(model.train), bound="lower"),
            measured("kl_point", bracket.upper, n=n, n_reference=n, bound="upper"),
            measured("kl_largest_share", bracket.largest_share or 0.0, n=n),
            measured("kl_upper_floor", upper_floor(_rate(model.test), n), n=n),
            measured(
                "kl_rows_per_parameter",
                rows_per_parameter(len(model.train), model.train.dim),
                n=len(model.train),
            ),
        ]


def _rate(latents: Latents) -> float:
    """Return the mean rate of posteriors against N(0, I), nats."""
    return float(rate_per_unit(latents.mean, _log_var(latents)).sum(1).mean())

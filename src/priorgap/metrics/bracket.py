"""The certified bracket of KL(q || p): what is fitted for its lower end, and how it is chosen."""

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
from priorgap.estimators.bracket import Bracket, kl_lower_bound, kl_upper_bound
from priorgap.estimators.gaussian import aggregate_moments, standard_normal_log_prob
from priorgap.estimators.mixture import mixture_log_prob
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require

LogDensity = Callable[[Tensor], Tensor]

_LEVEL = 0.975
# how many directions may have a mixture of their own: a curve takes two, a pair of them four
_DIRECTIONS = (2, 4)


class HasLogProb(Protocol):
    """All that the lower end asks of a fitted distribution."""

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z), nats."""
        ...


class Family(Protocol):
    """Hyperparameters of distributions that may join the bracket's list."""

    def fit(
        self, z_train: Float[Tensor, "n d"], z_validation: Float[Tensor, "m d"], *, generator: torch.Generator
    ) -> HasLogProb:
        """Fit to `z_train`; choose, where there is something to choose, on `z_validation`."""
        ...


def _log_var(latents: Latents) -> Float[Tensor, "n d"]:
    if latents.log_var is None:
        raise ValueError("the encoder gives no log_var: expected posteriors with a density")
    return latents.log_var


def _draws(latents: Latents, n_draws: int, *, generator: torch.Generator) -> Float[Tensor, "m d"]:
    """Return n_draws z of each posterior; row k n + i is draw k of image i."""
    return torch.cat([latents.draw(generator=generator) for _ in range(n_draws)])


def _candidates(
    train: Latents,
    z_validation: Tensor,
    mixture: GaussianMixture,
    extra: Mapping[str, Family],
    generator: torch.Generator,
) -> dict[str, LogDensity]:
    """Return the log-densities that were fitted to training posteriors."""
    log_var = _log_var(train)
    gaussian = FittedGaussian.from_moments(Moments(*aggregate_moments(train.mean, log_var)))
    # several draws of a posterior where there are few images: EM then sees more of the same mixture
    n_draws = max(1, min(4, mixture.n_fit // len(train)))
    z_train = _draws(train, n_draws, generator=generator)
    gmm = mixture.fit(z_train, z_validation, generator=generator)
    found: dict[str, LogDensity] = {
        "gaussian": gaussian.log_prob,
        "gmm": gmm.log_prob,
        "train_mixture": lambda z: mixture_log_prob(z, train.mean, log_var),
    }
    families: dict[str, Family] = {**extra, "subspace": SubspaceMixture(_DIRECTIONS, mixture)}
    for name, density in families.items():
        found[name] = density.fit(z_train, z_validation, generator=generator).log_prob
    return found


def chosen_density(
    train: Latents,
    validation: Latents,
    *,
    mixture: GaussianMixture,
    n_draws: int,
    generator: torch.Generator,
    extra: Mapping[str, Family] = MappingProxyType({}),
) -> tuple[str, LogDensity]:
    """Return the density of q that describes validation draws best, among those fitted to training posteriors.

    Args:
        train, validation: posteriors with log_var.
        mixture: hyperparameters of the Gaussian mixture.
        n_draws: draws of z of each validation posterior.
        generator: makes all draws.
        extra: further families, by name, beside full Gaussian, Gaussian mixture, training mixture and mixture in a
            subspace.

    Returns:
        Its name, and its log-density.
    """
    z_validation = _draws(validation, n_draws, generator=generator)
    fitted = _candidates(train, z_validation, mixture, extra, child(generator))
    scores = {name: float(log_f(z_validation).mean()) for name, log_f in fitted.items()}
    chosen = max(scores, key=lambda name: scores[name])
    return chosen, fitted[chosen]


def certified_bracket(
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

    Lower: of {full Gaussian by total variance, Gaussian mixture, mixture of all training posteriors, Gaussian with a
    mixture in its least normal directions}, fitted on training posteriors, the one with the best mean log-density on
    draws of the validation posteriors; mean over draws of test posteriors of log f - log p. Upper: the in-sample
    mixture over test posteriors.

    Args:
        train, validation, test: posteriors with log_var, of images of one distribution; train trained the encoder.
        mixture: hyperparameters of the Gaussian mixture.
        n_draws: draws of z of each validation and test posterior.
        generator: makes all draws.
        log_prior: log p(z), nats.
        extra: further families for the lower end, by name.
    """
    chosen, log_density = chosen_density(
        train, validation, mixture=mixture, n_draws=n_draws, generator=generator, extra=extra
    )
    z = _draws(test, n_draws, generator=generator)
    log_f, log_p = (x.double().view(n_draws, len(test)).T for x in (log_density(z), log_prior(z)))
    upper = kl_upper_bound(
        test.mean, _log_var(test), n_draws=n_draws, generator=generator, log_prior=log_prior
    )
    return Bracket(kl_lower_bound(log_f, log_p), upper), chosen


@dataclass(frozen=True)
class KLBracket:
    """`kl` (97.5 % limits) and `kl_point` of KL(q || p), each with bound lower and upper. Nats.

    The list of densities is fixed, whatever samplers a study has selected.

    Attributes:
        n_components: candidates for the Gaussian mixture, of all units and of a subspace, chosen on validation draws.
        n_fit, max_iter, reg_covar: as in `densities.GaussianMixture`.
        n_draws: draws of z of each validation and test posterior.
    """

    n_components: int | Sequence[int]
    n_fit: int
    max_iter: int
    reg_covar: float
    n_draws: int
    name: ClassVar[str] = "kl"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("kl", "kl_point")
    needs: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test", "log_var"})

    def __post_init__(self) -> None:
        # sequences from YAML are lists; a frozen value must be hashable
        if not isinstance(self.n_components, int):
            object.__setattr__(self, "n_components", tuple(self.n_components))
        if self.n_draws < 1:
            raise ValueError(f"n_draws={self.n_draws}: expected an integer of at least 1")
        self._mixture()

    def _mixture(self) -> GaussianMixture:
        return GaussianMixture(self.n_components, self.n_fit, self.max_iter, self.reg_covar)

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return four rows; the standard error of a limit is that of its point."""
        require(evidence, self.needs)
        model = evidence.model
        if model.train is None or model.validation is None or model.test is None:
            raise NotApplicable("there are no posteriors")
        if min(len(model.train), len(model.validation), len(model.test)) < 2:
            raise NotApplicable("expected at least 2 posteriors in each of train, validation and test")
        bracket, _ = certified_bracket(
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
        ]

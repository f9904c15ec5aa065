"""How much of the prior the aggregate posterior does not cover, and how its mismatch splits over units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.latents import Latents
from priorgap.core.measurement import Bound, Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import stream
from priorgap.densities import GaussianMixture
from priorgap.estimators.bracket import Bracket
from priorgap.estimators.dependence import dependence_brackets
from priorgap.estimators.marginal import marginal_divergences
from priorgap.estimators.overlap import effective_share_estimate, hole_curve, kl_prior_to_density
from priorgap.estimators.uncertainty import Estimate
from priorgap.metrics.bracket import LogDensity, chosen_density
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require, require_few_dimensions

HOLE_LEVEL = 0.01
_MOST = 0.5


def prior_draws(
    model: ModelEvidence, n: int, dim: int, *, generator: torch.Generator
) -> Float[Tensor, "n d"]:
    """Return n draws of the model's prior, float32."""
    if model.prior is None:
        return torch.randn(n, dim, generator=generator)
    with torch.no_grad():
        return model.prior.sample(n, generator=generator).float()


def split_posteriors(model: ModelEvidence) -> tuple[Latents, Latents, Latents]:
    """Return training, validation and test posteriors; call it after `require`."""
    if model.train is None or model.validation is None or model.test is None:
        raise NotApplicable("there are no posteriors")
    if min(len(model.train), len(model.validation), len(model.test)) < 2:
        raise NotApplicable("expected at least 2 posteriors in each of train, validation and test")
    return model.train, model.validation, model.test


def fitted_density(model: ModelEvidence, mixture: GaussianMixture, n_draws: int) -> LogDensity:
    """Return the density of q chosen as for the bracket; metrics with equal settings share one fit."""
    require_few_dimensions(model.train)
    key = (f"fitted_density {mixture}", n_draws)
    if key not in model.memo:
        train, validation, _ = split_posteriors(model)
        generator = stream(model.seed, "fitted density")
        model.memo[key] = chosen_density(
            train, validation, mixture=mixture, n_draws=n_draws, generator=generator
        )
    density: LogDensity = model.memo[key][1]
    return density


@dataclass(frozen=True)
class Holes:
    """How much of the prior lies where q has next to nothing, by a density f fitted to training posteriors.

    `hole_mass`: H(1 %), the share of prior draws where f is below the 1 % quantile of f at test draws (1 % at q = p).
    `hole_curve`: H at each level (in `unit`). `kl_prior_to_fit`: KL(p || f), nats. `effective_share`: effective
    sample size of prior draws weighted by f/p, a share; biased upwards where q is far from p.

    Attributes:
        mixture: hyperparameters of the Gaussian mixture; f is this mixture, a full Gaussian or the mixture of
            training posteriors, chosen on validation draws.
        n_draws: draws of z from each validation posterior.
        n_prior: the number of draws of the prior.
        levels: levels of the curve, each at most 1/2; levels for which there are too few test images are left out.
        n_repeats: repeats of the bootstrap of effective_share.
    """

    mixture: GaussianMixture
    n_draws: int
    n_prior: int
    levels: Sequence[float]
    n_repeats: int
    name: ClassVar[str] = "holes"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued(
        "hole_mass", "hole_curve", "kl_prior_to_fit", "effective_share"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test", "log_var"})

    def __post_init__(self) -> None:
        # YAML gives lists, but a field of a frozen dataclass must be hashable.
        object.__setattr__(self, "levels", tuple(self.levels))
        if not all(0 < level <= _MOST for level in self.levels):
            raise ValueError(f"levels={list(self.levels)}: expected numbers above 0, at most {_MOST}")
        for key, least in (("n_draws", 1), ("n_prior", 2), ("n_repeats", 2)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least {least}")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the rows, each computed on n prior draws and n_reference test draws."""
        require(evidence, self.needs)
        model = evidence.model
        *_, test = split_posteriors(model)
        n_test = len(test)
        if HOLE_LEVEL * (n_test + 1) < 1:
            raise NotApplicable(f"{n_test} test posteriors: expected at least {round(1 / HOLE_LEVEL) - 1}")
        log_f = fitted_density(model, self.mixture, self.n_draws)
        z_p, z_q = (
            prior_draws(model, self.n_prior, test.dim, generator=generator),
            test.draw(generator=generator),
        )
        f_p, f_q, p_p, p_q = log_f(z_p), log_f(z_q), model.log_prior(z_p), model.log_prior(z_q)
        levels = [level for level in self.levels if level * (n_test + 1) >= 1]
        (mass,), curve = hole_curve(f_p, f_q, [HOLE_LEVEL]), hole_curve(f_p, f_q, levels)
        share = effective_share_estimate(f_p - p_p, f_q - p_q, generator=generator, n_repeats=self.n_repeats)
        n = self.n_prior
        return [
            measured("hole_mass", mass, n=n, n_reference=n_test),
            *(
                measured("hole_curve", height, n=n, n_reference=n_test, unit=f"{level:g}")
                for level, height in zip(levels, curve, strict=True)
            ),
            measured("kl_prior_to_fit", kl_prior_to_density(p_p, f_p), n=n),
            measured("effective_share", share, n=n, n_reference=n_test),
        ]


@dataclass(frozen=True)
class DependenceSplit:
    """KL(q || N(0, I)) = `dimension_wise_kl` + `total_correlation`, each with bound lower and upper. Nats.

    The limits are at 97.5 %; point values have the suffix `_point`.

    Attributes:
        mixture, n_draws: as in `Holes`; n_draws also from each test posterior.
    """

    mixture: GaussianMixture
    n_draws: int
    name: ClassVar[str] = "total_correlation"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued(
        "dimension_wise_kl", "dimension_wise_kl_point", "total_correlation", "total_correlation_point"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test", "log_var", "standard_normal"})

    def __post_init__(self) -> None:
        if self.n_draws < 1:
            raise ValueError(f"n_draws={self.n_draws}: expected an integer of at least 1")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return eight rows; a limit has the standard error of its point value."""
        require(evidence, self.needs)
        model = evidence.model
        train, _, test = split_posteriors(model)
        if train.log_var is None or test.log_var is None:
            raise NotApplicable("the encoder gives no log_var")
        found = dependence_brackets(
            marginal_divergences(train.mean, train.log_var),
            test.mean,
            test.log_var,
            log_f=fitted_density(model, self.mixture, self.n_draws),
            n_draws=self.n_draws,
            generator=generator,
        )
        rows = bracket_rows("dimension_wise_kl", found.dimension_wise, len(test), len(train))
        return rows + bracket_rows("total_correlation", found.total_correlation, len(test), len(train))


def bracket_rows(measure: str, bracket: Bracket, n: int, n_train: int) -> list[Measurement]:
    """Return a bracket's limits as `measure` and its points as `<measure>_point`, with bound lower and upper."""
    low, high = bracket.limits()
    ends: tuple[tuple[Bound, float, Estimate], ...] = (
        ("lower", low, bracket.lower),
        ("upper", high, bracket.upper),
    )
    rows = [Measurement(measure, limit, end.std_error, n, n_train, bound=b) for b, limit, end in ends]
    return rows + [measured(f"{measure}_point", end, n=n, n_reference=n_train, bound=b) for b, _, end in ends]

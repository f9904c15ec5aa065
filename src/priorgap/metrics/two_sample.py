"""Whether held-out draws of q can be told from draws of p: classifiers, and distances with their null values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.latents import Latents
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import child, draw_seed
from priorgap.estimators.distances import NullTest, minus_null, radius_test, sliced_wasserstein, squared_mmd
from priorgap.estimators.two_sample import total_variation_bound
from priorgap.estimators.uncertainty import Estimate
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.overlap import prior_draws
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require


def _with_squares(z: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    return np.concatenate([z, z * z], 1)


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    return make_pipeline(
        FunctionTransformer(_with_squares), StandardScaler(), LogisticRegression(max_iter=300)
    )


def _boosting(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed, early_stopping=False)


def _nearest(seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=1)


# Logistic regression on units and their squares, boosted trees, and the nearest training draw.
CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "logistic": _logistic,
    "boosting": _boosting,
    "nearest": _nearest,
}


def _some(latents: Latents, n: int, *, generator: torch.Generator) -> Float[Tensor, "m d"]:
    """Return one draw from each of at most n random posteriors."""
    rows = torch.randperm(len(latents), generator=generator)[:n]
    return latents.take(rows).draw(generator=generator).float()


def _coins(
    model: ModelEvidence, latents: Latents, n: int, *, generator: torch.Generator
) -> tuple[Float[Tensor, "m d"], Bool[Tensor, "m"]]:
    """Return rows, each of q or of p by the toss of a fair coin, and the coins, so that hits are exactly binomial."""
    of_q = _some(latents, n, generator=generator)
    coin = torch.rand(len(of_q), generator=generator) < 0.5
    of_p = prior_draws(model, len(of_q), latents.dim, generator=generator)
    return torch.where(coin[:, None], of_q, of_p), coin


@dataclass(frozen=True)
class TotalVariation:
    """`tv_lower`: 2 accuracy - 1 of a classifier between test draws of q and draws of p; TV(q, p) is at least that.

    The row without a unit is that of the classifier with the best accuracy on validation draws; other rows name the
    classifier in `unit`. Each has a point value and an exact 97.5 % limit (bound lower). 0 to 1; at most 0 in
    expectation where q = p.

    Attributes:
        n_fit: the number of training draws of q (training posteriors), and of p.
        n_eval: the largest number of validation and of test posteriors, one draw each.
    """

    n_fit: int
    n_eval: int
    name: ClassVar[str] = "tv_lower"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("tv_lower")
    needs: ClassVar[frozenset[str]] = frozenset({"train", "validation", "test"})

    def __post_init__(self) -> None:
        for key in ("n_fit", "n_eval"):
            if getattr(self, key) < 2:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least 2")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Train each classifier, choose one on validation draws, and count each one's hits on test draws."""
        require(evidence, self.needs)
        model = evidence.model
        if model.train is None or model.validation is None or model.test is None:
            raise NotApplicable("there are no posteriors")
        of_q = _some(model.train, self.n_fit, generator=generator)
        of_p = prior_draws(model, len(of_q), model.train.dim, generator=generator)
        x = torch.cat([of_q, of_p]).numpy()
        y = np.repeat([True, False], len(of_q))
        validation = _coins(model, model.validation, self.n_eval, generator=generator)
        test = _coins(model, model.test, self.n_eval, generator=generator)
        hits: dict[str, tuple[int, int]] = {}
        for name, make in CLASSIFIERS.items():
            fitted = make(draw_seed(generator)).fit(x, y)
            told = [int((fitted.predict(z.numpy()) == coin.numpy()).sum()) for z, coin in (validation, test)]
            hits[name] = (told[0], told[1])
        best = max(hits, key=lambda name: hits[name][0])
        rows = []
        for unit, name in (("", best), *((name, name) for name in hits)):
            found = total_variation_bound(hits[name][1], len(test[1]))
            n, error = len(test[1]), found.point.std_error
            rows.append(measured("tv_lower", found.point, n=n, n_reference=len(x), unit=unit))
            rows.append(
                Measurement("tv_lower", found.low, error, n, len(x), unit=unit, bound="lower"),
            )
        return rows


@dataclass(frozen=True)
class LatentDistances:
    """`mmd2` and `sliced_w2` between test draws of q and draws of p, each minus its null, and their p-values.

    The null values are distances between two independent samples of p of the same sizes. The differences are around 0
    where q = p.

    Attributes:
        n_max: the largest number of test posteriors, one draw each, compared with as many draws of p.
        n_projections: the number of directions of the sliced Wasserstein distance.
        n_repeats: the number of null values; the smallest p-value is 1 / (n_repeats + 1).
    """

    n_max: int
    n_projections: int
    n_repeats: int
    name: ClassVar[str] = "latent_distances"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("mmd2", "mmd2_p", "sliced_w2", "sliced_w2_p")
    needs: ClassVar[frozenset[str]] = frozenset({"test"})

    def __post_init__(self) -> None:
        for key, least in (("n_max", 2), ("n_projections", 1), ("n_repeats", 2)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least {least}")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return two rows for each distance."""
        require(evidence, self.needs)
        model = evidence.model
        if model.test is None or len(model.test) < 2:
            raise NotApplicable("expected at least 2 test posteriors")
        of_q = _some(model.test, self.n_max, generator=generator)
        n, d = of_q.shape
        directions = child(generator)

        def sliced(a: Tensor, b: Tensor) -> Estimate:
            return sliced_wasserstein(a, b, generator=directions, n_projections=self.n_projections)

        rows: list[Measurement] = []
        statistics: dict[str, Callable[[Tensor, Tensor], Estimate]] = {
            "mmd2": squared_mmd,
            "sliced_w2": sliced,
        }
        for name, statistic in statistics.items():
            observed = statistic(of_q, prior_draws(model, n, d, generator=generator))
            null = []
            for _ in range(self.n_repeats):
                first, second = (prior_draws(model, n, d, generator=generator) for _ in range(2))
                null.append(statistic(first, second).value)
            rows += _null_rows(name, minus_null(observed, null), n)
        return rows


@dataclass(frozen=True)
class Radius:
    """`radius_ks`: Kolmogorov distance of |z|² at test draws from chi-squared, minus its null mean; `radius_p`."""

    name: ClassVar[str] = "radius"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("radius_ks", "radius_p")
    needs: ClassVar[frozenset[str]] = frozenset({"test", "standard_normal"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the excess and the p-value, over one draw of each test posterior."""
        require(evidence, self.needs)
        test = evidence.model.test
        if test is None or len(test) < 2:
            raise NotApplicable("expected at least 2 test posteriors")
        found = radius_test(test.draw(generator=generator))
        n = len(test)
        return [measured("radius_ks", found.excess, n=n), measured("radius_p", found.p_value, n=n)]


def _null_rows(name: str, found: NullTest, n: int) -> list[Measurement]:
    return [
        measured(name, found.excess, n=n, n_reference=n),
        measured(f"{name}_p", found.p_value, n=n, n_reference=n),
    ]

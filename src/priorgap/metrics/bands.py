"""Quality by density: sample quality in bands of f(z)/p(z), and its change when z moves along the gradient."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.latents import Latents
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import child
from priorgap.densities import GaussianMixture
from priorgap.estimators.density_bands import (
    band_difference,
    band_edges,
    bands,
    entropy,
    realism,
    unit_steps,
)
from priorgap.estimators.gaussian import standard_normal_log_prob
from priorgap.estimators.uncertainty import Estimate, mean_estimate
from priorgap.features.maps import extract
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require, require_few_dimensions
from priorgap.metrics.reference import Reference

_QUALITIES = ("realism", "entropy", "inconsistency", "log_ratio")
LogRatio = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class QualityByDensity:
    """Realism, classifier entropy and inconsistency of single draws, against log f(z) - log p(z).

    `<quality>_by_density`, unit `prior:b`, `heldout:b` (draws of validation posteriors) and
    `difference:b` (prior minus heldout in the same band b, 0 the lowest ratio): an association.
    `<quality>_step`, unit `up`, `down`, `random`: mean change of the *same* prior draws, moved by `step` along
    the gradient of log f/p, against it, and in a random direction: the causal arm, to be read against `random`.
    Qualities: `realism` (0 to 1, higher is better), `entropy` (of the judge, nats, lower is more certain; labelled
    data only), `inconsistency` (|z - mu(decode z)|, lower is better), `log_ratio` (log f/p itself, a check).

    Attributes:
        n_components, n_fit, max_iter, reg_covar: settings of f, as in `densities.GaussianMixture`.
        n_draws: the number of draws of the prior, and of validation posteriors.
        n_bands: the number of bands, which have equal mass under both sets together.
        k: the k-th neighbour of the realism score.
        step: the length of a step, in latent units.
    """

    n_components: int | Sequence[int]
    n_fit: int
    max_iter: int
    reg_covar: float
    n_draws: int
    n_bands: int
    k: int
    step: float
    name: ClassVar[str] = "quality_by_density"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued(
        *(f"{quality}_{arm}" for arm in ("by_density", "step") for quality in _QUALITIES)
    )
    needs: ClassVar[frozenset[str]] = frozenset(
        {"train", "validation", "log_var", "decode", "encode", "reference"}
    )
    uses: ClassVar[frozenset[str]] = frozenset({"classifiers"})

    def __post_init__(self) -> None:
        if not isinstance(self.n_components, int):
            object.__setattr__(self, "n_components", tuple(self.n_components))
        if self.n_draws < 2 or self.n_bands < 2 or self.k < 1 or not self.step > 0:
            raise ValueError(
                f"n_draws={self.n_draws}, n_bands={self.n_bands}, k={self.k}, step={self.step}: "
                "expected at least 2, at least 2, at least 1, and a positive number"
            )
        GaussianMixture(self.n_components, self.n_fit, self.max_iter, self.reg_covar)

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the rows of bands, then those of steps."""
        require(evidence, self.needs)
        model = evidence.model
        reference = model.reference
        assert reference is not None
        assert model.validation is not None
        if len(reference.test_features) <= self.k:
            raise NotApplicable(f"{len(reference.test_features)} test images: expected more than k={self.k}")
        log_ratio = self._log_ratio(model, child(generator))
        prior, heldout = self._prior(model, generator), self._heldout(model, generator)
        draws = {"prior": prior, "heldout": heldout}
        ratios = {arm: log_ratio(x.mean).detach() for arm, x in draws.items()}
        quality = {arm: self._quality(model, x) | {"log_ratio": ratios[arm]} for arm, x in draws.items()}
        rows = self._banded(reference, ratios, quality)
        for arm, z in self._moves(prior.mean, log_ratio, generator).items():
            after = self._quality(model, Latents(z, None, prior.label, prior.context))
            after["log_ratio"] = log_ratio(z).detach()
            for name, before in quality["prior"].items():
                change = mean_estimate(after[name] - before)
                rows.append(_row(f"{name}_step", name, change, reference, len(z), arm))
        return rows

    def _log_ratio(self, model: ModelEvidence, generator: torch.Generator) -> LogRatio:
        assert model.train is not None
        assert model.validation is not None
        require_few_dimensions(model.train)
        mixture = GaussianMixture(self.n_components, self.n_fit, self.max_iter, self.reg_covar)
        fitted = mixture.fit(
            model.train.draw(generator=generator), model.validation.draw(generator=generator),
            generator=generator,
        )  # fmt: skip
        log_p = standard_normal_log_prob if model.prior is None else model.prior.log_prob
        return lambda z: fitted.log_prob(z.double()) - log_p(z.double())

    def _prior(self, model: ModelEvidence, generator: torch.Generator) -> Latents:
        """Return draws of the prior; labels or contexts, where the model needs them, are those of random images."""
        assert model.train is not None
        if model.prior is None:
            z = torch.randn(self.n_draws, model.train.mean.shape[1], generator=generator)
        else:
            with torch.no_grad():
                z = model.prior.sample(self.n_draws, generator=generator).float()
        label, context = model.train.label, model.train.context
        if label is None and context is None:
            return Latents(z)
        row = torch.randint(len(model.train), (self.n_draws,), generator=child(generator))
        label, context = (None if one is None else one[row] for one in (label, context))
        return Latents(z, None, label, context)

    def _heldout(self, model: ModelEvidence, generator: torch.Generator) -> Latents:
        assert model.validation is not None
        n = len(model.validation)
        chosen = model.validation.take(torch.randperm(n, generator=generator)[: self.n_draws])
        return Latents(chosen.draw(generator=generator).float(), None, chosen.label, chosen.context)

    def _quality(self, model: ModelEvidence, draws: Latents) -> dict[str, Float[Tensor, "n"]]:
        reference = model.reference
        assert reference is not None
        assert model.encode is not None
        x = model.decoded(draws.mean.float(), draws.label, draws.context)
        found = {
            "realism": realism(extract(reference.feature_map, x.x), reference.test_features, k=self.k),
            "inconsistency": (model.encode(x).double() - draws.mean.double()).norm(dim=1),
        }
        if reference.classifiers is not None:
            found["entropy"] = entropy(extract(reference.classifiers.judge.logits, x.x))
        return found

    def _moves(self, z: Tensor, log_ratio: LogRatio, generator: torch.Generator) -> dict[str, Tensor]:
        start = z.double().requires_grad_()
        with warnings.catch_warnings():
            # The estimators' checks convert a tensor that requires a gradient to numbers, which is harmless here.
            warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad")
            (gradient,) = torch.autograd.grad(log_ratio(start).sum(), start)
        along = unit_steps(gradient, self.step)
        anywhere = unit_steps(torch.randn(z.shape, generator=generator, dtype=torch.float64), self.step)
        base = z.double()
        return {"up": base + along, "down": base - along, "random": base + anywhere}

    def _banded(
        self, reference: Reference, ratios: dict[str, Tensor], quality: dict[str, dict[str, Tensor]]
    ) -> list[Measurement]:
        edges = band_edges(*ratios.values(), n_bands=self.n_bands)
        place = {arm: bands(ratio, edges) for arm, ratio in ratios.items()}
        rows = []
        for name in quality["prior"]:
            for b in range(self.n_bands):
                of_band = {arm: quality[arm][name][place[arm] == b] for arm in quality}
                for arm, values in of_band.items():
                    if len(values):
                        rows.append(
                            _row(f"{name}_by_density", name, mean_estimate(values), reference, len(values),
                                 f"{arm}:{b}")
                        )  # fmt: skip
                gap = band_difference(of_band["prior"], of_band["heldout"])
                if gap is not None:
                    n = min(len(v) for v in of_band.values())
                    rows.append(_row(f"{name}_by_density", name, gap, reference, n, f"difference:{b}"))
        return rows


def _row(measure: str, quality: str, value: Estimate, reference: Reference, n: int, unit: str) -> Measurement:
    space = {"realism": reference.feature_map.name, "entropy": "data"}.get(quality, "latent")
    return measured(measure, value, n=n, n_reference=len(reference.test), space=space, unit=unit)

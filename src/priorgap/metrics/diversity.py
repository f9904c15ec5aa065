"""Variety and sharpness of draws, compared with those of the test images."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import stream
from priorgap.estimators.diversity import sharpness, vendi_score
from priorgap.estimators.uncertainty import Estimate, block_estimate
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require

_NEEDS = frozenset({"draw", "decode", "reference"})


def _ratio(a: Estimate, b: Estimate) -> Estimate:
    """Return a / b with the relative errors added in squares (delta method)."""
    value = a.value / b.value
    if a.std_error is None or b.std_error is None or a.value == 0:
        return Estimate(value)
    return Estimate(value, abs(value) * math.hypot(a.std_error / a.value, b.std_error / b.value))


@dataclass(frozen=True)
class Vendi:
    """`vendi`: effective number of distinct draws (cosine kernel of features); `vendi_ratio`: over the test's.

    Attributes:
        n_max: the largest number of draws and of test images.
        n_blocks: disjoint blocks whose spread is the standard error (of the scatter, not of the bias).
    """

    n_max: int
    n_blocks: int
    name: ClassVar[str] = "vendi"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("vendi", "vendi_ratio")
    needs: ClassVar[frozenset[str]] = _NEEDS | {"features"}

    def __post_init__(self) -> None:
        if self.n_max < 2 or self.n_blocks < 2:
            raise ValueError(f"n_max={self.n_max}, n_blocks={self.n_blocks}: expected integers >= 2")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the two rows, at equal numbers of draws and of test images."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        assert reference is not None
        n = min(self.n_max, len(evidence.features), len(reference.test_features))
        # The rows are shuffled, because test sets are often sorted by quality.
        rows = torch.randperm(len(reference.test_features), generator=stream(0, "vendi", n))[:n]
        own, real = (self._estimate(x) for x in (evidence.features[:n], reference.test_features[rows]))
        space = reference.feature_map.name
        return [
            measured("vendi", own, n=n, n_reference=n, space=space),
            measured("vendi_ratio", _ratio(own, real), n=n, n_reference=n, space=space),
        ]

    def _estimate(self, features: Tensor) -> Estimate:
        value = vendi_score(features)
        if len(features) < 2 * self.n_blocks:
            return Estimate(value)
        scores = [vendi_score(part) for part in features.tensor_split(self.n_blocks)]
        return Estimate(value, block_estimate(torch.tensor(scores, dtype=torch.float64)).std_error)


@dataclass(frozen=True)
class Sharpness:
    """`sharpness`: mean variance of the Laplacian of draws; `sharpness_ratio`: over that of the test images.

    Below 1 means blur. Noise and artefacts raise it, so that a value above 1 is no sign of quality.
    """

    name: ClassVar[str] = "sharpness"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("sharpness", "sharpness_ratio")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the two rows, over all draws and all test images."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        assert reference is not None
        if not evidence.samples.modality.pictures:
            raise NotApplicable("sharpness is defined for images only")
        own, real = sharpness(evidence.samples.floats()), sharpness(reference.test.floats())
        if real.value == 0:
            raise NotApplicable("the test images are flat: there is nothing to be as sharp as")
        n, m = len(evidence.samples), len(reference.test)
        return [
            measured("sharpness", own, n=n, n_reference=m, space="pixels"),
            measured("sharpness_ratio", _ratio(own, real), n=n, n_reference=m, space="pixels"),
        ]

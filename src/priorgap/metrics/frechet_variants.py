"""FID by class, and FID corrected for its dependence on the number of samples."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.estimators.debiasing import frechet_infinity
from priorgap.estimators.discrepancy import frechet_from_features
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require

_NEEDS = frozenset({"draw", "decode", "reference", "features"})


@dataclass(frozen=True)
class FIDByClass:
    """`fid` with the class in `unit`: draws of a label against the test images of that class.

    For samplers whose draws carry labels. It detects what the overall FID cannot: swapped classes, and the
    collapse of single ones. It is biased upwards far more than the overall FID, because classes are small:
    read it together with n and n_reference, and compare samplers only at equal values of these.

    Attributes:
        least: classes with fewer draws or test images than this are left out.
    """

    least: int
    name: ClassVar[str] = "fid_by_class"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("fid")
    needs: ClassVar[frozenset[str]] = _NEEDS | {"labels", "label_source"}

    def __post_init__(self) -> None:
        if self.least < 2:
            raise ValueError(f"least={self.least}: expected an integer of at least 2")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return one row for each class."""
        require(evidence, self.needs)
        reference, own = evidence.model.reference, evidence.samples.label
        assert reference is not None
        assert reference.n_classes is not None
        if own is None or reference.test.label is None:
            raise NotApplicable("the test images have no labels")
        rows = []
        for unit in range(reference.n_classes):
            draws, real = (
                evidence.features[own == unit],
                reference.test_features[reference.test.label == unit],
            )
            n, m = len(draws), len(real)
            if min(n, m) >= self.least:
                value = frechet_from_features(draws, real)
                rows.append(
                    measured(
                        "fid", value, n=n, n_reference=m, space=reference.feature_map.name,
                        unit=unit, label_source=evidence.label_source,
                    )
                )  # fmt: skip
        if not rows:
            raise NotApplicable(f"no class has {self.least} draws and {self.least} test images")
        return rows


@dataclass(frozen=True)
class FIDInfinity:
    """`fid_infinity`: FID extrapolated to infinitely many draws and test images; lower is better.

    Attributes:
        n_splits: the number of random splits of both sets into halves.
    """

    n_splits: int
    name: ClassVar[str] = "fid_infinity"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("fid_infinity")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def __post_init__(self) -> None:
        if self.n_splits < 1:
            raise ValueError(f"n_splits={self.n_splits}: expected an integer of at least 1")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return one row, over all draws."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        assert reference is not None
        n, m = len(evidence.features), len(reference.test_features)
        if min(n, m) < 4:
            raise NotApplicable(f"{n} draws, {m} test images: expected at least 4 of each")
        value = frechet_infinity(
            evidence.features, reference.test_features, generator=generator, n_splits=self.n_splits
        )
        return [measured("fid_infinity", value, n=n, n_reference=m, space=reference.feature_map.name)]

"""Sample quality compared with the test set in the reference's feature space, with both sides quantised alike."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import stream
from priorgap.estimators.balls import OwnNeighbours
from priorgap.estimators.discrepancy import frechet_from_features
from priorgap.estimators.half_samples import prdc_by_halves
from priorgap.estimators.kernel import KernelDistance, kernel_distance, within_sums
from priorgap.estimators.uncertainty import Estimate
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference

_NEEDS = frozenset({"draw", "decode", "reference", "features"})
# Within these limits the standard errors of precision and recall are .8 to 1.3 of the true ones
# (benchmarks/null_calibration.py).
_JUDGED = (0.1, 0.9)


def _sets(evidence: Evidence, least: int) -> tuple[Float[Tensor, "n D"], Reference]:
    """Return the features of the draws and the reference; call it after `require`."""
    reference = evidence.model.reference
    if reference is None or evidence.draw is None:
        raise NotApplicable("there are no reference data or no draws")
    for name, n in (("draws", len(evidence.draw)), ("test images", len(reference.test_features))):
        if n < least:
            raise NotApplicable(f"{n} {name}: expected at least {least}")
    return evidence.features, reference


@dataclass(frozen=True)
class FID:
    """`fid`: Fréchet distance of the draws to the test images in feature space; 0 is best.

    Its standard error comes from the influence function; near the floor, where that vanishes, it is the spread of the
    real-against-real distance; where that is 0 or missing (few repeats), the error is unknown. Biased upwards
    by about `fid_null_bias`: compare at equal n only.
    """

    name: ClassVar[str] = "fid"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("fid")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return one row, over all draws."""
        require(evidence, self.needs)
        features, reference = _sets(evidence, 2)
        value = frechet_from_features(features, reference.test_features)
        if value.std_error is None and reference.floor is not None:
            value = replace(value, std_error=reference.floor.spread or None)
        n, m = len(features), len(reference.test_features)
        return [measured("fid", value, n=n, n_reference=m, space=reference.feature_map.name)]


@dataclass(frozen=True)
class FIDFloor:
    """What FID cannot be expected to go below, for this data and this model.

    `fid_floor`: training images against test images (point), and the 95 % range of real against real (bound
    lower and upper). `fid_null_bias`: the expected value under equal distributions. `fid_reconstruction`: the
    reconstructions of the validation images against the test images, which is the loss due to the decoder's blur
    alone.
    """

    name: ClassVar[str] = "fid_floor"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("fid_floor", "fid_null_bias", "fid_reconstruction")
    needs: ClassVar[frozenset[str]] = frozenset({"reference", "features", "floor", "validation", "decode"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the rows; the range is left out where there are too few images for it."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        if reference is None or reference.floor is None:
            raise NotApplicable("there is no floor")
        floor, space = reference.floor, reference.feature_map.name
        n, m = floor.n, floor.n_reference
        rows = [
            measured("fid_floor", floor.value, n=n, n_reference=m, space=space),
            measured("fid_null_bias", floor.null_bias, n=n, n_reference=m, space=space),
        ]
        if floor.low is not None and floor.high is not None:
            k = floor.n_range
            rows.append(measured("fid_floor", floor.low, n=k, n_reference=k, space=space, bound="lower"))
            rows.append(measured("fid_floor", floor.high, n=k, n_reference=k, space=space, bound="upper"))
        own = evidence.model.reconstruction_features
        if len(own) >= 2:
            value = frechet_from_features(own, reference.test_features)
            rows.append(measured("fid_reconstruction", value, n=len(own), n_reference=m, space=space))
        return rows


@dataclass(frozen=True)
class KID:
    """`kid`: unbiased squared MMD of the draws and the test images, cubic kernel; 0 is best, may be negative.

    Its standard error is that at the observed distributions; where these may be equal, use the 95 % limits (bound
    lower and upper).

    Attributes:
        n_max: the largest number of draws, and of test images; more are reduced to a random subset, because the work
            grows with the product of both. None: all.
    """

    n_max: Annotated[int, AtLeast(2)] | None = None
    name: ClassVar[str] = "kid"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("kid")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the row of the draws, and the rows of its limits."""
        require(evidence, self.needs)
        features, reference = _sets(evidence, 2)
        test, memo = reference.test_features, evidence.model.memo
        # The metric's stream, and so the choice of test images, is the same for every sampler.
        test, features = (
            x
            if self.n_max is None or len(x) <= self.n_max
            else x[torch.randperm(len(x), generator=generator)[: self.n_max]]
            for x in (test, features)
        )
        # The sums within the test images are the same for every sampler.
        key = (f"kid, {reference.feature_map.name}", len(test))
        if key not in memo:
            memo[key] = within_sums(test)
        found: KernelDistance = kernel_distance(features, test, within_b=memo[key])
        n, m, space = len(features), len(test), reference.feature_map.name
        rows = [measured("kid", found.value, n=n, n_reference=m, space=space)]
        if found.limits is not None:
            low, high = found.limits
            rows.append(measured("kid", low, n=n, n_reference=m, space=space, bound="lower"))
            rows.append(measured("kid", high, n=n, n_reference=m, space=space, bound="upper"))
        return rows


def has_error(measure: str, value: float) -> bool:
    """Return whether a measure's standard error is reliable, which it is not for shares that few points determine."""
    return measure not in ("precision", "recall") or _JUDGED[0] <= value <= _JUDGED[1]


@dataclass(frozen=True)
class PRDCMeasures:
    """`precision`, `recall`, `density` and `coverage` of the draws; higher is better.

    Precision and recall below .1 or above .9 have no standard error: few points determine them.

    Attributes:
        k: the number of the neighbour that sets a ball's radius.
        n_max: the largest number of draws and of test images, equally many of each, chosen at random.
    """

    k: int
    n_max: int
    name: ClassVar[str] = "prdc"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("precision", "recall", "density", "coverage")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def __post_init__(self) -> None:
        if self.k < 1 or self.n_max <= self.k:
            raise ValueError(f"k={self.k}, n_max={self.n_max}: expected k of at least 1 and n_max above k")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return four rows, for sets of equal size."""
        require(evidence, self.needs)
        features, reference = _sets(evidence, self.k + 1)
        n = min(self.n_max, len(features), len(reference.test_features))
        # The rows are shuffled, because test sets are often sorted by quality. The subset is the same for every
        # sampler, which keeps samplers paired.
        rows = torch.randperm(len(reference.test_features), generator=stream(0, "prdc", n))[:n]
        # Kept with the reference, because they are the same for every model.
        real, memo, key = reference.test_features[rows], reference.memo, ("own_neighbours", self.k, n)
        if key not in memo or memo[key][0] is not reference.test_features:
            memo[key] = (reference.test_features, OwnNeighbours.of(real, self.k))
        found = prdc_by_halves(
            real, features[:n], generator=generator, k=self.k, real_neighbours=memo[key][1]
        )
        space, results = reference.feature_map.name, []
        for name, one in vars(found).items():
            estimate = Estimate(one.value, one.std_error or None if has_error(name, one.value) else None)
            results.append(measured(name, estimate, n=n, n_reference=n, space=space))
        return results

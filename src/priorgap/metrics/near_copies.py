"""Draws that equal or nearly equal training images or windows, compared with test rows that do."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import NULL_UNKNOWN, Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.estimators.aligned import AlignedIndex
from priorgap.estimators.aligned_windows import AlignedWindows
from priorgap.estimators.identical import ExactShare
from priorgap.estimators.near_copies import NearCopies, merged, near_copies
from priorgap.estimators.neighbour_index import NeighbourIndex
from priorgap.features.maps import extract, knows_the_training_data
from priorgap.metrics.copies import found_in_pixels, rows_of, space_of
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference

Kept = TypeVar("Kept")
ALIGNED, ALIGNED_STEPS = "aligned pixels", "aligned data"
# The limits that must hold together: identical rows, and near copies in pixels (or data), after alignment, and in
# features.
N_LIMITS = 4
# Each lower limit fails with probability at most .025 / N_LIMITS.
LEVEL = 1 - 0.05 / N_LIMITS

_MEASURES = (
    "identical_share",
    "identical_share_floor",
    "near_copy_share",
    "near_copy_share_floor",
    "near_train_share",
)


@dataclass(frozen=True)
class CopyShares:
    """Exact and near copies of training images among a sampler's draws, beside the same of test images.

    `identical_share`: the share of draws that equal a training image, up to one grey level in every pixel (for
    vectors, equal in every column).

    `near_copy_share`: the share of draws with a training image at less than two thirds of the distance to any other
    image.

    `near_train_share`: among the training and validation images with such draws, the share of training images,
    adjusted to equal numbers of both; 1/2 where draws do not depend on which images were trained on.

    Near copies are searched in pixels, in pixels after flips and shifts of up to two pixels, and in the reference's
    feature space. Series: after shifts of up to four steps, over the steps that both windows have; where training
    windows share steps, consecutive ones count as one. `_floor`: the same for test images. All limits (bound lower
    and upper) are exact, and the lower ones of a sampler hold together with probability .975.

    Attributes:
        n_queries: the largest number of draws, and of test images, that are searched in pixels; all are compared for
            equality.
        n_searched: the same limit for searches after flips and shifts, and in the feature space.
    """

    n_queries: int
    n_searched: int
    name: ClassVar[str] = "copy_shares"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued(*_MEASURES)
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "decode", "reference"})

    def __post_init__(self) -> None:
        if self.n_queries < 2 or self.n_searched < 2:
            raise ValueError(
                f"n_queries={self.n_queries}, n_searched={self.n_searched}: expected integers of at least 2"
            )

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the rows of all spaces, computed on the first draws, because a sampler's rows are exchangeable."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        assert reference is not None
        if len(reference.train) < 2 or len(reference.validation) < 2:
            raise NotApplicable("expected at least 2 training and 2 validation images")
        known = evidence.model.heldout_exchangeable is True
        rows = self._identical(evidence.samples, reference)
        for space, exchangeable in _spaces(reference).items():
            found = self._near(space, evidence.samples, reference, lambda: evidence.features)
            floor = self._floor(space, reference)
            rows += _rows(found, floor, space, reference, "" if known and exchangeable else NULL_UNKNOWN)
        return rows

    def _identical(self, samples: Split, reference: Reference) -> list[Measurement]:
        train = _kept(reference, "rows", lambda: rows_of(reference.train))
        space = space_of(reference.train)

        def share(split: Split) -> ExactShare:
            return ExactShare.of(train.shared(split.x), len(split), level=LEVEL)

        floor = _kept(reference, "identical among test images", lambda: share(reference.test))
        n, n_test = len(samples), len(reference.test)
        return [
            *_limited("identical_share", share(samples), n=n, n_reference=train.n, space=space),
            *_limited("identical_share_floor", floor, n=n_test, n_reference=train.n, space=space),
        ]

    def _floor(self, space: str, reference: Reference) -> NearCopies:
        """Return the near copies among random test images."""

        def found() -> NearCopies:
            # The rows are shuffled, because the first half of a test set may be cleaner than the second.
            order = torch.randperm(
                len(reference.test), generator=stream(0, "copy_shares", len(reference.test))
            )
            rows = order[: max(self.n_queries, self.n_searched)]
            return self._near(
                space, reference.test.take(rows), reference, lambda: reference.test_features[rows]
            )

        return _kept(reference, f"near copies, {space}, {self.n_queries}, {self.n_searched}", found)

    def _near(
        self, space: str, split: Split, reference: Reference, features: Callable[[], Tensor]
    ) -> NearCopies:
        """Return the near copies among the first rows of a split."""
        n_train, n_unseen = len(reference.train), len(reference.validation)
        if space == ALIGNED_STEPS:
            windows = _aligned_windows(reference)
            assert windows is not None
            distance, index = windows.nearest_two(split.take(slice(0, self.n_searched)).floats())
            return near_copies(distance, index, *windows.sizes, level=LEVEL)
        if space == ALIGNED:
            aligned = _kept(reference, "aligned", lambda: _aligned(reference))
            distance, index = aligned.nearest_two(split.take(slice(0, self.n_searched)).floats())
            return near_copies(distance, index, n_train, n_unseen, level=LEVEL)
        if space == space_of(reference.train):
            parts = found_in_pixels(split, reference, self.n_queries)
        else:
            queries = features()[: self.n_searched]
            train, unseen = _kept(reference, "features", lambda: _of_features(reference))
            parts, n_train = [train.nearest_two(queries), unseen.nearest_two(queries)], len(train)
        distance, index = merged(parts, [n_train, n_unseen])
        return near_copies(distance, index, n_train, n_unseen, level=LEVEL)


def _spaces(reference: Reference) -> dict[str, bool]:
    """Return the spaces to search, and for each whether training and unseen images are exchangeable in it."""
    spaces = {space_of(reference.train): True}
    modality = reference.train.modality
    if modality.shifts and not modality.sequences:
        spaces[ALIGNED] = True
    elif modality.shifts and _aligned_windows(reference) is not None:
        spaces[ALIGNED_STEPS] = True
    name = reference.feature_map.name
    # The space "pixels" is searched already.
    if name != "pixels" and len(reference.pool_features) >= 2:
        spaces[name] = not knows_the_training_data(reference.feature_map)
    return spaces


def _aligned(reference: Reference) -> AlignedIndex:
    return AlignedIndex.of(torch.cat([reference.train.floats(), reference.validation.floats()]))


def _aligned_windows(reference: Reference) -> AlignedWindows | None:
    """Return the index of training and validation windows; None where they are too few or too short."""

    def made() -> AlignedWindows | None:
        return AlignedWindows.of(reference.train.floats(), reference.validation.floats())

    return _kept(reference, "aligned windows", made)


def _of_features(reference: Reference) -> tuple[NeighbourIndex, NeighbourIndex]:
    """Return indices, by features, of a random part of the training images and of the validation images."""
    train = NeighbourIndex.of(reference.pool_features)
    return train, train.over(extract(reference.feature_map, reference.validation.x))


def _kept(reference: Reference, name: Hashable, make: Callable[[], Kept]) -> Kept:
    """Return a value cached with the reference under a name, as long as the training images are the same."""
    kept: tuple[Tensor, Kept] | None = reference.memo.get(("copy_shares", name))
    if kept is None or kept[0] is not reference.train.x:
        kept = reference.memo[("copy_shares", name)] = (reference.train.x, make())
    return kept[1]


def _rows(
    found: NearCopies, floor: NearCopies, space: str, reference: Reference, unit: str
) -> list[Measurement]:
    size = len(reference.train) + len(reference.validation)
    rows = [
        *_limited("near_copy_share", found.share, n=found.n, n_reference=size, space=space),
        *_limited("near_copy_share_floor", floor.share, n=floor.n, n_reference=size, space=space),
    ]
    if found.train_share is not None:
        rows += _limited(
            "near_train_share", found.train_share, n=found.n_hit, n_reference=size, space=space, unit=unit
        )
    return rows


def _limited(
    measure: str, share: ExactShare, *, n: int, n_reference: int, space: str, unit: str = ""
) -> list[Measurement]:
    """Return the row of a share, and the rows of its exact limits."""
    point = measured(measure, share.estimate, n=n, n_reference=n_reference, space=space, unit=unit)
    return [
        point,
        Measurement(measure, share.low, None, n, n_reference, space, unit, "lower"),
        Measurement(measure, share.high, None, n, n_reference, space, unit, "upper"),
    ]

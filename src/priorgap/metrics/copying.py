"""Whether draws are copies of training images: a model's memorisation, and each sampler's near copies."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import NULL_UNKNOWN, Bound, Measurement
from priorgap.core.measures import Measure
from priorgap.estimators.copying import (
    auc,
    auc_limits,
    least_heldout,
    memorisation_auc,
    near_copy_excess,
    train_share,
)
from priorgap.metrics.copies import copies_of, flat, found_in_pixels, space_of
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference

_NEEDS = frozenset({"train", "validation", "decode", "reference"})
_BOUNDS: tuple[Bound, Bound] = ("lower", "upper")


def _reference(evidence: Evidence) -> Reference:
    if evidence.model.reference is None:
        raise NotApplicable("there are no reference data")
    return evidence.model.reference


def _check_queries(n: int) -> None:
    if n < 2:
        raise ValueError(f"n_queries={n}: expected an integer of at least 2")


@dataclass(frozen=True)
class Memorisation:
    """`memorisation_auc` and `source_auc` of a model, from posterior draws that the evidence makes itself.

    memorisation_auc: P(d(posterior_i, T) < d(heldout_j, T with a random image exchanged for x_j)), null
    1/2 where validation images are a random part of the training pool; elsewhere the row's unit is
    "null unknown". source_auc: the same without the exchange; it only shows that draws are near their source, and is
    not part of a verdict.

    Attributes:
        n_queries: the largest number of training images, and of validation images, to draw from.
    """

    n_queries: int
    name: ClassVar[str] = "memorisation"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("memorisation_auc", "source_auc")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def __post_init__(self) -> None:
        _check_queries(self.n_queries)

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the two areas for distances in pixels, with DeLong's standard errors and limits inside [0, 1]."""
        require(evidence, self.needs)
        reference = _reference(evidence)
        found = copies_of(evidence.model, self.n_queries)
        size, space = len(reference.train), space_of(reference.train)
        unit = "" if evidence.model.heldout_exchangeable else NULL_UNKNOWN
        value = memorisation_auc(found.posterior_to_train, found.heldout_to_swapped)
        source = auc(found.posterior_to_train, found.heldout_to_train)
        n = len(found.posterior_to_train)
        rows = []
        sizes = {"memorisation_auc": len(found.heldout_to_swapped), "source_auc": len(found.heldout_to_train)}
        for measure, area, mark in (("memorisation_auc", value, unit), ("source_auc", source, "")):
            rows.append(measured(measure, area, n=n, n_reference=size, space=space, unit=mark))
            limits = auc_limits(area.value, n, sizes[measure]) if min(n, sizes[measure]) > 1 else ()
            for bound, limit in zip(_BOUNDS, limits, strict=False):
                rows.append(Measurement(measure, limit, None, n, size, space, mark, bound))
        return rows


@dataclass(frozen=True)
class Copying:
    """`near_copy_excess` and `train_share` of a sampler's decoded draws, in pixel space.

    near_copy_excess: P(d(sample, T) < Q) - quantile, Q that quantile of d(posterior draw of a validation
    image, T). train_share: P(d(sample, T') < d(sample, V)), V the validation images, T' as many of T.

    Attributes:
        n_queries: the largest number of draws that are searched; as many held-out posterior draws give Q.
        quantile: the share of held-out draws that counts as near.
    """

    n_queries: int
    quantile: float
    name: ClassVar[str] = "copying"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("near_copy_excess", "train_share")
    needs: ClassVar[frozenset[str]] = _NEEDS | {"draw"}

    def __post_init__(self) -> None:
        _check_queries(self.n_queries)
        if not 0 < self.quantile <= 0.5:
            raise ValueError(f"quantile={self.quantile}: expected a number above 0, at most 0.5")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the two numbers, computed on the first rows, because a sampler's rows are exchangeable."""
        require(evidence, self.needs)
        reference = _reference(evidence)
        found = copies_of(evidence.model, self.n_queries)
        if len(reference.train) < 2 or len(reference.validation) < 2:
            raise NotApplicable("expected at least 2 training and 2 validation images")
        queries = flat(evidence.samples)[: self.n_queries]
        (near_train, _), (near_validation, validation) = found_in_pixels(
            evidence.samples, reference, self.n_queries
        )
        distance = near_train[:, 0]
        least = least_heldout(self.quantile)
        if len(found.heldout_to_train) < least:
            raise NotApplicable(
                f"near-copy excess: {len(found.heldout_to_train)} draws of validation rows; expected at least "
                f"{least}, for the nearest {100 * self.quantile:g} % of them"
            )
        excess = near_copy_excess(distance, found.heldout_to_train, self.quantile)
        to_train, nearest_train = reference.neighbours("train").take(found.train_rows).nearest(queries)
        to_validation, nearest_validation = near_validation[:, 0], validation[:, 0]
        n_train = len(found.train_rows)
        nearest = torch.where(to_train <= to_validation, nearest_train, n_train + nearest_validation)
        share = train_share(
            to_train, to_validation, nearest=nearest, n_images=n_train + len(reference.validation)
        )
        n, space = len(queries), space_of(reference.train)
        # Where validation rows come from another distribution, draws that copy nothing are nearer to training rows,
        # too.
        unit = NULL_UNKNOWN if evidence.model.heldout_exchangeable is False else ""
        return [
            measured(
                "near_copy_excess", excess, n=n, n_reference=len(reference.train), space=space, unit=unit
            ),
            measured("train_share", share, n=n, n_reference=len(found.train_rows), space=space, unit=unit),
        ]

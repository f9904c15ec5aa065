"""Distances to the closest training record (DCR), and their ratio to the second closest (NNDR); also of test rows."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import AtLeast, Between
from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import stream
from priorgap.estimators.uncertainty import quantile_estimate
from priorgap.metrics.copies import flat, found_in_pixels, space_of
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference

Nearest = Float[Tensor, "m 2"]


@dataclass(frozen=True)
class RecordDistances:
    """`dcr` and `nndr`: a low quantile of the distance to the closest training row, and of d1 / d2.

    d1 and d2 are the Euclidean distances of a row to its two closest training rows, in coded columns: numbers
    standardised, categories one-hot. `_floor`: the same for test rows. Below its floor, samples lie closer to
    training rows than unseen rows do. Training rows with added noise can be as far away as test rows, and are not
    detected: `train_share` compares with unseen rows one by one, `copy_shares` counts copies.

    Attributes:
        quantile: the quantile; audits of privacy use .05.
        n_queries: the largest number of samples, and of test rows, that are searched.
    """

    quantile: Annotated[float, Between(0, 1)]
    n_queries: Annotated[int, AtLeast(2)]
    name: ClassVar[str] = "record_distances"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("dcr", "dcr_floor", "nndr", "nndr_floor")
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "decode", "reference"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the four rows, computed on the first samples, because a sampler's rows are exchangeable."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        if reference is None or len(reference.train) < 2:
            raise NotApplicable("expected at least 2 training rows")
        (to_train, _), _ = found_in_pixels(evidence.samples, reference, self.n_queries)
        return [
            *self._rows("", to_train, reference),
            *self._rows("_floor", self._of_test(reference), reference),
        ]

    def _of_test(self, reference: Reference) -> Nearest:
        """Return the distances of random test rows to their two closest training rows, cached with the reference."""
        key: Hashable = ("record distances", self.n_queries)
        kept = reference.memo.get(key)
        if kept is None or kept[0] is not reference.train.x:
            # The rows are shuffled, because the first half of a test set may be cleaner than the second.
            order = torch.randperm(len(reference.test), generator=stream(0, self.name, len(reference.test)))
            some = reference.test.take(order[: self.n_queries])
            found = reference.neighbours("train").nearest_two(flat(some))[0]
            kept = reference.memo[key] = (reference.train.x, found)
        result: Nearest = kept[1]
        return result

    def _rows(self, suffix: str, distance: Nearest, reference: Reference) -> list[Measurement]:
        first, second = distance.double().unbind(1)
        # Where two training rows are at distance 0 the ratio is 1, because no single record stands out.
        ratio = torch.where(second > 0, first / second, torch.ones_like(first))
        n_reference, space = len(reference.train), space_of(reference.train)
        return [
            measured(
                f"{name}{suffix}", quantile_estimate(values, self.quantile), n=len(values),
                n_reference=n_reference, space=space,
            )
            for name, values in (("dcr", first), ("nndr", ratio))
        ]  # fmt: skip

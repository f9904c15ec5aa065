"""Published measures of copying, in addition to our own: C_T, authenticity, feature likelihood divergence."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import draw_seed, stream
from priorgap.estimators.data_copying import (
    authenticity,
    data_copying_score,
    distance_within_cells,
    feature_likelihood_divergence,
)
from priorgap.metrics.copies import flat, space_of
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require


@dataclass(frozen=True)
class DataCopying:
    """`c_t` and `authenticity` of a sampler's decoded draws, in pixel space; both confounded by blur.

    c_t: negative where draws are nearer to training images than test images are. authenticity: the share of
    draws farther from their nearest training image than that is from its own nearest.

    Attributes:
        n_queries: the largest number of draws, and of test images, that are searched.
        n_cells: cells of a k-means partition of the training images.
        least_share: cells with a smaller share of the draws are left out of c_t.
    """

    n_queries: int
    n_cells: int
    least_share: float
    name: ClassVar[str] = "data_copying"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("c_t", "authenticity")
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "decode", "reference"})

    def __post_init__(self) -> None:
        if self.n_queries < 2 or self.n_cells < 1 or not 0 < self.least_share < 1:
            raise ValueError(
                f"n_queries={self.n_queries}, n_cells={self.n_cells}, least_share={self.least_share}: "
                "expected at least 2, at least 1, and a number between 0 and 1"
            )

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the two rows, computed on the first draws, because a sampler's rows are exchangeable."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        assert reference is not None
        train, queries = flat(reference.train), flat(evidence.samples)[: self.n_queries]
        if len(train) < max(2, self.n_cells):
            raise NotApplicable(f"{len(train)} training images: expected at least one a cell")
        centres, train_cell, held_distance, held_cell = self._shared(evidence.model, train)
        cell = _nearest_cell(queries, centres)
        try:
            score = data_copying_score(
                distance_within_cells(queries, cell, train, train_cell), cell, held_distance, held_cell,
                least_share=self.least_share,
            )  # fmt: skip
        except ValueError as error:
            raise NotApplicable(
                "no cell of the data holds both held-out rows and enough of the samples: there is nothing to compare"
            ) from error
        n, space = len(queries), space_of(reference.train)
        share, _ = authenticity(queries, train)
        return [
            measured("c_t", score, n=n, n_reference=len(held_distance), space=space),
            measured("authenticity", share, n=n, n_reference=len(train), space=space),
        ]

    def _shared(self, model: ModelEvidence, train: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what is common to all samplers: cells, and the test images' distances within them."""
        key = (f"data_copying {self.n_cells}", self.n_queries)
        if key not in model.memo:
            assert model.reference is not None
            generator = stream(model.seed, "data_copying")
            test = flat(model.reference.test)
            # The rows are shuffled, because the first half of a test set may be cleaner than the second.
            test = test[torch.randperm(len(test), generator=generator)[: self.n_queries]]
            centres = _centres(train, self.n_cells, generator=generator)
            train_cell, held_cell = _nearest_cell(train, centres), _nearest_cell(test, centres)
            held = distance_within_cells(test, held_cell, train, train_cell)
            model.memo[key] = (centres, train_cell, held, held_cell)
        found: tuple[Tensor, Tensor, Tensor, Tensor] = model.memo[key]
        return found


def _centres(x: Tensor, k: int, *, generator: torch.Generator, n_fit: int = 10_000) -> Tensor:
    """Return k centres of Lloyd's algorithm on at most n_fit random rows."""
    from sklearn.cluster import KMeans

    rows = torch.randperm(len(x), generator=generator)[:n_fit]
    fitted = KMeans(k, n_init=1, max_iter=50, random_state=draw_seed(generator)).fit(x[rows].double().numpy())
    return torch.from_numpy(fitted.cluster_centers_).to(x.dtype)


def _nearest_cell(x: Tensor, centres: Tensor) -> Tensor:
    score = torch.addmm(centres.square().sum(1)[None, :], x, centres.T, alpha=-2.0)
    return score.argmin(1)


@dataclass(frozen=True)
class FLD:
    """`fld`: feature likelihood divergence of the draws, 0 as good as real data, higher worse; `fld_gap`: memory.

    Attributes:
        n_max: the largest number of draws, of pool images and of test images.
    """

    n_max: int
    name: ClassVar[str] = "fld"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("fld", "fld_gap")
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "decode", "reference", "features"})

    def __post_init__(self) -> None:
        if self.n_max < 4:
            raise ValueError(f"n_max={self.n_max}: expected an integer of at least 4")

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the two rows; n counts draws, n_reference test images."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        assert reference is not None
        test, pool = reference.test_features, reference.pool_features[: self.n_max]
        rows = torch.randperm(len(test), generator=stream(0, "fld", len(test)))[: self.n_max]
        draws = evidence.features[: self.n_max]
        if len(draws) < 2 or len(pool) < 4 or len(rows) < 2:
            raise NotApplicable("fld: expected at least 2 draws, 4 training and 2 test images")
        value, gap = feature_likelihood_divergence(draws, pool, test[rows])
        n, m, space = len(draws), len(rows), reference.feature_map.name
        return [
            measured("fld", value, n=n, n_reference=m, space=space),
            measured("fld_gap", gap, n=n, n_reference=m, space=space),
        ]

"""The share of the test observations' variance that reconstructions explain."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require

_CHUNK = 2000


@dataclass(frozen=True)
class Reconstruction:
    """`explained_share`: 1 - squared error of reconstructions / squared error of the mean training observation.

    Both errors are over all test observations, each reconstructed from its posterior mean as E[x|z], even where the
    decode rule is a draw. 1 is perfect; at 0 the model describes an observation no better than the mean does, and no
    sampler can help.
    """

    name: ClassVar[str] = "reconstruction"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("explained_share")
    needs: ClassVar[frozenset[str]] = frozenset({"test", "decode", "reference"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return one row."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        if reference is None or not len(reference.test):
            raise NotApplicable("there are no test observations")
        train, test = reference.train.x, reference.test.x
        total = torch.zeros(train.shape[1:], dtype=torch.float64)
        for part in train.split(_CHUNK):
            total += part.double().sum(0)
        mean = total / len(train)
        own = of_mean = 0.0
        made = evidence.model.test_expectations.x
        for x, again in zip(test.split(_CHUNK), made.split(_CHUNK), strict=True):
            own += float((again.double() - x.double()).square().sum())
            of_mean += float((mean - x.double()).square().sum())
        if of_mean == 0:
            raise NotApplicable("all test observations equal the mean training observation")
        return [
            measured("explained_share", 1 - own / of_mean, n=len(test), n_reference=len(train), space="data")
        ]

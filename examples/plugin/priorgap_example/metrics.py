"""How far samples are from real images in brightness, which a distance of features may not see."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.estimators.uncertainty import Estimate
from priorgap.metrics import Evidence, NotApplicable
from priorgap.metrics.protocols import Scope, measured, require

BRIGHTNESS_GAP = Measure(
    "brightness_gap",
    "brightness gap",
    "Distance of the mean brightness of samples from that of test images, of at most 1.",
    section="quality",
    direction="lower",
    range=(0.0, 1.0),
    rankable=True,
)


@dataclass(frozen=True)
class Brightness:
    """`brightness_gap`: |mean brightness of samples − that of test images|."""

    name: ClassVar[str] = "brightness"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = (BRIGHTNESS_GAP,)
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "decode", "reference"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return one row, with the standard error of a difference of two means."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        assert reference is not None
        if evidence.samples.kind != "uint8_image":
            raise NotApplicable("brightness is defined for images only")
        own, real = (x.floats().flatten(1).mean(1).double() for x in (evidence.samples, reference.test))
        error = math.hypot(*(float(x.std() / len(x) ** 0.5) for x in (own, real)))
        gap = Estimate(abs(float(own.mean() - real.mean())), error)
        return [measured("brightness_gap", gap, n=len(own), n_reference=len(real), space="pixels")]

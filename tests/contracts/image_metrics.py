"""The image metrics of torchmetrics, also beside a torchvision whose operators do not match torch."""

from priorgap.core.torchvision_compat import ensure

ensure()

import torchmetrics  # noqa: E402
from torchmetrics.image import (  # noqa: E402
    FrechetInceptionDistance,
    InceptionScore,
    KernelInceptionDistance,
    LearnedPerceptualImagePatchSimilarity,
    MemorizationInformedFrechetInceptionDistance,
    MultiScaleStructuralSimilarityIndexMeasure,
    PeakSignalNoiseRatio,
    QualityWithNoReference,
    StructuralSimilarityIndexMeasure,
    TotalVariation,
)

__all__ = [
    "FrechetInceptionDistance",
    "InceptionScore",
    "KernelInceptionDistance",
    "LearnedPerceptualImagePatchSimilarity",
    "MemorizationInformedFrechetInceptionDistance",
    "MultiScaleStructuralSimilarityIndexMeasure",
    "PeakSignalNoiseRatio",
    "QualityWithNoReference",
    "StructuralSimilarityIndexMeasure",
    "TotalVariation",
    "torchmetrics",
]

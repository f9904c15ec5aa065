"""Metrics: estimators with a name, a space, a direction and a sample size, applied to the evidence of a model."""

from importlib import import_module
from typing import TYPE_CHECKING

# The public names, which are also those that a `_target_` uses. A module is imported when its name is first used, so
# that reading a configuration stays fast, and moving a file changes no model's id.
_EXPORTS = {
    "AccuracyCurve": "priorgap.metrics.real_equivalent",
    "ActiveUnits": "priorgap.metrics.latent",
    "AmortisationGap": "priorgap.metrics.likelihood",
    "Autocorrelation": "priorgap.metrics.series",
    "ClassBalance": "priorgap.metrics.accuracy",
    "CopyShares": "priorgap.metrics.near_copies",
    "ColumnShapes": "priorgap.metrics.tables",
    "Copying": "priorgap.metrics.copying",
    "CrossCorrelation": "priorgap.metrics.series",
    "DataCopying": "priorgap.metrics.data_copying",
    "Decomposition": "priorgap.metrics.latent",
    "DependenceSplit": "priorgap.metrics.overlap",
    "Detection": "priorgap.metrics.detection",
    "DetectionFloor": "priorgap.metrics.detection",
    "DiscriminativeScore": "priorgap.metrics.published_series",
    "Elbo": "priorgap.metrics.latent",
    "Evidence": "priorgap.metrics.evidence",
    "FID": "priorgap.metrics.quality",
    "FIDByClass": "priorgap.metrics.frechet_variants",
    "FIDFloor": "priorgap.metrics.quality",
    "FIDInfinity": "priorgap.metrics.frechet_variants",
    "FLD": "priorgap.metrics.data_copying",
    "Holes": "priorgap.metrics.overlap",
    "ImageMetric": "priorgap.metrics.torchmetrics_image",
    "ImportanceWeightedBound": "priorgap.metrics.likelihood",
    "KID": "priorgap.metrics.quality",
    "KLBracket": "priorgap.metrics.bracket",
    "KLFlowBracket": "priorgap.metrics.flow_bracket",
    "LatentDistances": "priorgap.metrics.two_sample",
    "MarginalDistributionDifference": "priorgap.metrics.published_series",
    "MarginalKL": "priorgap.metrics.latent",
    "Memorisation": "priorgap.metrics.copying",
    "Metric": "priorgap.metrics.protocols",
    "ModelEvidence": "priorgap.metrics.evidence",
    "NotApplicable": "priorgap.metrics.protocols",
    "PRDCMeasures": "priorgap.metrics.quality",
    "PairTrends": "priorgap.metrics.tables",
    "PredictiveScore": "priorgap.metrics.published_series",
    "QualityByDensity": "priorgap.metrics.bands",
    "Radius": "priorgap.metrics.two_sample",
    "RareCategories": "priorgap.metrics.tables",
    "Rate": "priorgap.metrics.latent",
    "RealEquivalent": "priorgap.metrics.real_equivalent",
    "RealToReal": "priorgap.metrics.accuracy",
    "RealToSynthetic": "priorgap.metrics.accuracy",
    "Reconstruction": "priorgap.metrics.reconstruction",
    "RecordDistances": "priorgap.metrics.record_distances",
    "Reference": "priorgap.metrics.reference",
    "SeriesFloors": "priorgap.metrics.series",
    "Sharpness": "priorgap.metrics.diversity",
    "Spectrum": "priorgap.metrics.series",
    "StepMarginals": "priorgap.metrics.series",
    "SyntheticToReal": "priorgap.metrics.accuracy",
    "TableFloors": "priorgap.metrics.tables",
    "TotalVariation": "priorgap.metrics.two_sample",
    "TrainOnSynthetic": "priorgap.metrics.tstr",
    "TrainOnSyntheticForecast": "priorgap.metrics.tstr_forecast",
    "TrainMixture": "priorgap.metrics.latent",
    "UnitDependence": "priorgap.metrics.unit_dependence",
    "Vendi": "priorgap.metrics.diversity",
    "bracket_of_kl": "priorgap.metrics.bracket",
    "build_reference": "priorgap.metrics.floors",
    "load_reference": "priorgap.metrics.reference",
    "save_reference": "priorgap.metrics.reference",
    "split_log_likelihood": "priorgap.metrics.likelihood",
}

if TYPE_CHECKING:
    from priorgap.metrics.accuracy import ClassBalance, RealToReal, RealToSynthetic, SyntheticToReal
    from priorgap.metrics.bands import QualityByDensity
    from priorgap.metrics.bracket import KLBracket, bracket_of_kl
    from priorgap.metrics.copying import Copying, Memorisation
    from priorgap.metrics.data_copying import FLD, DataCopying
    from priorgap.metrics.detection import Detection, DetectionFloor
    from priorgap.metrics.diversity import Sharpness, Vendi
    from priorgap.metrics.evidence import Evidence, ModelEvidence
    from priorgap.metrics.floors import build_reference
    from priorgap.metrics.flow_bracket import KLFlowBracket
    from priorgap.metrics.frechet_variants import FIDByClass, FIDInfinity
    from priorgap.metrics.latent import ActiveUnits, Decomposition, Elbo, MarginalKL, Rate, TrainMixture
    from priorgap.metrics.likelihood import AmortisationGap, ImportanceWeightedBound, split_log_likelihood
    from priorgap.metrics.near_copies import CopyShares
    from priorgap.metrics.overlap import DependenceSplit, Holes
    from priorgap.metrics.protocols import Metric, NotApplicable
    from priorgap.metrics.published_series import (
        DiscriminativeScore,
        MarginalDistributionDifference,
        PredictiveScore,
    )
    from priorgap.metrics.quality import FID, KID, FIDFloor, PRDCMeasures
    from priorgap.metrics.real_equivalent import AccuracyCurve, RealEquivalent
    from priorgap.metrics.record_distances import RecordDistances
    from priorgap.metrics.reference import Reference, load_reference, save_reference
    from priorgap.metrics.series import (
        Autocorrelation,
        CrossCorrelation,
        SeriesFloors,
        Spectrum,
        StepMarginals,
    )
    from priorgap.metrics.tables import ColumnShapes, PairTrends, RareCategories, TableFloors
    from priorgap.metrics.torchmetrics_image import ImageMetric
    from priorgap.metrics.tstr import TrainOnSynthetic
    from priorgap.metrics.tstr_forecast import TrainOnSyntheticForecast
    from priorgap.metrics.two_sample import LatentDistances, Radius, TotalVariation
    from priorgap.metrics.unit_dependence import UnitDependence

__all__ = [
    "FID",
    "FLD",
    "KID",
    "AccuracyCurve",
    "ActiveUnits",
    "AmortisationGap",
    "Autocorrelation",
    "ClassBalance",
    "ColumnShapes",
    "CopyShares",
    "Copying",
    "CrossCorrelation",
    "DataCopying",
    "Decomposition",
    "DependenceSplit",
    "Detection",
    "DetectionFloor",
    "DiscriminativeScore",
    "Elbo",
    "Evidence",
    "FIDByClass",
    "FIDFloor",
    "FIDInfinity",
    "Holes",
    "ImageMetric",
    "ImportanceWeightedBound",
    "KLBracket",
    "KLFlowBracket",
    "LatentDistances",
    "MarginalDistributionDifference",
    "MarginalKL",
    "Memorisation",
    "Metric",
    "ModelEvidence",
    "NotApplicable",
    "PRDCMeasures",
    "PairTrends",
    "PredictiveScore",
    "QualityByDensity",
    "Radius",
    "RareCategories",
    "Rate",
    "RealEquivalent",
    "RealToReal",
    "RealToSynthetic",
    "RecordDistances",
    "Reference",
    "SeriesFloors",
    "Sharpness",
    "Spectrum",
    "StepMarginals",
    "SyntheticToReal",
    "TableFloors",
    "TotalVariation",
    "TrainMixture",
    "TrainOnSynthetic",
    "TrainOnSyntheticForecast",
    "UnitDependence",
    "Vendi",
    "bracket_of_kl",
    "build_reference",
    "load_reference",
    "save_reference",
    "split_log_likelihood",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.metrics' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

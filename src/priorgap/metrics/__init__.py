"""Estimators given a name, a space, a direction and a sample size, over the evidence of a model."""

from priorgap.metrics.accuracy import ClassBalance, RealToReal, RealToSynthetic, SyntheticToReal
from priorgap.metrics.bands import QualityByDensity
from priorgap.metrics.bracket import KLBracket, certified_bracket
from priorgap.metrics.copying import Copying, Memorisation
from priorgap.metrics.data_copying import FLD, DataCopying
from priorgap.metrics.diversity import Sharpness, Vendi
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.floors import build_reference
from priorgap.metrics.flow_bracket import KLFlowBracket
from priorgap.metrics.frechet_variants import FIDByClass, FIDInfinity
from priorgap.metrics.latent import ActiveUnits, Decomposition, Elbo, MarginalKL, Rate, TrainMixture
from priorgap.metrics.likelihood import AmortisationGap, ImportanceWeightedBound, split_log_likelihood
from priorgap.metrics.overlap import DependenceSplit, Holes
from priorgap.metrics.protocols import Metric, NotApplicable
from priorgap.metrics.quality import FID, KID, FIDFloor, PRDCMeasures
from priorgap.metrics.reference import Reference, load_reference, save_reference
from priorgap.metrics.torchmetrics_image import ImageMetric
from priorgap.metrics.two_sample import LatentDistances, Radius, TotalVariation
from priorgap.metrics.worth import AccuracyCurve, RealEquivalent

__all__ = [
    "FID",
    "FLD",
    "KID",
    "AccuracyCurve",
    "ActiveUnits",
    "AmortisationGap",
    "ClassBalance",
    "Copying",
    "DataCopying",
    "Decomposition",
    "DependenceSplit",
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
    "MarginalKL",
    "Memorisation",
    "Metric",
    "ModelEvidence",
    "NotApplicable",
    "PRDCMeasures",
    "QualityByDensity",
    "Radius",
    "Rate",
    "RealEquivalent",
    "RealToReal",
    "RealToSynthetic",
    "Reference",
    "Sharpness",
    "SyntheticToReal",
    "TotalVariation",
    "TrainMixture",
    "Vendi",
    "build_reference",
    "certified_bracket",
    "load_reference",
    "save_reference",
    "split_log_likelihood",
]

"""Estimators given a name, a space, a direction and a sample size, over the evidence of a model."""

from priorgap.metrics.accuracy import ClassBalance, RealToReal, RealToSynthetic, SyntheticToReal
from priorgap.metrics.bracket import KLBracket, certified_bracket
from priorgap.metrics.copying import Copying, Memorisation
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.floors import build_reference
from priorgap.metrics.flow_bracket import KLFlowBracket
from priorgap.metrics.latent import ActiveUnits, Decomposition, Elbo, MarginalKL, Rate, TrainMixture
from priorgap.metrics.likelihood import AmortisationGap, ImportanceWeightedBound, split_log_likelihood
from priorgap.metrics.overlap import DependenceSplit, Holes
from priorgap.metrics.protocols import Metric, NotApplicable
from priorgap.metrics.quality import FID, KID, FIDFloor, PRDCMeasures
from priorgap.metrics.reference import Reference, load_reference, save_reference
from priorgap.metrics.two_sample import LatentDistances, Radius, TotalVariation

__all__ = [
    "FID",
    "KID",
    "ActiveUnits",
    "AmortisationGap",
    "ClassBalance",
    "Copying",
    "Decomposition",
    "DependenceSplit",
    "Elbo",
    "Evidence",
    "FIDFloor",
    "Holes",
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
    "Radius",
    "Rate",
    "RealToReal",
    "RealToSynthetic",
    "Reference",
    "SyntheticToReal",
    "TotalVariation",
    "TrainMixture",
    "build_reference",
    "certified_bracket",
    "load_reference",
    "save_reference",
    "split_log_likelihood",
]

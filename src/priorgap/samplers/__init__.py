"""Where z comes from: the prior, posteriors, densities fitted to them, and readings of the question."""

from priorgap.samplers.ex_post import ExPostGaussian, ExPostMixture
from priorgap.samplers.flow import FlowSampler
from priorgap.samplers.kde import Kde
from priorgap.samplers.per_class import PerClass
from priorgap.samplers.posterior import Posterior, PosteriorHeldout, PosteriorMean
from priorgap.samplers.prior import PriorSampler, TemperedPrior
from priorgap.samplers.protocols import (
    FitInputs,
    FittedSampler,
    LatentDensity,
    Sampler,
    SamplerNotApplicable,
    SamplerState,
)
from priorgap.samplers.reweighted import ReweightedPrior
from priorgap.samplers.specimens import LiteralLogVar, MuPlusLogVar, Pooled
from priorgap.samplers.two_stage import TwoStage
from priorgap.samplers.unit_swap import UnitSwap
from priorgap.samplers.vamp import Vamp

__all__ = [
    "ExPostGaussian",
    "ExPostMixture",
    "FitInputs",
    "FittedSampler",
    "FlowSampler",
    "Kde",
    "LatentDensity",
    "LiteralLogVar",
    "MuPlusLogVar",
    "PerClass",
    "Pooled",
    "Posterior",
    "PosteriorHeldout",
    "PosteriorMean",
    "PriorSampler",
    "ReweightedPrior",
    "Sampler",
    "SamplerNotApplicable",
    "SamplerState",
    "TemperedPrior",
    "TwoStage",
    "UnitSwap",
    "Vamp",
]

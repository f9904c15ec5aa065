"""Sources of z: the prior, posteriors, densities fitted to them, and literal readings of the question."""

from importlib import import_module
from typing import TYPE_CHECKING

# The public names, which are also those that a `_target_` uses. A module is imported when its name is first used, so
# that reading a configuration stays fast, and moving a file changes no model's id.
_EXPORTS = {
    "ActiveUnits": "priorgap.samplers.active",
    "ExPostGaussian": "priorgap.samplers.ex_post",
    "ExPostLowRank": "priorgap.samplers.low_rank",
    "ExPostMixture": "priorgap.samplers.ex_post",
    "FitInputs": "priorgap.samplers.protocols",
    "FittedSampler": "priorgap.samplers.protocols",
    "FlowMatchingSampler": "priorgap.samplers.flow_matching",
    "FlowSampler": "priorgap.samplers.flow",
    "Kde": "priorgap.samplers.kde",
    "LatentDensity": "priorgap.samplers.protocols",
    "LiteralLogVar": "priorgap.samplers.specimens",
    "MuPlusLogVar": "priorgap.samplers.specimens",
    "PerClass": "priorgap.samplers.per_class",
    "Pooled": "priorgap.samplers.specimens",
    "Posterior": "priorgap.samplers.posterior",
    "PosteriorHeldout": "priorgap.samplers.posterior",
    "PosteriorMean": "priorgap.samplers.posterior",
    "PriorSampler": "priorgap.samplers.prior",
    "ReweightedPrior": "priorgap.samplers.reweighted",
    "Sampler": "priorgap.samplers.protocols",
    "SamplerNotApplicable": "priorgap.samplers.protocols",
    "SamplerState": "priorgap.samplers.protocols",
    "SinglePosterior": "priorgap.samplers.single_posterior",
    "TemperedPrior": "priorgap.samplers.prior",
    "TwoStage": "priorgap.samplers.two_stage",
    "UnitSwap": "priorgap.samplers.unit_swap",
    "Vamp": "priorgap.samplers.vamp",
}

if TYPE_CHECKING:
    from priorgap.samplers.active import ActiveUnits
    from priorgap.samplers.ex_post import ExPostGaussian, ExPostMixture
    from priorgap.samplers.flow import FlowSampler
    from priorgap.samplers.flow_matching import FlowMatchingSampler
    from priorgap.samplers.kde import Kde
    from priorgap.samplers.low_rank import ExPostLowRank
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
    from priorgap.samplers.single_posterior import SinglePosterior
    from priorgap.samplers.specimens import LiteralLogVar, MuPlusLogVar, Pooled
    from priorgap.samplers.two_stage import TwoStage
    from priorgap.samplers.unit_swap import UnitSwap
    from priorgap.samplers.vamp import Vamp

__all__ = [
    "ActiveUnits",
    "ExPostGaussian",
    "ExPostLowRank",
    "ExPostMixture",
    "FitInputs",
    "FittedSampler",
    "FlowMatchingSampler",
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
    "SinglePosterior",
    "TemperedPrior",
    "TwoStage",
    "UnitSwap",
    "Vamp",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.samplers' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

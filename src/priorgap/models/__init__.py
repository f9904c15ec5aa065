"""VAEs by composition: networks, likelihood, prior."""

from importlib import import_module
from typing import TYPE_CHECKING

# The public names, which are also those that a `_target_` uses. A module is imported when its name is first used, so
# that reading a configuration stays fast, and moving a file changes no model's id.
_EXPORTS = {
    "Adversary": "priorgap.models.controls",
    "AutoencoderConv": "priorgap.models.families",
    "AutoencoderMLP": "priorgap.models.families",
    "Bernoulli": "priorgap.models.likelihoods",
    "ConditionalConv": "priorgap.models.families",
    "ConditionalMLP": "priorgap.models.families",
    "ContinuousBernoulli": "priorgap.models.continuous_bernoulli",
    "Conv": "priorgap.models.networks",
    "DiscretizedLogistic": "priorgap.models.learned_scale",
    "ElboLoss": "priorgap.models.losses",
    "ForecastGRU": "priorgap.models.families",
    "ForecastMLP": "priorgap.models.families",
    "ForecastTCN": "priorgap.models.families",
    "GRU": "priorgap.models.series",
    "GanConv": "priorgap.models.families",
    "GanMLP": "priorgap.models.families",
    "GatedMLP": "priorgap.models.gated",
    "Gaussian": "priorgap.models.likelihoods",
    "GaussianByChannel": "priorgap.models.by_channel",
    "GaussianWithGaps": "priorgap.models.gaussian_with_gaps",
    "GivenMLP": "priorgap.models.families",
    "LearnedGaussian": "priorgap.models.learned_scale",
    "Linear": "priorgap.models.networks",
    "MLP": "priorgap.models.networks",
    "NormedConv": "priorgap.models.normed",
    "StudentT": "priorgap.models.by_channel",
    "TCN": "priorgap.models.series",
    "TableLikelihood": "priorgap.models.table_likelihood",
}

if TYPE_CHECKING:
    from priorgap.models.by_channel import GaussianByChannel, StudentT
    from priorgap.models.continuous_bernoulli import ContinuousBernoulli
    from priorgap.models.controls import Adversary
    from priorgap.models.families import (
        AutoencoderConv,
        AutoencoderMLP,
        ConditionalConv,
        ConditionalMLP,
        ForecastGRU,
        ForecastMLP,
        ForecastTCN,
        GanConv,
        GanMLP,
        GivenMLP,
    )
    from priorgap.models.gated import GatedMLP
    from priorgap.models.gaussian_with_gaps import GaussianWithGaps
    from priorgap.models.learned_scale import DiscretizedLogistic, LearnedGaussian
    from priorgap.models.likelihoods import Bernoulli, Gaussian
    from priorgap.models.losses import ElboLoss
    from priorgap.models.networks import MLP, Conv, Linear
    from priorgap.models.normed import NormedConv
    from priorgap.models.series import GRU, TCN
    from priorgap.models.table_likelihood import TableLikelihood

__all__ = [
    "GRU",
    "MLP",
    "TCN",
    "Adversary",
    "AutoencoderConv",
    "AutoencoderMLP",
    "Bernoulli",
    "ConditionalConv",
    "ConditionalMLP",
    "ContinuousBernoulli",
    "Conv",
    "DiscretizedLogistic",
    "ElboLoss",
    "ForecastGRU",
    "ForecastMLP",
    "ForecastTCN",
    "GanConv",
    "GanMLP",
    "GatedMLP",
    "Gaussian",
    "GaussianByChannel",
    "GaussianWithGaps",
    "GivenMLP",
    "LearnedGaussian",
    "Linear",
    "NormedConv",
    "StudentT",
    "TableLikelihood",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.models' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

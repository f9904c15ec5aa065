"""Densities of z that are fitted after training; samplers draw from them and the bracket scores them."""

from importlib import import_module
from typing import TYPE_CHECKING

# The public names, which are also those that a `_target_` uses. A module is imported when its name is first used, so
# that reading a configuration stays fast, and moving a file changes no model's id.
_EXPORTS = {
    "Density": "priorgap.densities.protocols",
    "FittedDensity": "priorgap.densities.protocols",
    "FittedGaussian": "priorgap.densities.gaussian",
    "FittedMixture": "priorgap.densities.mixture",
    "Flow": "priorgap.densities.flow",
    "FlowShape": "priorgap.densities.flow",
    "Gaussian": "priorgap.densities.gaussian",
    "GaussianMixture": "priorgap.densities.mixture",
}

if TYPE_CHECKING:
    from priorgap.densities.flow import Flow, FlowShape
    from priorgap.densities.gaussian import FittedGaussian, Gaussian
    from priorgap.densities.mixture import FittedMixture, GaussianMixture
    from priorgap.densities.protocols import Density, FittedDensity

__all__ = [
    "Density",
    "FittedDensity",
    "FittedGaussian",
    "FittedMixture",
    "Flow",
    "FlowShape",
    "Gaussian",
    "GaussianMixture",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.densities' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

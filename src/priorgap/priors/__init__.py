"""Priors p(z) that a VAE is trained with."""

from importlib import import_module
from typing import TYPE_CHECKING

# The public names, which are also those that a `_target_` uses. A module is imported when its name is first used, so
# that reading a configuration stays fast, and moving a file changes no model's id.
_EXPORTS = {
    "Flow": "priorgap.priors.flow",
    "Mixture": "priorgap.priors.mixture",
    "StandardNormal": "priorgap.priors.standard_normal",
    "Vamp": "priorgap.priors.vamp",
}

if TYPE_CHECKING:
    from priorgap.priors.flow import Flow
    from priorgap.priors.mixture import Mixture
    from priorgap.priors.standard_normal import StandardNormal
    from priorgap.priors.vamp import Vamp

__all__ = [
    "Flow",
    "Mixture",
    "StandardNormal",
    "Vamp",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.priors' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

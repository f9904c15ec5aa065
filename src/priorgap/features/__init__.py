"""Spaces in which samples are compared with real data, and the networks that make them."""

from importlib import import_module
from typing import TYPE_CHECKING

# The public names, which are also those that a `_target_` uses. A module is imported when its name is first used, so
# that reading a configuration stays fast, and moving a file changes no model's id.
_EXPORTS = {
    "ClassifierSpace": "priorgap.features.spaces",
    "EfficientNetSpace": "priorgap.features.efficientnet",
    "InceptionSpace": "priorgap.features.spaces",
    "OnnxSpace": "priorgap.features.onnx",
    "PixelSpace": "priorgap.features.spaces",
    "RocketSpace": "priorgap.features.rocket",
}

if TYPE_CHECKING:
    from priorgap.features.efficientnet import EfficientNetSpace
    from priorgap.features.onnx import OnnxSpace
    from priorgap.features.rocket import RocketSpace
    from priorgap.features.spaces import ClassifierSpace, InceptionSpace, PixelSpace

__all__ = [
    "ClassifierSpace",
    "EfficientNetSpace",
    "InceptionSpace",
    "OnnxSpace",
    "PixelSpace",
    "RocketSpace",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.features' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

"""Data sets as whole tensors, with official splits and checksums."""

from importlib import import_module
from typing import TYPE_CHECKING

# The public names, which are also those that a `_target_` uses. A module is imported when its name is first used, so
# that reading a configuration stays fast, and moving a file changes no model's id.
_EXPORTS = {
    "BreastCancer": "priorgap.data.table",
    "DataFile": "priorgap.data.data_file",
    "Digits": "priorgap.data.digits",
    "Emoji": "priorgap.data.emoji",
    "ImageFolder": "priorgap.data.own",
    "LinearGaussian": "priorgap.data.synthetic",
    "NpzFile": "priorgap.data.npz_file",
    "PackagedTable": "priorgap.data.table",
    "PhotoPatches": "priorgap.data.photo_patches",
    "Sines": "priorgap.data.sines",
    "Table": "priorgap.data.table",
    "TorchvisionImages": "priorgap.data.images",
    "Vowels": "priorgap.data.vowels",
    "Weather": "priorgap.data.weather",
    "Windows": "priorgap.data.windows",
}

if TYPE_CHECKING:
    from priorgap.data.data_file import DataFile
    from priorgap.data.digits import Digits
    from priorgap.data.emoji import Emoji
    from priorgap.data.images import TorchvisionImages
    from priorgap.data.npz_file import NpzFile
    from priorgap.data.own import ImageFolder
    from priorgap.data.photo_patches import PhotoPatches
    from priorgap.data.sines import Sines
    from priorgap.data.synthetic import LinearGaussian
    from priorgap.data.table import BreastCancer, PackagedTable, Table
    from priorgap.data.vowels import Vowels
    from priorgap.data.weather import Weather
    from priorgap.data.windows import Windows

__all__ = [
    "BreastCancer",
    "DataFile",
    "Digits",
    "Emoji",
    "ImageFolder",
    "LinearGaussian",
    "NpzFile",
    "PackagedTable",
    "PhotoPatches",
    "Sines",
    "Table",
    "TorchvisionImages",
    "Vowels",
    "Weather",
    "Windows",
]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap.data' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])

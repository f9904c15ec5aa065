"""priorgap: sample a VAE from its prior, its posterior or a fitted density? Evidence, with uncertainty."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

# Names are imported on first use (PEP 562), so that `import priorgap` and `priorgap --help` stay fast.
_EXPORTS = {
    "Comparison": "priorgap.comparison.result",
    "Frames": "priorgap.comparison.frames",
    "Latents": "priorgap.core.latents",
    "Measurement": "priorgap.core.measurement",
    "compare": "priorgap.comparison.compare",
    "onnx_model": "priorgap.comparison.onnx_model",
}
# Public modules: `priorgap.torchvision_compat.ensure()` makes torchvision importable beside a CPU build of torch.
_MODULES = {"torchvision_compat": "priorgap.core.torchvision_compat"}

if TYPE_CHECKING:
    from priorgap.comparison.compare import compare
    from priorgap.comparison.frames import Frames
    from priorgap.comparison.onnx_model import onnx_model
    from priorgap.comparison.result import Comparison
    from priorgap.core import torchvision_compat
    from priorgap.core.latents import Latents
    from priorgap.core.measurement import Measurement

__all__ = [
    "Comparison",
    "Frames",
    "Latents",
    "Measurement",
    "__version__",
    "compare",
    "onnx_model",
    "torchvision_compat",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _EXPORTS:
        raise AttributeError(f"module 'priorgap' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS, *_MODULES])

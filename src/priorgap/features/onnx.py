"""The `onnx` feature space: a user's own network, from an ONNX file."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from priorgap.core.onnx_network import OnnxNetwork
from priorgap.data.splits import Split
from priorgap.features.maps import FeatureMap
from priorgap.features.spaces import SpaceInputs


class OnnxFeatures:
    """The first output of a user's own network for observations, flattened.

    Images come as [n, c, h, w] floats in [0, 1]; grey ones are repeated over three channels where the network takes
    three. Scaling and resizing are left to the network.

    Args:
        weights: the ONNX file.

    Raises:
        ValueError: onnxruntime is not installed, or the file holds no such network; one line.
    """

    name = "onnx"
    # A user's network was not fitted to the training rows of this study.
    fitted = False

    def __init__(self, weights: str | Path) -> None:
        self._network = OnnxNetwork(weights, "features=onnx: weights")

    def __call__(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return the features.

        Raises:
            ValueError: the network does not accept such observations.
        """
        shape = self._network.shape
        if x.ndim == 4 and x.shape[1] == 1 and len(shape) == 3 and shape[0] == 3:
            x = x.expand(-1, 3, -1, -1)
        return self._network(x)[0].flatten(1).float().to(x.device)


@dataclass(frozen=True)
class OnnxSpace:
    """Features by a user's own network.

    Attributes:
        weights: the ONNX file: one input, [n, c, h, w] or [n, D]; its first output gives the features. None: no file
            is named yet.
    """

    weights: str | None
    name: ClassVar[str] = "onnx"
    needs_classifier: ClassVar[bool] = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that determine the features."""
        return () if self.weights is None else (Path(self.weights).expanduser(),)

    def check(self, train: Split) -> None:
        """Load the network once, because the file or the runtime may be missing."""
        self._load()

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Load the network."""
        return self._load()

    def _load(self) -> FeatureMap:
        if self.weights is None:
            raise ValueError(
                "features=onnx: weights is missing; expected feature_spaces.onnx.weights=FILE, or in Python "
                "features=OnnxFeatures(FILE)"
            )
        return OnnxFeatures(self.weights)

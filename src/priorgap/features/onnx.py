"""The `onnx` feature space: a network of the user's own, from an ONNX file."""

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
    """What a network of one's own gives for observations: its first output, flattened.

    Images come as [n, c, h, w] floats in [0, 1]; grey ones are repeated over three channels where the network takes
    three. Scaling and resizing are the network's own to do.

    Args:
        weights: the ONNX file.

    Raises:
        ValueError: onnxruntime is not installed, or the file holds no such network; one line.
    """

    name = "onnx"
    # a network from elsewhere was not fitted to these training rows
    fitted = False

    def __init__(self, weights: str | Path) -> None:
        self._network = OnnxNetwork(weights, "features=onnx: weights")

    def __call__(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return the features.

        Raises:
            ValueError: the network does not take such observations.
        """
        shape = self._network.shape
        if x.ndim == 4 and x.shape[1] == 1 and len(shape) == 3 and shape[0] == 3:
            x = x.expand(-1, 3, -1, -1)
        return self._network(x)[0].flatten(1).float().to(x.device)


@dataclass(frozen=True)
class OnnxSpace:
    """Features by a network of one's own.

    Attributes:
        weights: the ONNX file: one input, [n, c, h, w] or [n, D]; its first output are the features. None: no
            file is named yet.
    """

    weights: str | None
    name: ClassVar[str] = "onnx"
    needs_classifier: ClassVar[bool] = False

    @property
    def files(self) -> tuple[Path, ...]:
        """What features are made by: the file."""
        return () if self.weights is None else (Path(self.weights).expanduser(),)

    def check(self, train: Split) -> None:
        """Load the network once: file or runtime may be missing."""
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

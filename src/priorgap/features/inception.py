"""The feature space of published FID values: Inception's pooled features."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core import torchvision_compat
from priorgap.modalities.images import quantise

_INCEPTION_HASH = "6726825d"


class InceptionFeatures:
    """The 2048 pooled features of the Inception network behind published FID values.

    Images are quantised to uint8, grey ones repeated over three channels; the network resizes to 299 px.

    Args:
        weights: the network's weights, a file of tensors; None downloads the published file.
        cache: the folder for a downloaded file; None is torch's hub folder.

    Raises:
        ValueError: torch-fidelity is not installed, or the weights can neither be read nor downloaded; one
            line.
    """

    name = "inception"
    fitted = False

    def __init__(self, weights: Path | None = None, *, cache: Path | None = None) -> None:
        torchvision_compat.ensure()
        try:
            from torch_fidelity import feature_extractor_inceptionv3 as peer
        except ImportError as error:
            raise ValueError(
                "features=inception: install the extra: pip install 'priorgap[inception]'"
            ) from error
        path = _fetched(peer.URL_INCEPTION_V3, cache) if weights is None else Path(weights)
        if not path.is_file():
            raise ValueError(
                f"features.weights={path}: no such file; expected the Inception network's weights"
            )
        try:
            # The network's own loader would unpickle anything; this first call refuses everything except
            # tensors.
            torch.load(path, map_location="cpu", weights_only=True)
            self._network = peer.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
            )
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"features.weights={path}: no weights of the Inception network: {reason}"
            ) from error

    def to(self, device: str | torch.device) -> "InceptionFeatures":
        """Move the network."""
        self._network.to(device)
        return self

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 2048"]:
        """Return the pooled features.

        Raises:
            ValueError: x is not images of 1 or 3 channels.
        """
        return self._outputs(x)[0]

    def logits(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 1008"]:
        """Return the class scores without the bias, from which published Inception Scores are computed.

        Raises:
            ValueError: x is not images of 1 or 3 channels.
        """
        return self._outputs(x)[1]

    def _outputs(self, x: Float[Tensor, "n c h w"]) -> tuple[Tensor, Tensor]:
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise ValueError(f"features=inception: expected images of 1 or 3 channels, got {list(x.shape)}")
        features, logits = self._network(quantise(x).expand(-1, 3, -1, -1))
        return features, logits


def _fetched(url: str, cache: Path | None) -> Path:
    """Return the path of the weights' file in the cache, downloaded if it is missing."""
    folder = Path(torch.hub.get_dir()) / "checkpoints" if cache is None else cache
    path = folder / url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=_INCEPTION_HASH, progress=False)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"features=inception: the weights are not in {path} and cannot be fetched ({reason}): "
            "give features.weights=PATH or use features=classifier"
        ) from error
    return path

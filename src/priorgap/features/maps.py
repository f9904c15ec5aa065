"""Named feature spaces for distances between image sets, and the classifier that two of the uses need."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from priorgap.core import torchvision_compat
from priorgap.core.fit_network import fit_network
from priorgap.core.random import isolated
from priorgap.data.splits import as_float
from priorgap.modalities.images import quantise
from priorgap.models.vae import load_weights

_BATCH = 500
# what two strides of two leave something of
_LEAST_SIDE = 8
_INCEPTION_HASH = "6726825d"


class FeatureMap(Protocol):
    """A deterministic map from observations (images in [0, 1]) to feature vectors."""

    @property
    def name(self) -> str:
        """The space's name, printed with every number measured in it."""
        ...

    def __call__(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return the features of a batch."""
        ...


def knows_the_training_data(feature_map: FeatureMap) -> bool:
    """Return whether a map was fitted to the training images, in which these are not like unseen ones.

    A map says so in `fitted`; one that does not say is taken to be.
    """
    fitted: bool = getattr(feature_map, "fitted", True)
    return fitted


@runtime_checkable
class ClassScores(Protocol):
    """A feature map whose network also scores classes."""

    def logits(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return unnormalised log-probabilities of the network's classes."""
        ...


@dataclass(frozen=True)
class PixelFeatures:
    """The observations themselves, flattened."""

    name: str = "pixels"
    fitted: ClassVar[bool] = False

    def __call__(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return x with one axis of dimensions."""
        return x.flatten(1)


@dataclass(frozen=True)
class ClassifierSpec:
    """Sizes of a classifier.

    Attributes:
        shape: of one observation: images [c, h, w] with sides of at least 8, or vectors [D].
        n_classes: the number of classes, at least 2.
        width: channels of the first convolution (for vectors: a quarter of the hidden width).
        n_features: width of the penultimate layer.
    """

    shape: tuple[int, ...]
    n_classes: int
    width: int = 16
    n_features: int = 64

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.n_classes < 2:
            raise ValueError(f"n_classes={self.n_classes}: expected at least 2")
        if not fits(self.shape):
            raise ValueError(f"shape={list(self.shape)}: expected [c, h, w] with sides of at least 8, or [D]")


def fits(shape: tuple[int, ...]) -> bool:
    """Whether a classifier of such observations can be built."""
    return len(shape) == 1 or (len(shape) == 3 and min(shape[1:]) >= _LEAST_SIDE)


class Classifier(nn.Module):
    """A small network: convolutions (or affine layers, for vectors), a penultimate layer, logits."""

    def __init__(self, spec: ClassifierSpec) -> None:
        super().__init__()
        self.spec = spec
        # leaky, so that no feature is constant
        self.body = nn.Sequential(*_body(spec), nn.LeakyReLU(0.1))
        self.head = nn.Linear(spec.n_features, spec.n_classes)

    def features(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return the penultimate layer's outputs."""
        found: Tensor = self.body(x - 0.5)
        return found

    def logits(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return unnormalised log-probabilities of the classes."""
        found: Tensor = self.head(self.features(x))
        return found

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return `logits`."""
        return self.logits(x)

    def predict(self, x: Tensor, *, batch: int = _BATCH) -> Int[Tensor, "n"]:
        """Return the most probable class of each row; x is uint8 or float in [0, 1]."""
        return extract(lambda part: self.logits(part).argmax(1, keepdim=True), x, batch=batch).squeeze(1)

    def facts(self) -> dict[str, Any]:
        """Return the sizes as JSON types; with `state_dict` they are all that `restore_classifier` needs."""
        return {**asdict(self.spec), "shape": list(self.spec.shape)}


def _body(spec: ClassifierSpec) -> list[nn.Module]:
    if len(spec.shape) == 1:
        hidden = 4 * spec.width
        return [nn.Linear(spec.shape[0], hidden), nn.ReLU(), nn.Linear(hidden, spec.n_features)]
    n_channels, height, width = spec.shape
    first_stride = 1 if min(height, width) < 16 else 2
    # two stages; a third for images whose map would stay large
    strides = [first_stride, 2] + ([2] if min(height, width) >= 32 else [])
    layers: list[nn.Module] = []
    n_in, n_out = n_channels, spec.width
    for stride in strides:
        kernel = 5 if n_in == n_channels else 3
        layers += [nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2), nn.ReLU()]
        height, width = -(-height // stride), -(-width // stride)
        n_in, n_out = n_out, 2 * n_out
    return [*layers, nn.Flatten(), nn.Linear(n_in * height * width, spec.n_features)]


def build_classifier(spec: ClassifierSpec, *, generator: torch.Generator) -> Classifier:
    """Build a classifier whose weights are drawn from `generator`."""
    with isolated(generator):
        return Classifier(spec)


def restore_classifier(facts: dict[str, Any], tensors: dict[str, Tensor]) -> Classifier:
    """Rebuild a classifier from `facts()` and its `state_dict`, in eval mode.

    Raises:
        ValueError: the tensors do not fit.
    """
    classifier = Classifier(ClassifierSpec(**{**facts, "shape": tuple(facts["shape"])}))
    load_weights(classifier, tensors, "classifier")
    return classifier.eval()


def default_epochs(n: int) -> int:
    """Return epochs for n rows: fewer passes the more rows, 8 at 10,000."""
    return min(40, max(4, round(8 * math.sqrt(10_000 / n))))


def fit_classifier(
    x: Tensor,
    label: Int[Tensor, "n"],
    *,
    n_classes: int,
    generator: torch.Generator,
    epochs: int | None = None,
    width: int = 16,
    n_features: int = 64,
    device: str | torch.device = "cpu",
    progress: Callable[[int, float], None] | None = None,
) -> Classifier:
    """Fit a classifier by cross-entropy.

    Args:
        x: uint8 images, or floats (images in [0, 1]).
        label: the class of each row.
        n_classes: the number of classes; some may be absent from `label`.
        generator: draws the initial weights and the order.
        epochs: passes over the rows; None is `default_epochs`.
        width: see `ClassifierSpec`.
        n_features: see `ClassifierSpec`.
        device: where to compute; the result is on the CPU.
        progress: called after each epoch with its number and mean loss.

    Raises:
        ValueError: labels outside 0 to n_classes - 1, or sizes that do not fit.
    """
    if len(label) and (int(label.min()) < 0 or int(label.max()) >= n_classes):
        raise ValueError(
            f"labels from {int(label.min())} to {int(label.max())}: expected 0 to {n_classes - 1}"
        )
    spec = ClassifierSpec(tuple(x.shape[1:]), n_classes, width, n_features)
    classifier = build_classifier(spec, generator=generator)

    def loss(module: Classifier, images: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(module.logits(as_float(images)), target)

    fit_network(
        classifier,
        loss,
        (x, label),
        epochs=default_epochs(len(x)) if epochs is None else epochs,
        batch_size=128 if len(x) >= 5000 else 32,
        learning_rate=2e-3,
        generator=generator,
        device=device,
        schedule="cosine",
        progress=progress,
    )
    return classifier


@dataclass(frozen=True)
class ClassifierFeatures:
    """Penultimate features of a classifier of real images: the offline default for small images."""

    classifier: Classifier
    name: str = "classifier"

    def __call__(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return the penultimate layer's outputs."""
        return self.classifier.features(x)

    def logits(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the classifier's logits."""
        return self.classifier.logits(x)


class InceptionFeatures:
    """The 2048 pooled features of the Inception network that published FID numbers use.

    Images are quantised to uint8, grey ones repeated over three channels; the network resizes to 299 px.

    Args:
        weights: the network's weights, a file of tensors; None fetches the published file.
        cache: the folder that a fetched file is kept in; None is torch's hub folder.

    Raises:
        ValueError: torch-fidelity is not installed, or the weights can neither be read nor fetched; one line.
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
            # the network's own loader would unpickle anything: this refuses all but tensors, first
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
        """Return the class scores without the bias, by which published Inception Scores are computed.

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
    """Return the weights' file in the cache, fetched when it is not there."""
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


def extract(
    feature_map: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    batch: int = _BATCH,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Apply a feature map in batches of one fixed size, the last one padded, so that rows do not depend on n.

    Args:
        feature_map: applied without gradients.
        x: uint8 images (scaled to [0, 1] here) or floats.
        batch: rows per call.
        device: where to compute; the result is on the CPU.

    Raises:
        ValueError: there are no rows.
    """
    if len(x) == 0:
        raise ValueError("x has no rows: expected at least 1")
    results = []
    with torch.no_grad():
        for part in x.split(batch):
            n = len(part)
            if n < batch:
                part = torch.cat([part, part[:1].expand(batch - n, *part.shape[1:])])
            results.append(feature_map(as_float(part.to(device)))[:n].cpu())
    return torch.cat(results)

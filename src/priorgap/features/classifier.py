"""A small classifier of real data, and the feature space of its penultimate layer."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from priorgap.core.devices import compute_device
from priorgap.core.fit_network import fit_network
from priorgap.core.random import isolated
from priorgap.data.splits import as_float
from priorgap.features.maps import BATCH, extract
from priorgap.models.vae import load_weights

# From this number of rows on a recipe is its user's choice.
_MANY_ROWS = 5000
# Images need sides of at least this length, so that two convolutions of stride 2 leave something.
_LEAST_SIDE = 8


@dataclass(frozen=True)
class ClassifierSpec:
    """Sizes of a classifier.

    Attributes:
        shape: shape of one observation: images [c, h, w] with sides of at least 8, sequences [t, f] or vectors [D].
        n_classes: the number of classes, at least 2.
        width: channels of the first convolution (for vectors and sequences: a quarter of the hidden width).
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
            raise ValueError(
                f"shape={list(self.shape)}: expected [c, h, w] with sides of at least 8, [t, f] or [D]"
            )


def fits(shape: tuple[int, ...]) -> bool:
    """Whether a classifier can be built for observations of this shape."""
    return len(shape) in (1, 2) or (len(shape) == 3 and min(shape[1:]) >= _LEAST_SIDE)


class Classifier(nn.Module):
    """A small network: convolutions (or affine layers, for vectors and sequences), a penultimate layer, logits."""

    def __init__(self, spec: ClassifierSpec) -> None:
        super().__init__()
        self.spec = spec
        # The activation is leaky, so that no feature is constant.
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

    def predict(self, x: Tensor, *, batch: int = BATCH) -> Int[Tensor, "n"]:
        """Return the most probable class of each row; x is uint8 or float in [0, 1]."""
        return extract(self.logits, x, batch=batch).argmax(1)

    def facts(self) -> dict[str, Any]:
        """Return the sizes as JSON types, which `restore_classifier` needs in addition to `state_dict`."""
        return {**asdict(self.spec), "shape": list(self.spec.shape)}


def _body(spec: ClassifierSpec) -> list[nn.Module]:
    if len(spec.shape) == 1:
        hidden = 4 * spec.width
        return [nn.Linear(spec.shape[0], hidden), nn.ReLU(), nn.Linear(hidden, spec.n_features)]
    if len(spec.shape) == 2:
        # The steps of a sequence are flattened into one vector.
        return [nn.Flatten(), *_body(replace(spec, shape=(math.prod(spec.shape),)))]
    n_channels, height, width = spec.shape
    first_stride = 1 if min(height, width) < 16 else 2
    # Two stages, and a third for images whose feature map would otherwise stay large.
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
        ValueError: the tensors do not fit the sizes.
    """
    classifier = Classifier(ClassifierSpec(**{**facts, "shape": tuple(facts["shape"])}))
    load_weights(classifier, tensors, "classifier")
    return classifier.eval()


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: Adam, with a learning rate that falls to 0 by a cosine.

    The defaults are those of the network of the feature space: other values move every FID in it.

    Attributes:
        passes: passes over 10,000 rows; more rows need fewer.
        batch_size: rows per step.
        learning_rate: the first.
    """

    passes: float = 8
    batch_size: int = 128
    learning_rate: float = 2e-3

    def epochs(self, n: int) -> int:
        """Return the number of epochs for n rows: half to five times `passes`, by the root of n."""
        fewest, most = max(1, round(self.passes / 2)), round(5 * self.passes)
        return min(most, max(fewest, round(self.passes * math.sqrt(10_000 / n))))

    def for_rows(self, n: int) -> "Recipe":
        """Return this recipe from 5,000 rows on, and `FEW_ROWS` below, which take little time in any case."""
        return self if n >= _MANY_ROWS else FEW_ROWS


FEW_ROWS = Recipe(batch_size=32)


def fit_classifier(
    x: Tensor,
    label: Int[Tensor, "n"],
    *,
    n_classes: int,
    generator: torch.Generator,
    recipe: Recipe = Recipe(),
    epochs: int | None = None,
    together: int | None = None,
    width: int = 16,
    n_features: int = 64,
    progress: Callable[[int, float], None] | None = None,
) -> Classifier:
    """Fit a classifier by cross-entropy, on the device of `core.devices`; the result is on the CPU.

    Args:
        x: uint8 images, or floats (images in [0, 1]).
        label: the class of each row.
        n_classes: the number of classes; some may be absent from `label`.
        generator: draws the initial weights and the order.
        recipe: how it is trained, for 5,000 rows or more.
        epochs: passes over the rows; None is the recipe's number.
        together: the number of rows by which the recipe is chosen and passes are counted, where several classifiers
            share the rows; None: those of x.
        width: see `ClassifierSpec`.
        n_features: see `ClassifierSpec`.
        progress: called after each epoch with its number and mean loss.

    Raises:
        ValueError: labels lie outside of 0 to n_classes - 1, or sizes do not match.
    """
    if len(label) and (int(label.min()) < 0 or int(label.max()) >= n_classes):
        raise ValueError(
            f"labels from {int(label.min())} to {int(label.max())}: expected 0 to {n_classes - 1}"
        )
    n = together or len(x)
    recipe = recipe.for_rows(n)
    spec = ClassifierSpec(tuple(x.shape[1:]), n_classes, width, n_features)
    # Processors train convolutions faster with channels last.
    classifier = build_classifier(spec, generator=generator)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(module: Classifier, images: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(module.logits(as_float(images)), target)

    fit_network(
        classifier,
        loss,
        (x, label),
        epochs=recipe.epochs(n) if epochs is None else epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        generator=generator,
        device=compute_device(),
        schedule="cosine",
        progress=progress,
    )
    classifier.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return classifier


@dataclass(frozen=True)
class ClassifierFeatures:
    """Penultimate features of a classifier of real images: the offline default for small images."""

    classifier: Classifier
    name: str = "classifier"

    def to(self, device: str | torch.device) -> "ClassifierFeatures":
        """Move the network."""
        self.classifier.to(device)
        return self

    def __call__(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n D"]:
        """Return the penultimate layer's outputs."""
        return self.classifier.features(x)

    def logits(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the classifier's logits."""
        return self.classifier.logits(x)

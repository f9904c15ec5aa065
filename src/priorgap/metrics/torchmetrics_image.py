"""Image metrics of torchmetrics as measures, in priorgap's feature spaces and with torchmetrics' directions.

A class is checked when a configuration is read; its object is built only when it measures, because some classes
download a network when they are built without `feature`, which priorgap supplies. Three kinds are accepted,
distinguished by `update`:

- `update(imgs, real)` (FID, KID, MiFID): draws against real images, on features;
- `update(imgs)` (InceptionScore): draws alone, on the class scores of the feature space's network;
- `update(preds, target)` (SSIM, MS-SSIM, PSNR): reconstructions of test images against them, on images in [0, 1].
"""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor, nn

from priorgap.core.arguments import fit, parameters
from priorgap.core.build import build
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Direction, Measure
from priorgap.core.random import isolated
from priorgap.core.receivers import IMAGE_METRIC, LPIPS, LPIPS_CLASS, check_foreign, under
from priorgap.data.splits import Split
from priorgap.features.maps import ClassScores, extract
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import Metric, NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference

Kind = Literal["two sets", "one set", "pairs"]
_PACKAGE = ("torchmetrics",)
_NEEDS: Mapping[Kind, frozenset[str]] = {
    "two sets": frozenset({"draw", "decode", "reference", "features"}),
    "one set": frozenset({"draw", "decode", "reference", "features"}),
    "pairs": frozenset({"test", "decode", "reference"}),
}
_SENTENCES: Mapping[Kind, str] = {
    "two sets": "Of samples against {real} images, on features, by torchmetrics' {name}.",
    "one set": "Of samples, on the class scores of the feature space's network, by torchmetrics' {name}.",
    "pairs": "Of reconstructions of test images against them, by torchmetrics' {name}.",
}
# MiFID tests whether samples are nearer than expected to the training images, so it is compared with these.
_AGAINST_TRAINING = "MemorizationInformedFrechetInceptionDistance"
# Maps LPIPS' names of its backbones to torchvision's.
_BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
_BATCH = 500


def is_torchmetrics(given: object) -> bool:
    """Return whether an object is a class of torchmetrics, a `functools.partial` of one, or an instance of one."""
    cls = given.func if isinstance(given, partial) else given
    cls = cls if isinstance(cls, type) else type(cls)
    return any(under(part.__module__, _PACKAGE) for part in cls.__mro__)


def build_metric(node: Mapping[str, Any], name: str) -> Metric:
    """Build the metric that a configuration node describes: one of priorgap's protocol, or one of torchmetrics.

    Args:
        node: the node, with `_target_` and its arguments.
        name: the node's name in `metrics`; for a class of torchmetrics it becomes the measure's name.

    Raises:
        ValueError: one line that names the key, the value and what was expected.
    """
    where = f"metrics.{name}"
    if not under(str(node.get("_target_")), _PACKAGE):
        built: Metric = build(node, Metric, where=where)
        return built
    weights = node.get("weights")
    rest = {key: value for key, value in node.items() if key != "weights"}
    receiver = IMAGE_METRIC if weights is None else LPIPS
    # Texts are checked before torchmetrics is imported, because that takes seconds.
    for key, value in rest.items():
        if not key.startswith("_"):
            check_foreign(key, value, receiver, f"{where}.{key}")
    return ImageMetric(build(rest, receiver, where=where), name, weights)


def image_metric(given: object) -> "ImageMetric":
    """Return the measure of a class of torchmetrics, or of a `functools.partial` of one.

    Example:
        >>> from functools import partial
        >>> from priorgap import torchvision_compat
        >>> torchvision_compat.ensure()
        >>> from torchmetrics.image import KernelInceptionDistance
        >>> image_metric(partial(KernelInceptionDistance, subset_size=100)).name
        'tm_kernel_inception_distance'

    Raises:
        ValueError: it is an instance, or no metric of images; one line.
    """
    cls = given.func if isinstance(given, partial) else given
    if not isinstance(cls, type):
        made = type(given).__name__
        raise ValueError(
            f"metrics: a {made} that was made already; expected the class, or functools.partial({made}, ...): "
            "priorgap makes it when it measures, and gives it features"
        )
    if isinstance(given, partial) and given.args:
        raise ValueError(f"metrics: functools.partial({cls.__name__}, ...): expected named arguments alone")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
    return ImageMetric(given, f"tm_{words}")  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Recipe:
    """A class, and the arguments from which its object will be built."""

    cls: type
    arguments: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, given: Callable[..., Any]) -> "_Recipe":
        keywords = given.keywords if isinstance(given, partial) else {}
        target = given.func if isinstance(given, partial) else given
        assert isinstance(target, type)
        return cls(target, tuple(sorted((key, _frozen(value)) for key, value in keywords.items())))

    def __call__(self, **supplied: Any) -> Any:
        """Build the object."""
        known = {key: value for key, value in supplied.items() if key in parameters(self.cls)}
        return self.cls(**{**known, **dict(self.arguments)})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class ImageMetric:
    """An image metric of torchmetrics as a measure.

    Attributes:
        metric: the class, or a `functools.partial` of it; without the arguments that priorgap supplies (`feature`,
            `normalize`).
        name: the name of the metric and of its measure.
        weights: for LPIPS only: a file with the published weights of its backbone, in torchvision's format.
    """

    metric: Callable[..., Any]
    name: str
    weights: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.metric, _Recipe):
            object.__setattr__(self, "metric", _Recipe.of(self.metric))
        where = f"metrics.{self.name}"
        if self.name in BUILTIN:
            raise ValueError(
                f"{where}: priorgap has a measure of this name; expected another, as tm_{self.name}"
            )
        self._check_network(where)
        _kind(self._recipe.cls, where)
        known = parameters(self._recipe.cls)
        for key, value in self._recipe.arguments:
            place = f"{where}.{key}"
            if key not in known:
                raise ValueError(f"{place}: unknown key; expected one of {', '.join(known)}")
            if key == "normalize" and known[key] is bool:
                raise ValueError(f"{place}={value}: not from a configuration: priorgap gives the images")
            if key == "data_range" and value not in (1, (0, 1)):
                raise ValueError(f"{place}={value}: expected 1.0: images are in [0, 1]")
            check_foreign(key, value, IMAGE_METRIC if self.weights is None else LPIPS, place)
            fit(value, known[key], place)
            if key == "reduction" and "mean" not in str(value):
                raise ValueError(f"{place}={value}: expected a mean: a measure is one number, whatever n is")
        _ = self.measures

    def _check_network(self, where: str) -> None:
        """Refuse a class that would download a network when it is built."""
        names = [part.__name__ for part in self._recipe.cls.__mro__]
        if self.weights is None:
            refused = IMAGE_METRIC.refused_classes
            why = next((refused[name] for name in names if name in refused), None)
            if why is not None:
                raise ValueError(f"{where}: {self._recipe.cls.__name__}: {why}")
        elif LPIPS_CLASS not in names:
            raise ValueError(f"{where}.weights={self.weights}: expected for {LPIPS_CLASS} alone")
        elif not Path(self.weights).is_file():
            raise ValueError(f"{where}.weights={self.weights}: no such file")

    @property
    def _recipe(self) -> _Recipe:
        assert isinstance(self.metric, _Recipe)
        return self.metric

    @property
    def kind(self) -> Kind:
        """The kind of its inputs."""
        return _kind(self._recipe.cls, f"metrics.{self.name}")

    @property
    def scope(self) -> Scope:
        """The model for metrics of pairs (its reconstructions), else the sampler."""
        return "model" if self.kind == "pairs" else "sampler"

    @property
    def needs(self) -> frozenset[str]:
        """The evidence that its kind requires."""
        return _NEEDS[self.kind]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """One entry, with the direction that the class declares."""
        cls, kind = self._recipe.cls, self.kind
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", cls.__name__)
        direction = _direction(cls)
        return (
            Measure(
                self.name,
                f"{words} (torchmetrics)",
                _SENTENCES[kind].format(name=cls.__name__, real="training" if self._training else "test"),
                section="quality",
                direction=direction,
                rankable=kind != "pairs" and direction != "neither",
                needs_space=kind != "pairs",
            ),
        )

    @property
    def _net_type(self) -> str:
        return str(dict(self._recipe.arguments).get("net_type", "alex"))

    @property
    def _training(self) -> bool:
        return any(part.__name__ == _AGAINST_TRAINING for part in self._recipe.cls.__mro__)

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Build the object, feed it the inputs of its kind, and return one row.

        There is no standard error: the second number of KID and InceptionScore is a spread over overlapping subsets,
        or over parts of the set, and not the error of their mean.
        """
        require(evidence, self.needs)
        reference = evidence.model.reference
        assert reference is not None
        work = {"two sets": self._two_sets, "one set": self._one_set, "pairs": self._pairs}[self.kind]
        return [work(evidence, reference, generator)]

    def _two_sets(self, evidence: Evidence, reference: Reference, generator: torch.Generator) -> Measurement:
        real = reference.pool_features if self._training else reference.test_features
        own = evidence.features
        value = self._value([(real, True), (own, False)], generator, feature=_Given(own.shape[1]))
        space = reference.feature_map.name
        return measured(self.name, value, n=len(own), n_reference=len(real), space=space)

    def _one_set(self, evidence: Evidence, reference: Reference, generator: torch.Generator) -> Measurement:
        space = reference.feature_map
        if not isinstance(space, ClassScores):
            raise NotApplicable(
                f"{self.name}: the feature space {space.name} scores no classes; classifier and inception do"
            )
        scores = extract(space.logits, evidence.samples.x)
        value = self._value([(scores,)], generator, feature=_Given(scores.shape[1]))
        return measured(self.name, value, n=len(scores), space=space.name)

    def _pairs(self, evidence: Evidence, reference: Reference, generator: torch.Generator) -> Measurement:
        real = reference.test
        if not real.modality.pictures:
            raise NotApplicable(f"{self.name}: defined for images only")
        made = evidence.model.test_reconstructions
        supplied: dict[str, Any] = {"data_range": 1.0}
        if self.weights is not None:
            # The images are in [0, 1].
            supplied["normalize"] = True
        pairs = list(_batches(made, real, colour=self.weights is not None))
        value = self._value(pairs, generator, **supplied)
        return measured(self.name, value, n=len(made), n_reference=len(real), space="pixels")

    def _value(self, updates: list[tuple[Any, ...]], generator: torch.Generator, **supplied: Any) -> float:
        """Build the object and return its value; it can draw only from the global random state.

        Raises:
            NotApplicable: torchmetrics refuses these images or sizes, or does not return a single number.
        """
        try:
            with isolated(generator), torch.no_grad(), warnings.catch_warnings():
                # The warning that features are held in memory is expected.
                warnings.simplefilter("ignore", UserWarning)
                with _backbone(self.weights, self._net_type):
                    made = self.metric(**supplied)
                for update in updates:
                    made.update(*update)
                result = made.compute()
        except torch.cuda.OutOfMemoryError:
            raise
        except (ValueError, RuntimeError, TypeError) as error:
            said = " ".join(str(error).split())
            raise NotApplicable(f"{self.name}: torchmetrics says: {said}") from error
        first = result[0] if isinstance(result, tuple) else result
        if not isinstance(first, Tensor) or first.numel() != 1:
            raise NotApplicable(f"{self.name}: torchmetrics gives more than one number")
        return float(first)


class _Given(nn.Module):
    """A `feature` module that returns features computed before, in double precision."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features.double()


def _batches(made: Split, real: Split, *, colour: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs in batches; `colour` repeats grey images over three channels."""
    for start in range(0, len(real), _BATCH):
        rows = slice(start, start + _BATCH)
        pair = made.take(rows).floats(), real.take(rows).floats()
        grey = colour and pair[0].shape[1] == 1
        yield (pair[0].expand(-1, 3, -1, -1), pair[1].expand(-1, 3, -1, -1)) if grey else pair


@contextmanager
def _backbone(weights: str | None, net_type: str) -> Iterator[None]:
    """Let torchvision load a backbone's published weights from a file, so that nothing is downloaded.

    Raises:
        ValueError: the file holds anything other than tensors.
    """
    if weights is None:
        yield
        return
    from torchvision import models

    try:
        # torchvision's loader would unpickle anything; this first call refuses everything except tensors.
        torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"weights={weights}: no weights of {net_type}: {said}") from error
    name = Path(models.get_model_weights(_BACKBONES[net_type]).DEFAULT.url).name
    before = torch.hub.get_dir()
    with TemporaryDirectory() as folder:
        checkpoints = Path(folder) / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / name).symlink_to(Path(weights).resolve())
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub.set_dir(before)


def _kind(cls: type, where: str) -> Kind:
    """Return the kind of inputs that a class's `update` takes.

    Raises:
        ValueError: it takes neither sets of images nor pairs.
    """
    update = getattr(cls, "update", None)
    taken = list(signature(update).parameters.values())[1:] if callable(update) else []
    names = [parameter.name for parameter in taken]
    on_features = "feature" in parameters(cls)
    if on_features and names == ["imgs", "real"]:
        return "two sets"
    if on_features and names == ["imgs"]:
        return "one set"
    if len(names) == 2 and all(p.annotation in (Tensor, Parameter.empty) for p in taken) and not on_features:
        return "pairs"
    raise ValueError(
        f"{where}: {cls.__name__} is updated by ({', '.join(names)}); expected a metric of torchmetrics.image that "
        "is updated by (imgs, real), (imgs) or (preds, target)"
    )


def _direction(cls: type) -> Direction:
    better = getattr(cls, "higher_is_better", None)
    return "neither" if better is None else "higher" if better else "lower"

"""What a configuration may name at each place: our own classes by their protocol, other packages' by a base class."""

import contextlib
import inspect
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePath, PureWindowsPath
from typing import Any

from priorgap.core import plugins

PACKAGE = "priorgap"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?:file|data|https?|ftp):", re.IGNORECASE)


# eq=False compares by identity, which leaves a receiver hashable: a union of annotated types needs that.
@dataclass(frozen=True, eq=False)
class Receiver:
    """The objects that one place of a configuration accepts; the class is checked before it is called.

    Attributes:
        bases: the protocols or base classes that a class must all satisfy; another package's are given as dotted
            names, so that the package is imported only when a node names something in it.
        packages: the packages other than priorgap and allowed plugins that the class may come from.
        classes: names of the accepted classes of other packages; empty: all that are not refused.
        refused_classes: class name -> why neither it nor a subclass of it is accepted.
        refused: argument -> why a configuration cannot give it.
        supplied: arguments that priorgap passes itself, where the class has them.
        bare: arguments that must be a plain name, not a path.
        only: argument -> its possible values.
        nested: arguments whose nodes are checked by this same receiver (a classifier made of classifiers).
        partial: whether the object is made later, of arguments that are not known yet (Hydra's `_partial_`).
    """

    bases: tuple[type | str, ...]
    packages: tuple[str, ...] = ()
    classes: frozenset[str] = frozenset()
    refused_classes: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    supplied: frozenset[str] = frozenset()
    bare: frozenset[str] = frozenset()
    only: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    nested: frozenset[str] = frozenset()
    partial: bool = False


def lacking(cls: type, base: type) -> list[str]:
    """Return the members that a class lacks to satisfy a base or protocol, judged by the class alone.

    Every member of a protocol must be an attribute, an annotation (a dataclass field is one) or an argument of the
    class: `issubclass` does not work for protocols with members that are no methods.
    """
    if not getattr(base, "_is_protocol", False):
        return [] if issubclass(cls, base) else [base.__name__]
    members = {
        name
        for part in base.__mro__
        if getattr(part, "_is_protocol", False) and part is not typing.Protocol
        for name in (*vars(part), *vars(part).get("__annotations__", ()))
        if not name.startswith("_")
    }
    # Types written in C, such as functions, have a descriptor instead of a dict of annotations.
    annotations = [vars(part).get("__annotations__", ()) for part in cls.__mro__]
    declared = {name for names in annotations if isinstance(names, Mapping) for name in names}
    # Built-in classes such as int and dict have no signature.
    with contextlib.suppress(ValueError, TypeError):
        declared |= set(inspect.signature(cls).parameters)
    return sorted(name for name in members if name not in declared and not hasattr(cls, name))


def own_packages() -> tuple[str, ...]:
    """Return the packages whose classes are checked by protocol alone: priorgap, and the plugins of this process."""
    return (PACKAGE, *plugins.allowed())


def bases_of(receiver: Receiver) -> list[type]:
    """Return the bases that a class must satisfy; this imports those of other packages."""
    found = []
    for base in receiver.bases:
        if isinstance(base, str):
            module, _, name = base.rpartition(".")
            base = getattr(import_allowed(module), name)
        found.append(base)
    return found


def described(receiver: Receiver) -> str:
    """Return a description of what a receiver accepts, for messages."""
    names = (base if isinstance(base, str) else base.__name__ for base in receiver.bases)
    return f"a {' and '.join(names)}"


def import_allowed(module: str) -> Any:
    """Import a module of an allowed package."""
    if not under(module, own_packages()):
        from priorgap.core.torchvision_compat import ensure

        # torchmetrics and Lightning import torchvision where it is installed, which fails beside a CPU build of
        # torch.
        if under(module, ("torchmetrics", "pytorch_lightning")) and _is_installed("torchvision"):
            ensure()
    return import_module(module)


def _is_installed(package: str) -> bool:
    try:
        return package in sys.modules or find_spec(package) is not None
    except ImportError:
        return False


def under(name: str, packages: Sequence[str]) -> bool:
    """Whether a dotted name is one of these packages or lies inside of one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def check_class(found: object, receiver: Receiver, *, foreign: bool, place: str) -> None:
    """Refuse an object that is no class of an allowed package, cannot be built, or does not satisfy the receiver.

    Args:
        found: the object that a `_target_` names.
        receiver: what the place accepts.
        foreign: whether the name lies in another package.
        place: the key and its value, for messages.

    Raises:
        ValueError: one line.
    """
    packages = receiver.packages if foreign else own_packages()
    if not isinstance(found, type):
        raise ValueError(f"{place}: it is no class; expected {described(receiver)}")
    if not under(found.__module__, packages):
        raise ValueError(f"{place}: it is {found.__module__}.{found.__qualname__}, of another package")
    for base in bases_of(receiver):
        absent = lacking(found, base)
        if absent:
            declares = "" if absent == [base.__name__] else f": it declares no {', '.join(absent)}"
            raise ValueError(f"{place}: expected {described(receiver)}{declares}")
    if inspect.isabstract(found) or getattr(found, "_is_protocol", False):
        raise ValueError(f"{place}: it is abstract; expected a class that can be built")
    if foreign:
        names = [part.__name__ for part in found.__mro__]
        if receiver.classes and not receiver.classes & set(names):
            raise ValueError(f"{place}: expected one of {', '.join(sorted(receiver.classes))}")
        why = next((receiver.refused_classes[n] for n in names if n in receiver.refused_classes), None)
        if why is not None:
            raise ValueError(f"{place}: not from a configuration: {why}")


def check_foreign(key: str, value: Any, receiver: Receiver, place: str) -> None:
    """Refuse an argument of another package's class that a configuration must not set.

    Raises:
        ValueError: one line.
    """
    if key in receiver.supplied:
        raise ValueError(f"{place}={value}: not from a configuration: priorgap gives it")
    if key in receiver.refused:
        raise ValueError(f"{place}={value}: not from a configuration: {receiver.refused[key]}")
    if key in receiver.only and value not in receiver.only[key]:
        raise ValueError(f"{place}={value}: expected one of {list(receiver.only[key])}")
    if key in receiver.bare and isinstance(value, str) and {"/", "\\"} & set(value):
        raise ValueError(f"{place}={value}: expected a name, not a path")
    if key not in receiver.nested:
        _check_plain(value, place)


def _check_plain(value: Any, place: str) -> None:
    """Refuse text that another package would take for a path or an address."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(key, place)
            _check_plain(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, place)
    elif isinstance(value, str):
        absolute = value.startswith("~") or PurePath(value).is_absolute() or PureWindowsPath(value).drive
        if absolute or ".." in PureWindowsPath(value).parts or _URL.match(value):
            raise ValueError(f"{place}={value}: expected neither an address nor a path outside the study")


_CALLABLE = "it takes functions, which a configuration cannot hold"
_OUTSIDE_ID = "it changes what is trained, outside the model's id"
_PLACE = "priorgap decides where files go"
_DOWNLOADS = "it would fetch a network; features= decides which one is used"

OPTIMIZER = Receiver(
    ("torch.optim.Optimizer",),
    packages=("torch.optim",),
    supplied=frozenset({"params"}),
    partial=True,
)

SCHEDULER = Receiver(
    ("torch.optim.lr_scheduler.LRScheduler",),
    packages=("torch.optim",),
    refused_classes=dict.fromkeys(("LambdaLR", "MultiplicativeLR"), _CALLABLE),
    refused={"schedulers": "one scheduler is taken"},
    supplied=frozenset({"optimizer"}),
    partial=True,
)

CALLBACK = Receiver(
    ("pytorch_lightning.Callback",),
    packages=("pytorch_lightning",),
    refused_classes={
        "LambdaCallback": _CALLABLE,
        "ThroughputMonitor": _CALLABLE,
        "BatchSizeFinder": _OUTSIDE_ID,
        "LearningRateFinder": _OUTSIDE_ID,
        "ModelPruning": _OUTSIDE_ID,
        "BaseFinetuning": _OUTSIDE_ID,
        "BasePredictionWriter": _PLACE,
        "Checkpoint": "priorgap keeps one checkpoint, with the best epoch's weights inside",
        "Timer": "what is trained would depend on the machine's speed; trainer.max_epochs is the bound",
        "ProgressBar": "trainer.progress is that",
        "SpikeDetection": "it skips batches, and writes which to a file",
    },
    refused={
        **dict.fromkeys(("dirpath", "exclude_batches_path", "save_dir"), _PLACE),
        **dict.fromkeys(("avg_fn", "lambda_func"), _CALLABLE),
    },
    bare=frozenset({"filename"}),
)

LOGGER = Receiver(
    ("pytorch_lightning.loggers.Logger",),
    packages=("pytorch_lightning",),
    classes=frozenset({"CSVLogger", "TensorBoardLogger", "WandbLogger"}),
    refused={
        **dict.fromkeys(("root_dir", "artifact_location"), _PLACE),
        **dict.fromkeys(("tracking_uri", "log_model"), "what leaves the machine is tracking's to say"),
        **dict.fromkeys(("experiment", "kwargs"), "priorgap makes the run"),
    },
    supplied=frozenset({"save_dir", "dir", "offline"}),
    bare=frozenset({"name", "version", "sub_dir"}),
)

LPIPS_CLASS = "LearnedPerceptualImagePatchSimilarity"
IMAGE_METRIC = Receiver(
    ("torchmetrics.Metric",),
    packages=("torchmetrics.image",),
    refused_classes={
        **dict.fromkeys(
            ("PerceptualPathLength", "DeepImageStructureAndTextureSimilarity", "ARNIQA"), _DOWNLOADS
        ),
        LPIPS_CLASS: "it would fetch a network; expected weights=FILE, the published weights of its net_type",
    },
    refused=dict.fromkeys(
        ("model_name_or_path", "weights", "net_type", "sim_net", "feature_extractor_weights_path"), _DOWNLOADS
    ),
    supplied=frozenset({"feature"}),
    partial=True,
)

# Where the configuration names a file of weights, the class downloads nothing.
LPIPS = replace(
    IMAGE_METRIC,
    classes=frozenset({LPIPS_CLASS}),
    refused_classes={},
    refused={key: why for key, why in IMAGE_METRIC.refused.items() if key != "net_type"},
)

CLASSIFIER = Receiver(
    ("sklearn.base.ClassifierMixin", "sklearn.base.BaseEstimator"),
    packages=("sklearn",),
    refused={
        "memory": "what lies in such a folder would be unpickled",
        "input": "files are not read from here",
    },
    supplied=frozenset({"random_state"}),
    only={"n_jobs": (None, 1)},
    nested=frozenset({"estimator", "estimators", "final_estimator"}),
)

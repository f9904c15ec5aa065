"""The configuration as typed groups: the type of each key, checked without torch; default values are only in conf/.

Each group is a frozen dataclass. Parts that have classes of their own (model, loss, samplers, ...) are plain nodes
here, which these classes check when they are built. A new key needs a field, a new group a dataclass and a field.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from priorgap.core.arguments import Above, AtLeast, Matches, fit, show, unknown_key
from priorgap.core.verdict_rules import Name, VerdictRules, completed, is_name

Group = TypeVar("Group")
RESERVED_STUDIES = ("data", "reference")
# The characters that W&B accepts.
_PROJECT = re.compile(r"[^/\\#?%:]{1,128}")


def is_study_name(name: str) -> bool:
    """Whether a text can name a study: a folder of its own, different from those of the data."""
    return is_name(name) and name not in RESERVED_STUDIES


def _is_folder(path: str) -> bool:
    """Whether a path is a folder or could become one: no part of it is a file."""
    return all(place.is_dir() for place in (Path(path), *Path(path).parents) if place.exists())


StudyName = Annotated[
    str, Matches(is_study_name, f"letters, digits and _.=,+- (not {' or '.join(RESERVED_STUDIES)})")
]
ProjectName = Annotated[
    str, Matches(lambda s: _PROJECT.fullmatch(s) is not None, "up to 128 characters, none of /\\#?%:")
]
PackageName = Annotated[
    str, Matches(lambda s: re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", s) is not None, "the name of a package")
]
Folder = Annotated[Path, Matches(_is_folder, "a folder, or a place for one")]
Node = Mapping[str, Any]
DecodeRule = Literal["mean", "draw"]


@dataclass(frozen=True)
class Numerics:
    """`numerics`: part of a result's identity."""

    threads: Annotated[int, AtLeast(1)]
    matmul_precision: Literal["highest", "high", "medium"]
    encode_batch: Annotated[int, AtLeast(1)]
    decode_batch: Annotated[int, AtLeast(1)]


@dataclass(frozen=True)
class Batching:
    """`batching`: how models of `trainer=batched` are distributed, and when a sweep is advised to use it."""

    max_seconds: Annotated[int, AtLeast(1)]
    advise: bool
    min_models: Annotated[int, AtLeast(2)]
    max_weights: Annotated[int, AtLeast(1)]


@dataclass(frozen=True)
class Features:
    """`features`: settings of feature spaces other than their own options."""

    weights: Path | None


@dataclass(frozen=True)
class ReferenceClassifier:
    """`reference.classifier`: the classifiers of real images."""

    width: Annotated[int, AtLeast(1)]
    n_features: Annotated[int, AtLeast(1)]
    epochs: Annotated[int, AtLeast(1)] | None
    passes: Annotated[float, Above(0)]
    batch_size: Annotated[int, AtLeast(1)]
    learning_rate: Annotated[float, Above(0)]
    n_train: Annotated[int, AtLeast(2)]
    n_seeds: Annotated[int, AtLeast(1)]


@dataclass(frozen=True)
class Reference:
    """`reference`: settings of computations on the real data alone."""

    seed: Annotated[int, AtLeast(0)]
    classifier: ReferenceClassifier
    n_repeats: Annotated[int, AtLeast(3)]


@dataclass(frozen=True)
class Tracking:
    """`tracking`: W&B.

    Attributes:
        mode: offline needs no login; online syncs continuously; off writes nothing.
        project: the project in W&B.
        entity: the entity in W&B; None for the user's own.
        pictures_every: epochs between two pictures of a training; 0 for none, None for at most six in a training.
    """

    mode: Literal["offline", "online", "off"]
    project: ProjectName
    entity: str | None
    pictures_every: Annotated[int, AtLeast(0)] | None


@dataclass(frozen=True)
class Data:
    """`data`: where data sets are stored; a source's own keys may stand here if it refers to them."""

    name: Name
    root: Path
    download: bool
    binarize: Literal["static", "dynamic"] | None
    source: Node


@dataclass(frozen=True)
class Settings:
    """The configuration of one model.

    Attributes:
        study: the study's name, and its folder's.
        seed: the seed of the model and of everything drawn from it.
        n_samples: draws of each sampler, at most as many as test images.
        calibrate: sample the model as trained, calibrated, or both.
        calibrated_samplers: the samplers of calibrated models; None for all.
        unit_swaps: null, "all" or a list of units (`unit_swaps.py`).
        unit_swap_arms: what replaces a unit.
        decode: how z becomes x for previews and measures: one rule, or several, each a cell of its own.
        output_root: the store.
        measure_processes: processes that measure one model; None for as many as fit.
        plugins: outside packages whose classes the nodes may name.
        data, numerics, fleet, features, reference, verdict, tracking: the groups.
        model, likelihood, prior, loss, trainer: nodes of one object each.
        samplers, metrics, feature_spaces, callbacks, logger: nodes by name; callbacks and logger may be empty.
    """

    study: StudyName
    seed: Annotated[int, AtLeast(0)]
    n_samples: Annotated[int, AtLeast(2)]
    calibrate: bool | Literal["both"]
    calibrated_samplers: tuple[str, ...] | None
    unit_swaps: Any
    unit_swap_arms: (
        tuple[Literal["prior", "moments", "shuffle"], ...] | Literal["prior", "moments", "shuffle"]
    )
    decode: DecodeRule | tuple[DecodeRule, ...]
    output_root: Folder
    measure_processes: Annotated[int, AtLeast(1)] | None
    plugins: tuple[PackageName, ...]
    data: Data
    numerics: Numerics
    batching: Batching
    features: Features
    reference: Reference
    verdict: VerdictRules
    tracking: Tracking
    model: Node
    likelihood: Node
    prior: Node
    loss: Node
    trainer: Node
    samplers: Mapping[str, Any]
    metrics: Mapping[str, Any]
    feature_spaces: Mapping[str, Any]
    callbacks: Mapping[str, Any]
    logger: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any], *, referred: frozenset[str] = frozenset()) -> "Settings":
        """Return a composed configuration as typed groups.

        Args:
            config: the resolved configuration, as plain data.
            referred: dotted keys that other values refer to (`${...}`): a user's own variables, and a data source's
                keys, need no field.

        Raises:
            ValueError: a key is unknown, missing, or has a wrong value; one line for the first.
        """
        for key, value in _numbers(config):
            if not math.isfinite(value):
                raise ValueError(f"{key}={value}: expected a finite number")
        for name in ("samplers", "metrics", "feature_spaces"):
            if not config.get(name):
                raise ValueError(f"{name}: nothing is selected; expected {_SELECTED_BY[name]}=[NAME,...]")
        read: Settings = _read(cls, config, "", referred | _given_twice(config.get("data"), referred))
        for name in ("model", "likelihood", "prior", "loss", "trainer"):
            _check_node(config[name], name)
        _check_node(config["data"]["source"], "data.source")
        for name in ("samplers", "metrics", "feature_spaces", "callbacks", "logger"):
            for key, node in config[name].items():
                fit(key, Name, f"{name}.{key}")
                _check_node(node, f"{name}.{key}")
        if "progress" in read.trainer:
            fit(read.trainer["progress"], bool, "trainer.progress")
        read._check_together()
        return read

    def _check_together(self) -> None:
        """Check values that depend on each other."""
        if not self.decode or (isinstance(self.decode, tuple) and len(set(self.decode)) < len(self.decode)):
            raise ValueError(f"decode={list(self.decode)}: expected mean, draw or [mean,draw]")
        for name in self.calibrated_samplers or ():
            if name not in self.samplers:
                raise ValueError(f"calibrated_samplers: {name} is not among the selected samplers")
        if self.verdict.space not in self.feature_spaces:
            raise ValueError(
                f"verdict.space={self.verdict.space}: expected a selected feature space, "
                f"one of {', '.join(self.feature_spaces)}"
            )


def verdict_of(node: Any) -> VerdictRules:
    """Return the group `verdict` of a recorded configuration; keys that were added since get their values in conf/.

    Raises:
        ValueError: a key is unknown, missing, or has a wrong value; one line for the first.
    """
    whole = completed(node) if isinstance(node, Mapping) else node
    verdict: VerdictRules = _read(VerdictRules, whole, "verdict", frozenset())
    return verdict


def _numbers(node: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Yield the floating-point numbers of plain data, with their keys."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _numbers(value, f"{where}.{key}" if where else str(key))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _numbers(value, where)
    elif isinstance(node, float):
        yield where, node


# The group of options that fills each collection of nodes.
_SELECTED_BY = {"samplers": "sampler", "metrics": "metric", "feature_spaces": "features"}
# Groups of which one option is chosen.
_GROUPS = ("data", "tracking", "model", "likelihood", "prior", "loss", "trainer")
# Hints for keys that appear at the top level only if their file lacks its first line.
_HINTS = {
    "experiments": "an experiment's config.yaml begins with the line `# @package _global_`",
    "sampler": "a file of conf/sampler begins with the line `# @package samplers.NAME`",
    "metric": "a file of conf/metric begins with the line `# @package metrics.NAME`",
}


def _read(cls: type[Group], node: Any, where: str, referred: frozenset[str]) -> Any:
    if not isinstance(node, Mapping):
        raise ValueError(f"{where}={show(node)}: expected keys with values")
    prefix = f"{where}." if where else ""
    hints = get_type_hints(cls, include_extras=True)
    for key, value in node.items():
        # A file that holds only defaults leaves an empty node.
        if key not in hints and f"{prefix}{key}" not in referred and value != {}:
            if not where and key in _HINTS:
                raise ValueError(f"{key}: unknown key; {_HINTS[key]}")
            raise ValueError(unknown_key(f"{prefix}{key}", hints))
    values = {}
    for field in fields(cls):  # type: ignore[arg-type]
        key, annotation = f"{prefix}{field.name}", hints[field.name]
        if field.name not in node:
            how = f": {key}=NAME" if field.name in _GROUPS else ""
            raise ValueError(f"{key}: missing; a configuration needs it{how}")
        value = node[field.name]
        if is_dataclass(annotation):
            value = _read(annotation, value, key, referred)  # type: ignore[arg-type]
        else:
            fit(value, annotation, key)
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)


def _check_node(node: Any, where: str) -> None:
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if target and isinstance(target, str):
        return
    named = isinstance(node, Mapping) and "_target_" in node
    given = f"{where}._target_={show(target)}" if named else f"{where}={show(node)}"
    raise ValueError(f"{given}: expected a node with _target_, the name of a class")


def _given_twice(data: Any, referred: frozenset[str]) -> frozenset[str]:
    """Return the keys of `data` that the source has with equal values, and to which no other value refers.

    Raises:
        ValueError: the two values differ; one line.
    """
    source = data.get("source") if isinstance(data, Mapping) else None
    if not isinstance(source, Mapping):
        return frozenset()
    own = {field.name for field in fields(Data)}
    twice = [key for key in data if key in source and key not in own and f"data.{key}" not in referred]
    for key in twice:
        if data[key] != source[key]:
            raise ValueError(
                f"data.{key}={show(data[key])} and data.source.{key}={show(source[key])}: one setting; "
                "expected one of the two keys, as the option's file has it"
            )
    return frozenset(f"data.{key}" for key in twice)


_REFERENCE = re.compile(r"\$\{(\.*)([A-Za-z_][\w.\[\]-]*)\}")


def referred_keys(raw: Any, where: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted keys that the texts of an unresolved configuration refer to."""
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            yield from referred_keys(value, (*where, str(key)))
    elif isinstance(raw, list):
        for i, value in enumerate(raw):
            yield from referred_keys(value, (*where, str(i)))
    elif isinstance(raw, str):
        for dots, key in _REFERENCE.findall(raw):
            base = where[: -len(dots)] if dots else ()
            parts = [*base, *key.split(".")]
            yield from (".".join(parts[: n + 1]) for n in range(len(parts)))


@dataclass(frozen=True)
class LauncherCounts:
    """The numbers in priorgap's launchers with the least value of each; each launcher has some of them."""

    n_jobs: Annotated[int, AtLeast(1)] | None
    retries: Annotated[int, AtLeast(0)]
    cells_per_job: Annotated[int, AtLeast(1)]
    timeout_min: Annotated[int, AtLeast(1)]
    cpus_per_task: Annotated[int, AtLeast(1)] | None
    gpus_per_node: Annotated[int, AtLeast(0)] | None
    mem_gb: Annotated[float, Above(0)] | None
    array_parallelism: Annotated[int, AtLeast(1)]
    num_cpus: Annotated[float, Above(0)] | None
    num_gpus: Annotated[float, AtLeast(0)] | None
    shared_disk: bool
    cluster: Literal["slurm", "local", "debug"]

    @classmethod
    def check(cls, node: Mapping[str, Any]) -> None:
        """Check the numbers in a launcher's node.

        Raises:
            ValueError: one line.
        """
        hints = get_type_hints(cls, include_extras=True)
        for key in set(node) & set(hints):
            fit(node[key], hints[key], f"hydra.launcher.{key}")

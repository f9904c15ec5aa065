"""From configuration nodes to objects: the only place where the pipeline builds what `_target_` names.

Each node's object is built once per process, because all of them are frozen settings.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priorgap.core.artifacts import file_digest
from priorgap.core.build import build, configuration_directory
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import united
from priorgap.core.receivers import CALLBACK, LOGGER
from priorgap.data.own_splits import FromFiles
from priorgap.data.splits import DataSource
from priorgap.features.spaces import FeatureSpace, MadeByFiles
from priorgap.metrics.protocols import Metric
from priorgap.metrics.torchmetrics_image import build_metric
from priorgap.models.families import traits_of
from priorgap.models.likelihoods import Likelihood
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import Architecture
from priorgap.models.traits import Traits
from priorgap.priors.base import PriorSpec
from priorgap.priors.standard_normal import StandardNormal
from priorgap.samplers.applicability import ModelTraits, PriorKind, invalid
from priorgap.samplers.protocols import Sampler
from priorgap.training.batched.scope import refusal_of_parts
from priorgap.training.config import TrainerConfig, check_for_gan

if TYPE_CHECKING:
    from priorgap.training.lightning import Logger, pl

_BUILT: dict[tuple[str, str, type], Any] = {}


def _key(node: Mapping[str, Any], where: str, expected: type) -> tuple[str, str, type]:
    # A value that JSON cannot represent becomes text here, and is refused when the object is built.
    return json.dumps(node, sort_keys=True, default=str), where, expected


def _built(node: Mapping[str, Any], expected: type, *, where: str) -> Any:
    key = _key(node, where, expected)
    if key not in _BUILT:
        _BUILT[key] = build(node, expected, where=where)
    return _BUILT[key]


def data_source(config: Mapping[str, Any]) -> DataSource:
    """Build the data source."""
    source: DataSource = _built(config["data"]["source"], DataSource, where="data.source")
    return source


def data_files(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of each of a user's own files from which the data are read.

    Missing files are left out; the stage prepare reports them.
    """
    source = data_source(config)
    files = source.files if isinstance(source, FromFiles) else ()
    found = {}
    for file in files:
        if file.is_file():
            known = file.stat()
            found[str(file)] = _digest(file, known.st_mtime_ns, known.st_size)
    return found


@cache
def _digest(file: Path, changed: int, size: int) -> str:
    # The digest is cached, because every model of a sweep needs it.
    return file_digest(file)


def architecture(config: Mapping[str, Any]) -> Architecture:
    """Build the sizes of the networks."""
    built: Architecture = _built(config["model"], Architecture, where="model")
    return built


def traits(config: Mapping[str, Any]) -> Traits:
    """Return what the configured model offers."""
    return traits_of(architecture(config))


def sampling_traits(config: Mapping[str, Any], *, labels: bool) -> ModelTraits:
    """Return the traits of the configured model for samplers, on data with or without labels."""
    found = traits(config)
    learned: PriorKind = "standard_normal" if isinstance(prior(config), StandardNormal) else "learned"
    return ModelTraits(
        encoder=found.encoder,
        log_var=found.log_var,
        prior=learned if found.prior else "none",
        conditional=found.conditional,
        labels=labels,
    )


def check_samplers(config: Mapping[str, Any], *, labels: bool) -> None:
    """Check that each selected sampler applies to the model.

    Raises:
        ValueError: a sampler does not apply; one line with those that do.
    """
    offered = sampling_traits(config, labels=labels)
    reasons = {name: invalid(sampler(config, name), offered) for name in config["samplers"]}
    first = next((reason for reason in reasons.values() if reason is not None), None)
    if first is not None:
        rest = ",".join(name for name, reason in reasons.items() if reason is None)
        expected = f"; expected sampler=[{rest}]" if rest else ""
        raise ValueError(f"samplers.{first}{expected}")


def likelihood(config: Mapping[str, Any]) -> Likelihood:
    """Build p(x|z)."""
    built: Likelihood = _built(config["likelihood"], Likelihood, where="likelihood")
    return built


def prior(config: Mapping[str, Any]) -> PriorSpec:
    """Build p(z), or the sizes of a learned one."""
    built: PriorSpec = _built(config["prior"], PriorSpec, where="prior")
    return built


def loss(config: Mapping[str, Any]) -> ElboLoss:
    """Build the objective's weights."""
    built: ElboLoss = _built(config["loss"], ElboLoss, where="loss")
    return built


def trainer(config: Mapping[str, Any]) -> TrainerConfig:
    """Build the trainer's settings, without `progress`."""
    node = {key: value for key, value in config["trainer"].items() if key != "progress"}
    built: TrainerConfig = _built(node, TrainerConfig, where="trainer")
    return built


def callbacks(config: Mapping[str, Any]) -> list["pl.Callback"]:
    """Build the callbacks of one training; each training has its own, because callbacks have state."""
    return [build(node, CALLBACK, where=f"callbacks.{name}") for name, node in config["callbacks"].items()]


def loggers(config: Mapping[str, Any], folder: Path) -> list["Logger"]:
    """Build the loggers of one training, which write into a folder.

    A W&B run stays on this machine unless `tracking=online`.
    """
    supplied = {"save_dir": folder, "offline": config["tracking"]["mode"] != "online"}
    return [
        build(node, LOGGER, where=f"logger.{name}", supplied=supplied)
        for name, node in config["logger"].items()
    ]


def check_lightning(config: Mapping[str, Any]) -> None:
    """Check callbacks and loggers against the trainer; without any, Lightning is not imported.

    Raises:
        ValueError: callbacks or loggers do not suit the trainer; one line.
    """
    chosen = {**config["callbacks"], **config["logger"]}
    if not chosen:
        return
    if trainer(config).batched:
        group, name = next((g, n) for g in ("callbacks", "logger") for n in config[g])
        raise ValueError(f"{group}={name}: trainer=batched has none; expected trainer=default")
    from priorgap.training.options import check_callbacks

    has_logger = bool(loggers(config, Path()))
    check_callbacks(
        callbacks(config), trainer(config), has_logger=has_logger, has_loss=traits(config).encoder
    )


def check_batched(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that `trainer=batched` cannot train, as far as this is known without data.

    Raises:
        ValueError: one line with the reason and the remedy.
    """
    if not trainer(config).batched:
        return
    reason = refusal_of_parts(architecture(config), likelihood(config), prior(config))
    if config["data"].get("binarize") == "dynamic":
        reason = "data.binarize=dynamic redraws the training images in every epoch"
    if reason is not None:
        raise ValueError(f"trainer=batched: {reason}; expected trainer=default")


def sampler(config: Mapping[str, Any], name: str) -> Sampler:
    """Build one sampler; its own name must equal the name by which it is selected.

    Raises:
        ValueError: the names differ, so that tables and configuration would use different names.
    """
    built: Sampler = _built(config["samplers"][name], Sampler, where=f"samplers.{name}")
    if built.name != name:
        raise ValueError(f"samplers.{name}: its name is {built.name}; expected the same name")
    return built


def metric(config: Mapping[str, Any], name: str) -> Metric:
    """Build one metric, of priorgap, a plugin or torchmetrics."""
    node = config["metrics"][name]
    key = _key(node, name, Metric)
    if key not in _BUILT:
        _BUILT[key] = build_metric(node, name)
    built: Metric = _BUILT[key]
    return built


def feature_space(config: Mapping[str, Any], name: str) -> FeatureSpace:
    """Build the description of a feature space (not its networks)."""
    built: FeatureSpace = _built(config["feature_spaces"][name], FeatureSpace, where=f"feature_spaces.{name}")
    return built


def feature_files(config: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the digest of each file that determines a feature space; its settings do not contain the content.

    Raises:
        ValueError: a file does not exist; one line.
    """
    space = feature_space(config, name)
    if not isinstance(space, MadeByFiles):
        return {}
    for file in space.files:
        if not file.is_file():
            raise ValueError(f"feature_spaces.{name}: {file}: no such file")
    return {str(file): file_digest(file) for file in space.files}


def check_verdict(config: Mapping[str, Any]) -> None:
    """Check that samplers are ranked by a measure that can rank, and that the baseline is an existing sampler.

    Raises:
        ValueError: one line.
    """
    metrics = [metric(config, name) for name in config["metrics"]]
    known = united(BUILTIN.values(), *(one.measures for one in metrics))
    wanted, baseline = config["verdict"]["measure"], config["verdict"]["baseline"]
    rankable = [name for name, measure in known.items() if measure.rankable]
    if wanted not in rankable:
        raise ValueError(f"verdict.measure={wanted}: expected one of {', '.join(rankable)}")
    there = [p.stem for p in (configuration_directory() / "sampler").glob("[!_]*.yaml")]
    if baseline not in {*config["samplers"], *there}:
        selected = ", ".join(config["samplers"])
        raise ValueError(f"verdict.baseline={baseline}: expected a sampler, one of {selected}")


def build_all(config: Mapping[str, Any]) -> None:
    """Build every leaf object of a configuration, so that wrong values are found before any work.

    Raises:
        ValueError: one line that names the key, the value and what was expected.
    """
    for make in (data_source, architecture, likelihood, prior, loss, trainer):
        make(config)
    check_batched(config)
    if not traits(config).encoder:
        check_for_gan(trainer(config))
    # Whether the data have labels is known only after prepare (so labels=True here); the results then name samplers
    # that lack them.
    check_samplers(config, labels=True)
    for name in config["feature_spaces"]:
        feature_space(config, name)
    # The objects whose imports take seconds come last.
    for name in config["metrics"]:
        metric(config, name)
    check_lightning(config)

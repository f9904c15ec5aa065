"""reference: what is known of the real data alone, shared by all studies of a data set."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.building import target_modules
from priorgap.data.splits import Dataset
from priorgap.features import Classifier, default_epochs, fit_classifier, restore_classifier
from priorgap.metrics import classifiers as known
from priorgap.metrics.floors import build_features
from priorgap.metrics.reference import Reference, load_reference, save_features
from priorgap.pipeline import components
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.models import device_of
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.stages.sample import n_samples
from priorgap.pipeline.stages.work import stage_key
from priorgap.pipeline.store import Store, ensure, require
from priorgap.streams import stream

log = logging.getLogger(__name__)
CLASSIFIERS = "classifiers"
_NETWORK = "feature_classifier"


def _settings(cell: Cell) -> dict[str, Any]:
    return {"reference": cell.config["reference"], "n_samples": cell.config["n_samples"]}


def _classifiers_folder(cell: Cell, store: Store) -> Path:
    name = f"{CLASSIFIERS}-{artifacts.digest([_settings(cell), cell.config['numerics']])[:8]}"
    return store.reference(cell, name)


def _space_folder(cell: Cell, store: Store, space: str) -> Path:
    node = cell.config["feature_spaces"][space]
    name = f"{space}-{artifacts.digest([_settings(cell), node, cell.config['numerics']])[:8]}"
    return store.reference(cell, name)


def folders_of(cell: Cell, store: Store, space: str) -> list[Path]:
    """Return the artifacts that the reference of one feature space is read from."""
    return [_classifiers_folder(cell, store), _space_folder(cell, store, space)]


def folders(cell: Cell, store: Store) -> Iterator[Path]:
    """Yield every artifact of a cell's references."""
    yield _classifiers_folder(cell, store)
    for space in cell.config["feature_spaces"]:
        yield _space_folder(cell, store, space)


def reference(cell: Cell, store: Store) -> list[Path]:
    """Fit the real-data classifiers, take the features and floors of each space; skipped where that is done."""
    data = require(store.data(cell), "prepare", cell)
    settings = [_settings(cell), cell.config["numerics"]]
    key = stage_key("reference", settings, (data,), ["priorgap.metrics.classifiers", "priorgap.features"])
    path = _classifiers_folder(cell, store)
    ensure(store, path, key, lambda directory: _classifiers(cell, store, directory), seed=_seed(cell))
    for space in cell.config["feature_spaces"]:
        node = cell.config["feature_spaces"][space]
        modules = ["priorgap.metrics.floors", "priorgap.features", *target_modules(node)]
        own = stage_key("reference", [*settings, node], (data, path), modules)

        def work(directory: Path, space: str = space) -> None:
            _space(cell, store, space, directory)

        ensure(store, _space_folder(cell, store, space), own, work, seed=_seed(cell))
    return list(folders(cell, store))


def _seed(cell: Cell) -> int:
    return int(cell.config["reference"]["seed"])


def _classifiers(cell: Cell, store: Store, directory: Path) -> None:
    dataset = prepare.load(cell, store)
    settings = cell.config["reference"]["classifier"]
    n = n_samples(cell, len(dataset.test))
    train = dataset.train
    if dataset.n_classes is None or train.label is None or dataset.test.label is None:
        artifacts.save_json(directory / "facts.json", {"labelled": False})
        return
    log.info(
        "%s: fitting classifiers of the real images: features, labeller, judge, two ceilings", dataset.name
    )
    network = fit_classifier(
        train.x,
        train.label,
        n_classes=dataset.n_classes,
        generator=stream(_seed(cell), _NETWORK),
        epochs=settings["epochs"] or default_epochs(len(train)),
        width=settings["width"],
        n_features=settings["n_features"],
        device=device_of(cell.config),
    )
    found = known.fit_classifiers(
        train,
        dataset.test,
        dataset.n_classes,
        n_train=n,
        epochs=settings["epochs"],
        width=settings["width"],
        n_features=settings["n_features"],
        seed=_seed(cell),
    )
    artifacts.save_tensors(directory / f"{_NETWORK}.safetensors", network.state_dict())
    artifacts.save_json(directory / "facts.json", {"labelled": True, _NETWORK: network.facts()})
    known.save_classifiers(found, directory)


def _network(folder: Path) -> Classifier | None:
    facts = artifacts.load_json(folder / "facts.json")
    if not facts["labelled"]:
        return None
    return restore_classifier(facts[_NETWORK], artifacts.load_tensors(folder / f"{_NETWORK}.safetensors"))


def _space(cell: Cell, store: Store, space: str, directory: Path) -> None:
    dataset = prepare.load(cell, store)
    feature_map = components.feature_space(cell.config, space).open(
        _network(_classifiers_folder(cell, store))
    )
    n = n_samples(cell, len(dataset.test))
    log.info("%s: features of real images and their floors in %s", dataset.name, space)
    found = build_features(
        dataset.train,
        dataset.validation,
        dataset.test,
        n_classes=dataset.n_classes,
        feature_map=feature_map,
        n=n,
        n_pool=2 * n,
        seed=_seed(cell),
        n_repeats=int(cell.config["reference"]["n_repeats"]),
    )
    save_features(found, directory)


def load(cell: Cell, store: Store, space: str, dataset: Dataset) -> Reference:
    """Read the reference of a data set in one feature space."""
    classifiers = require(_classifiers_folder(cell, store), "reference", cell)
    features = require(_space_folder(cell, store, space), "reference", cell)
    feature_map = components.feature_space(cell.config, space).open(_network(classifiers))
    return load_reference(
        features, dataset.train, dataset.validation, dataset.test, feature_map, classifiers=classifiers
    )

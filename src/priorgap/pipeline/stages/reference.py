"""reference: what is known of the real data alone, shared by all studies of a data set."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.building import target_modules
from priorgap.data.splits import Dataset
from priorgap.features import Classifier, default_epochs, fit_classifier, restore_classifier
from priorgap.metrics import classifiers as known
from priorgap.metrics.floors import build_features
from priorgap.metrics.protocols import wants
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
NETWORK = "feature_classifier"


def _settings(cell: Cell) -> dict[str, Any]:
    return {"reference": cell.config["reference"], "n_samples": cell.config["n_samples"]}


def _shared_folder(cell: Cell, store: Store, what: str) -> Path:
    """Return the folder of networks that are fitted to the real images: the features' one, or the others."""
    return store.reference(cell, f"{what}-{artifacts.digest([_settings(cell), cell.config['numerics']])[:8]}")


def space_folder(cell: Cell, store: Store, space: str) -> Path:
    """Return the folder of the features and floors of one feature space."""
    node = cell.config["feature_spaces"][space]
    name = f"{space}-{artifacts.digest([_settings(cell), node, cell.config['numerics']])[:8]}"
    return store.reference(cell, name)


def _wants_classifiers(cell: Cell) -> bool:
    """Whether a selected metric asks for labeller, judge or ceilings, which cost most of a reference."""
    return any(
        "classifiers" in wants(components.metric(cell.config, name)) for name in cell.config["metrics"]
    )


def folders_of(cell: Cell, store: Store, space: str, *, classifiers: bool) -> list[Path]:
    """Return the artifacts that a metric reads the reference of one feature space from.

    Args:
        cell: the cell.
        store: where results stand.
        space: the feature space.
        classifiers: whether the metric asks for labeller, judge or ceilings.
    """
    found = [_shared_folder(cell, store, CLASSIFIERS)] if classifiers else []
    if components.feature_space(cell.config, space).needs_classifier:
        found.append(_shared_folder(cell, store, NETWORK))
    return [*found, space_folder(cell, store, space)]


def folders(cell: Cell, store: Store) -> Iterator[Path]:
    """Yield every artifact of a cell's references."""
    classifiers = _wants_classifiers(cell)
    found = [
        path
        for space in cell.config["feature_spaces"]
        for path in folders_of(cell, store, space, classifiers=classifiers)
    ]
    yield from dict.fromkeys(found)


def reference(cell: Cell, store: Store) -> list[Path]:
    """Fit the classifiers that are asked for, take the features and floors of each space; skipped where done."""
    data = require(store.data(cell), "prepare", cell)
    settings = [_settings(cell), cell.config["numerics"]]
    if _wants_classifiers(cell):
        _ensure_shared(cell, store, CLASSIFIERS, _classifiers, "priorgap.metrics.classifiers")
    for space in cell.config["feature_spaces"]:
        node, inputs = cell.config["feature_spaces"][space], [data]
        if components.feature_space(cell.config, space).needs_classifier:
            inputs.append(_ensure_shared(cell, store, NETWORK, _feature_classifier))
        modules = ["priorgap.metrics.floors", "priorgap.features", *target_modules(node)]
        own = stage_key("reference", [*settings, node], inputs, modules)

        def work(directory: Path, space: str = space) -> None:
            _space(cell, store, space, directory)

        ensure(store, space_folder(cell, store, space), own, work, seed=_seed(cell))
    return list(folders(cell, store))


def _ensure_shared(
    cell: Cell, store: Store, what: str, fit: Callable[[Cell, Store, Path], None], *modules: str
) -> Path:
    path = _shared_folder(cell, store, what)
    settings = [what, _settings(cell), cell.config["numerics"]]
    key = stage_key("reference", settings, (store.data(cell),), ["priorgap.features", *modules])
    ensure(store, path, key, lambda directory: fit(cell, store, directory), seed=_seed(cell))
    return path


def _seed(cell: Cell) -> int:
    return int(cell.config["reference"]["seed"])


def _feature_classifier(cell: Cell, store: Store, directory: Path) -> None:
    dataset = prepare.load(cell, store)
    settings, train = cell.config["reference"]["classifier"], dataset.train
    if dataset.n_classes is None or train.label is None or dataset.test.label is None:
        artifacts.save_json(directory / "facts.json", {"labelled": False})
        return
    log.info("%s: fitting the classifier of the real images that gives the features", dataset.name)
    network = fit_classifier(
        train.x,
        train.label,
        n_classes=dataset.n_classes,
        generator=stream(_seed(cell), NETWORK),
        epochs=settings["epochs"] or default_epochs(len(train)),
        width=settings["width"],
        n_features=settings["n_features"],
        device=device_of(cell.config),
    )
    artifacts.save_tensors(directory / f"{NETWORK}.safetensors", network.state_dict())
    artifacts.save_json(directory / "facts.json", {"labelled": True, NETWORK: network.facts()})


def _classifiers(cell: Cell, store: Store, directory: Path) -> None:
    dataset = prepare.load(cell, store)
    settings, train = cell.config["reference"]["classifier"], dataset.train
    n = n_samples(cell, len(dataset.test))
    labelled = dataset.n_classes is not None and train.label is not None and dataset.test.label is not None
    artifacts.save_json(directory / "facts.json", {"labelled": labelled})
    if not labelled or dataset.n_classes is None:
        return
    log.info("%s: fitting classifiers of the real images: labeller, judge, two ceilings", dataset.name)
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
    known.save_classifiers(found, directory)


def _network(cell: Cell, store: Store, space: str) -> Classifier | None:
    """Return the classifier that gives the features of a space; None where there is none, or none is needed."""
    if not components.feature_space(cell.config, space).needs_classifier:
        return None
    folder = require(_shared_folder(cell, store, NETWORK), "reference", cell)
    facts = artifacts.load_json(folder / "facts.json")
    if not facts["labelled"]:
        return None
    return restore_classifier(facts[NETWORK], artifacts.load_tensors(folder / f"{NETWORK}.safetensors"))


def _space(cell: Cell, store: Store, space: str, directory: Path) -> None:
    dataset = prepare.load(cell, store)
    feature_map = components.feature_space(cell.config, space).open(_network(cell, store, space))
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
    """Read the reference of a data set in one feature space; without classifiers where no metric asks for them."""
    features = require(space_folder(cell, store, space), "reference", cell)
    classifiers = features
    if _wants_classifiers(cell):
        classifiers = require(_shared_folder(cell, store, CLASSIFIERS), "reference", cell)
    feature_map = components.feature_space(cell.config, space).open(_network(cell, store, space))
    return load_reference(
        features, dataset.train, dataset.validation, dataset.test, feature_map, classifiers=classifiers
    )

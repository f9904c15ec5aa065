"""What is known of the real data before any model: features, floors, classifiers and their ceilings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.artifacts import load_json, load_tensors, save_json, save_tensors
from priorgap.data.splits import Split
from priorgap.estimators.discrepancy import (
    frechet_from_features,
    frechet_null_bias,
    frechet_null_interval,
)
from priorgap.estimators.gaussian import sample_moments
from priorgap.features import (
    Classifier,
    FeatureMap,
    extract,
    fit_classifier,
    restore_classifier,
)
from priorgap.streams import stream

_FACTS = "reference.json"
_TENSORS = "reference.safetensors"
# two-sided 95 % interval of a null value, as a number of its standard deviations
_INTERVAL_WIDTH = 2 * 1.96


@dataclass(frozen=True)
class Floor:
    """Fréchet distances between real images, training against test: what no sampler can be expected to beat.

    Attributes:
        value: distance of n training images to the test images.
        n, n_reference: the two sizes.
        low, high: 95 % range of the distance of n_range against n_range images of one population, by random
            disjoint subsets of the training images; None where there are too few.
        n_range: the size of both subsets behind low and high, smaller than n where images are few.
        null_bias: the expected value under equal laws, in closed form.
    """

    value: float
    n: int
    n_reference: int
    low: float | None
    high: float | None
    n_range: int
    null_bias: float

    @property
    def spread(self) -> float | None:
        """Standard deviation of the distance under equal laws: the error of an FID near its floor."""
        return None if self.low is None or self.high is None else (self.high - self.low) / _INTERVAL_WIDTH


@dataclass(frozen=True, eq=False)
class Classifiers:
    """Classifiers of real images, and what comes of them on the real test images.

    Half A and half B are random, disjoint halves of the training images.

    Attributes:
        labeller: trained on half A with the true labels; it labels the draws of every sampler.
        judge: trained on half B with the true labels; it judges labelled draws and never saw half A.
        n_train: so many images, at most, train a classifier of synthetic draws; the ceilings use as many.
        epochs: passes over them, None for the rule of `fit_classifier`.
        predictions: classes of the test images, by real-trained classifiers: key "" by the judge; "source"
            by one trained on n_train images of half B with true labels; "labeller" with the labeller's.
    """

    labeller: Classifier
    judge: Classifier
    n_train: int
    epochs: int | None
    predictions: Mapping[str, Int[Tensor, "n_test"]]

    def label(self, x: Tensor) -> Int[Tensor, "n"]:
        """Return the labeller's classes of stored or float images."""
        return self.labeller.predict(x)


@dataclass(frozen=True, eq=False)
class Reference:
    """Facts about real data in one feature space, shared by all models and samplers. None means missing.

    Attributes:
        train, validation, test: the real data.
        feature_map: the feature space; its name is the `space` of the measures taken in it.
        test_features: features of all test images.
        pool_features: features of a random part of the training images, in random order.
        n_classes: the number of classes, None without labels.
        floor: the real-against-real floor of FID.
        classifiers: labeller and judge, None without labels.
    """

    train: Split
    validation: Split
    test: Split
    feature_map: FeatureMap
    test_features: Float[Tensor, "n_test D"]
    pool_features: Float[Tensor, "p D"]
    n_classes: int | None = None
    floor: Floor | None = None
    classifiers: Classifiers | None = None


def build_reference(
    train: Split,
    validation: Split,
    test: Split,
    *,
    n_classes: int | None,
    feature_map: FeatureMap,
    n: int,
    n_pool: int,
    n_classifier: int,
    epochs: int | None,
    seed: int,
) -> Reference:
    """Compute the reference of a data set in one feature space.

    Args:
        train, validation, test: the real data.
        n_classes: the number of classes, None without labels.
        feature_map: the feature space.
        n: the number of draws that samplers will be measured with; the floor is taken at the same size.
        n_pool: so many training images, at most, give features for the floor and its range; 2 n is enough.
        n_classifier: so many images, at most, train each classifier of synthetic draws and each ceiling.
        epochs: passes of every classifier over its images, None for the rule of `fit_classifier`.
        seed: seeds the choice of images and the classifiers.
    """
    rows = torch.randperm(len(train), generator=stream(seed, "pool"))[:n_pool]
    reference = Reference(
        train,
        validation,
        test,
        feature_map,
        test_features=extract(feature_map, test.x),
        pool_features=extract(feature_map, train.x[rows]),
        n_classes=n_classes,
    )
    labelled = n_classes is not None and train.label is not None and test.label is not None
    classifiers = _classifiers(train, test, n_classes, n_classifier, epochs, seed) if labelled else None
    return replace(reference, floor=compute_floor(reference, n, seed=seed), classifiers=classifiers)


def compute_floor(reference: Reference, n: int, *, seed: int, n_repeats: int = 20) -> Floor | None:
    """Return the floor for n draws, None where there are not two images on each side.

    Args:
        reference: its features are used.
        n: the number of training images, cut to the pool's size.
        seed: seeds the random subsets.
        n_repeats: pairs of subsets behind the range.
    """
    pool, test = reference.pool_features, reference.test_features
    n = min(n, len(pool))
    if min(n, len(test)) < 2:
        return None
    value = frechet_from_features(pool[:n], test).value
    n_range = min(n, len(test), len(pool) // 2)
    low = high = None
    if n_range >= 2:
        generator = stream(seed, "floor", n)
        low, high = frechet_null_interval(pool, n_range, n_range, generator=generator, n_repeats=n_repeats)
    null_bias = frechet_null_bias(sample_moments(test)[1], n, len(test))
    return Floor(value, n, len(test), low, high, n_range, null_bias)


def _classifiers(
    train: Split, test: Split, n_classes: int | None, n_train: int, epochs: int | None, seed: int
) -> Classifiers:
    if train.label is None or n_classes is None:
        raise ValueError("classifiers need labelled training images")
    order = torch.randperm(len(train), generator=stream(seed, "halves"))
    half_a, half_b = order[: len(train) // 2], order[len(train) // 2 :]

    def fit(x: Tensor, label: Tensor, name: str) -> Classifier:
        return fit_classifier(
            x, label, n_classes=n_classes, generator=stream(seed, "classifier", name), epochs=epochs
        )

    labeller = fit(train.x[half_a], train.label[half_a], "labeller")
    judge = fit(train.x[half_b], train.label[half_b], "judge")
    few = half_b[:n_train]
    ceilings = {"source": train.label[few], "labeller": labeller.predict(train.x[few])}
    predictions = {name: fit(train.x[few], label, name).predict(test.x) for name, label in ceilings.items()}
    return Classifiers(labeller, judge, len(few), epochs, {"": judge.predict(test.x), **predictions})


def save_reference(reference: Reference, directory: Path) -> None:
    """Write all but the data and the feature map, as one safetensors file and one JSON file."""
    tensors = {"test_features": reference.test_features, "pool_features": reference.pool_features}
    facts: dict[str, Any] = {
        "space": reference.feature_map.name,
        "n_classes": reference.n_classes,
        "floor": None if reference.floor is None else vars(reference.floor),
        "classifiers": None,
    }
    found = reference.classifiers
    if found is not None:
        networks = {"labeller": found.labeller, "judge": found.judge}
        for name, network in networks.items():
            tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        tensors |= {f"predictions.{key}": value for key, value in found.predictions.items()}
        facts["classifiers"] = {
            "n_train": found.n_train,
            "epochs": found.epochs,
            "predictions": list(found.predictions),
            **{name: network.facts() for name, network in networks.items()},
        }
    save_tensors(directory / _TENSORS, tensors)
    save_json(directory / _FACTS, facts)


def load_reference(
    directory: Path, train: Split, validation: Split, test: Split, feature_map: FeatureMap
) -> Reference:
    """Read what `save_reference` wrote, for the same data and feature map.

    Raises:
        ValueError: the feature map is of another space.
    """
    facts, tensors = load_json(directory / _FACTS), load_tensors(directory / _TENSORS)
    if facts["space"] != feature_map.name:
        raise ValueError(f"{directory}: features of {facts['space']}, expected {feature_map.name}")

    def network(name: str) -> Classifier:
        prefix = f"{name}."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        return restore_classifier(facts["classifiers"][name], own)

    classifiers = None
    if facts["classifiers"] is not None:
        keys = facts["classifiers"]["predictions"]
        predictions = {key: tensors[f"predictions.{key}"] for key in keys}
        found = facts["classifiers"]
        classifiers = Classifiers(
            network("labeller"), network("judge"), found["n_train"], found["epochs"], predictions
        )
    return Reference(
        train,
        validation,
        test,
        feature_map,
        tensors["test_features"],
        tensors["pool_features"],
        facts["n_classes"],
        None if facts["floor"] is None else Floor(**facts["floor"]),
        classifiers,
    )

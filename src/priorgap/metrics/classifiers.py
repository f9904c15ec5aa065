"""Classifiers of real images: a labeller, a judge, and the ceilings of accuracy; shared by all models."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from priorgap.core.artifacts import load_json, load_tensors, save_json, save_tensors
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.features.classifier import Classifier, fit_classifier, restore_classifier

_FACTS = "classifiers.json"
_TENSORS = "classifiers.safetensors"


@dataclass(frozen=True, eq=False)
class Classifiers:
    """Classifiers of real images, and what comes of them on the real test images.

    Half A and half B are random, disjoint halves of the training images.

    Attributes:
        labeller: trained on half A with the true labels; it labels the draws of every sampler.
        judge: trained on half B with the true labels; it judges labelled draws and never saw half A.
        n_train: so many images, at most, train a classifier of synthetic draws; the ceilings use as many.
        epochs: passes over them, None for the rule of `fit_classifier`.
        predictions: classes of the test images, by real-trained classifiers: key "" by the judge; "source" by
            one trained on n_train images of half B with true labels; "labeller" on the same with the labeller's.
    """

    labeller: Classifier
    judge: Classifier
    n_train: int
    epochs: int | None
    predictions: Mapping[str, Int[Tensor, "n_test"]]

    def label(self, x: Tensor) -> Int[Tensor, "n"]:
        """Return the labeller's classes of stored or float images."""
        return self.labeller.predict(x)


def fit_classifiers(
    train: Split,
    test: Split,
    n_classes: int,
    *,
    n_train: int,
    epochs: int | None,
    seed: int,
    width: int = 16,
    n_features: int = 64,
) -> Classifiers:
    """Fit labeller, judge and the two ceilings.

    Args:
        train, test: labelled real images.
        n_classes: the number of classes.
        n_train: so many images, at most, train each ceiling, and each classifier of synthetic draws.
        epochs: passes of every classifier over its images, None for the rule of `fit_classifier`.
        seed: seeds the halves and the classifiers.
        width, n_features: sizes of every classifier.

    Raises:
        ValueError: the training images have no labels.
    """
    if train.label is None:
        raise ValueError("classifiers need labelled training images")
    order = torch.randperm(len(train), generator=stream(seed, "halves"))
    half_a, half_b = order[: len(train) // 2], order[len(train) // 2 :]

    def fit(x: Tensor, label: Tensor, name: str) -> Classifier:
        return fit_classifier(
            x,
            label,
            n_classes=n_classes,
            generator=stream(seed, "classifier", name),
            epochs=epochs,
            width=width,
            n_features=n_features,
        )

    labeller = fit(train.x[half_a], train.label[half_a], "labeller")
    judge = fit(train.x[half_b], train.label[half_b], "judge")
    few = half_b[:n_train]
    ceilings = {"source": train.label[few], "labeller": labeller.predict(train.x[few])}
    predictions = {name: fit(train.x[few], label, name).predict(test.x) for name, label in ceilings.items()}
    return Classifiers(labeller, judge, len(few), epochs, {"": judge.predict(test.x), **predictions})


def save_classifiers(found: Classifiers, directory: Path) -> None:
    """Write networks and predictions, as one safetensors file and one JSON file."""
    networks = {"labeller": found.labeller, "judge": found.judge}
    tensors = {f"predictions.{key}": value for key, value in found.predictions.items()}
    for name, network in networks.items():
        tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    facts = {
        "n_train": found.n_train,
        "epochs": found.epochs,
        "predictions": list(found.predictions),
        **{name: network.facts() for name, network in networks.items()},
    }
    save_tensors(directory / _TENSORS, tensors)
    save_json(directory / _FACTS, facts)


def load_classifiers(directory: Path) -> Classifiers | None:
    """Read what `save_classifiers` wrote, None where it wrote nothing."""
    if not (directory / _FACTS).is_file():
        return None
    facts, tensors = load_json(directory / _FACTS), load_tensors(directory / _TENSORS)

    def network(name: str) -> Classifier:
        prefix = f"{name}."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        return restore_classifier(facts[name], own)

    predictions = {key: tensors[f"predictions.{key}"] for key in facts["predictions"]}
    return Classifiers(network("labeller"), network("judge"), facts["n_train"], facts["epochs"], predictions)

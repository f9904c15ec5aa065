"""Classifiers of real images, shared by all models: a labeller, a judge, and the ceilings of accuracy."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from priorgap.core.artifacts import load_json, load_tensors, save_json, save_tensors
from priorgap.core.random import child, stream
from priorgap.data.splits import Split
from priorgap.estimators.uncertainty import Estimate, proportion_estimate
from priorgap.features.classifier import Classifier, Recipe, fit_classifier, restore_classifier

_FACTS = "classifiers.json"
_TENSORS = "classifiers.safetensors"


@dataclass(frozen=True, eq=False)
class Classifiers:
    """Classifiers of real images, and their predictions on the real test images.

    Half A and half B are random, disjoint halves of the training images.

    Attributes:
        labeller: trained on half A with the true labels; it labels the draws of every sampler.
        judge: trained on half B with the true labels; it judges labelled draws and never saw half A.
        n_train: the largest number of images that train a classifier of synthetic draws; the ceilings use the same
            number.
        n_seeds: the number of classifiers, each trained on other draws where there are enough.
        epochs: passes over the images; None for the rule of `recipe`.
        recipe: how each of them is trained.
        predictions: classes of the test images, predicted by classifiers trained on real images, a row each: key ""
            by the judge; "source" by n_seeds trained on n_train images of half B with true labels; "labeller" on the
            same with the labeller's.
    """

    labeller: Classifier
    judge: Classifier
    n_train: int
    n_seeds: int
    epochs: int | None
    recipe: Recipe
    predictions: Mapping[str, Int[Tensor, "s n_test"]]

    def label(self, x: Tensor) -> Int[Tensor, "n"]:
        """Return the labeller's predictions for stored or float images."""
        return self.labeller.predict(x)

    def trained_on(
        self, x: Tensor, label: Int[Tensor, "n"], test: Split, n_classes: int, *, generator: torch.Generator
    ) -> Int[Tensor, "s n_test"]:
        """Return predictions for the test images by classifiers trained on draws, a row each."""
        spec = self.judge.spec
        return predicted_by_shares(
            x, label, test, n_classes=n_classes, n_train=self.n_train, n_seeds=self.n_seeds, epochs=self.epochs,
            recipe=self.recipe, width=spec.width, n_features=spec.n_features, generator=generator,
        )  # fmt: skip


def predicted_by_shares(
    x: Tensor,
    label: Int[Tensor, "n"],
    test: Split,
    *,
    n_classes: int,
    n_train: int,
    n_seeds: int,
    epochs: int | None,
    recipe: Recipe,
    width: int,
    n_features: int,
    generator: torch.Generator,
) -> Int[Tensor, "s n_test"]:
    """Return predictions for the test images by n_seeds classifiers, each trained on at most n_train rows of x.

    Together they take as many steps as one classifier that is trained on all of these rows.
    """
    n = min(n_train, len(x))
    found = []
    for rows in shares(len(x), n, n_seeds):
        fitted = fit_classifier(
            x[rows], label[rows], n_classes=n_classes, generator=child(generator),
            recipe=recipe, epochs=epochs, together=n_seeds * n,
            width=width, n_features=n_features,
        )  # fmt: skip
        found.append(fitted.predict(test.x))
    return torch.stack(found)


def shares(n_rows: int, n: int, n_seeds: int) -> Iterator[Int[Tensor, "n"]]:
    """Yield the training rows of each classifier, at most n; they are disjoint where there are enough."""
    n = min(n, n_rows)
    for seed in range(n_seeds):
        yield (torch.arange(n) + seed * n) % n_rows


def accuracies(
    hits: Bool[Tensor, "s n_test"], label: Int[Tensor, "n_test"], n_classes: int
) -> dict[str, Estimate]:
    """Return the mean accuracy of several classifiers, overall ("") and by class of the test images.

    The standard error has two parts: over trainings (their variance / s) and over test images (binomial, as for one
    classifier).

    Args:
        hits: whether each classifier predicts each test image's class.
        label: the test images' classes.
        n_classes: the number of classes; those without test images are left out.
    """
    found: dict[str, Estimate] = {}
    for unit in ["", *range(n_classes)]:
        own = hits if unit == "" else hits[:, label == unit]
        n = own.shape[1]
        if n == 0:
            continue
        by_seed = own.double().mean(1)
        of_seeds = float(by_seed.var()) / len(hits) if len(hits) > 1 else 0.0
        of_images = proportion_estimate(float(by_seed.mean()) * n, n).std_error or 0.0
        found[str(unit)] = Estimate(float(by_seed.mean()), math.hypot(math.sqrt(of_seeds), of_images))
    return found


def fit_classifiers(
    train: Split,
    test: Split,
    n_classes: int,
    *,
    n_train: int,
    epochs: int | None,
    recipe: Recipe,
    seed: int,
    n_seeds: int = 2,
    width: int = 16,
    n_features: int = 64,
) -> Classifiers:
    """Fit labeller, judge and the two ceilings.

    Args:
        train, test: labelled real images.
        n_classes: the number of classes.
        n_train: the largest number of images that train each ceiling, and each classifier of synthetic draws.
        epochs: passes of every classifier over its images, None for the rule of `recipe`.
        recipe: how each classifier is trained.
        seed: seeds the halves and the classifiers.
        n_seeds: the number of classifiers for each ceiling, and for each sampler's draws.
        width, n_features: sizes of every classifier.

    Raises:
        ValueError: the training images have no labels.
    """
    if train.label is None:
        raise ValueError("classifiers need labelled training images")
    order = torch.randperm(len(train), generator=stream(seed, "halves"))
    half_a, half_b = order[: len(train) // 2], order[len(train) // 2 :]

    def fit(x: Tensor, label: Tensor, *names: str | int) -> Classifier:
        return fit_classifier(
            x, label, n_classes=n_classes, generator=stream(seed, "classifier", *names), recipe=recipe,
            epochs=epochs, width=width, n_features=n_features,
        )  # fmt: skip

    labeller = fit(train.x[half_a], train.label[half_a], "labeller")
    judge = fit(train.x[half_b], train.label[half_b], "judge")
    few = half_b[: n_train * n_seeds]
    ceilings = {"source": train.label[few], "labeller": labeller.predict(train.x[few])}
    predictions = {
        name: predicted_by_shares(
            train.x[few], label, test, n_classes=n_classes, n_train=n_train, n_seeds=n_seeds, epochs=epochs,
            recipe=recipe, width=width, n_features=n_features, generator=stream(seed, "classifier", name),
        )
        for name, label in ceilings.items()
    }  # fmt: skip
    by_judge = {"": judge.predict(test.x)[None]}
    n = min(n_train, len(few))
    return Classifiers(labeller, judge, n, n_seeds, epochs, recipe, {**by_judge, **predictions})


def save_classifiers(found: Classifiers, directory: Path) -> None:
    """Write networks and predictions, as one safetensors file and one JSON file."""
    networks = {"labeller": found.labeller, "judge": found.judge}
    tensors = {f"predictions.{key}": value for key, value in found.predictions.items()}
    for name, network in networks.items():
        tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    facts = {
        "n_train": found.n_train,
        "n_seeds": found.n_seeds,
        "epochs": found.epochs,
        "recipe": asdict(found.recipe),
        "predictions": list(found.predictions),
        **{name: network.facts() for name, network in networks.items()},
    }
    save_tensors(directory / _TENSORS, tensors)
    save_json(directory / _FACTS, facts)


def load_classifiers(directory: Path) -> Classifiers | None:
    """Read what `save_classifiers` wrote; None where it wrote nothing."""
    if not (directory / _FACTS).is_file():
        return None
    facts, tensors = load_json(directory / _FACTS), load_tensors(directory / _TENSORS)

    def network(name: str) -> Classifier:
        prefix = f"{name}."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        return restore_classifier(facts[name], own)

    predictions = {key: tensors[f"predictions.{key}"] for key in facts["predictions"]}
    return Classifiers(
        network("labeller"), network("judge"), facts["n_train"], facts["n_seeds"], facts["epochs"],
        Recipe(**facts["recipe"]), predictions,
    )  # fmt: skip

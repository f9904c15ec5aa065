"""The worth of draws as training data: accuracy over classifier seeds, and the equivalent number of real images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import stream
from priorgap.estimators.sample_value import real_equivalent
from priorgap.estimators.uncertainty import Estimate
from priorgap.features.classifier import fit_classifier
from priorgap.metrics.classifiers import Classifiers, accuracies
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference

_NEEDS = frozenset({"reference", "labels", "classifiers"})
Accuracies = dict[str, Estimate]


def _known(model: ModelEvidence) -> tuple[Reference, Classifiers, Tensor, Tensor, int]:
    reference = model.reference
    assert reference is not None
    assert reference.classifiers is not None
    assert reference.n_classes is not None
    if reference.train.label is None or reference.test.label is None:
        raise NotApplicable("the training or the test images have no labels")
    return (
        reference, reference.classifiers, reference.train.label, reference.test.label, reference.n_classes
    )  # fmt: skip


def _accuracies(
    model: ModelEvidence, x: Tensor, label: Tensor, n_seeds: int, *names: str | int
) -> Accuracies:
    reference, classifiers, _, test_label, n_classes = _known(model)
    hits = []
    for seed in range(n_seeds):
        fitted = fit_classifier(
            x, label, n_classes=n_classes, generator=stream(model.seed, "worth", *names, seed),
            recipe=classifiers.recipe, epochs=classifiers.epochs,
        )  # fmt: skip
        hits.append(fitted.predict(reference.test.x) == test_label)
    return accuracies(torch.stack(hits), test_label, n_classes)


def accuracy_curve(model: ModelEvidence, sizes: Sequence[int], n_seeds: int) -> dict[int, Accuracies]:
    """Return real-to-real accuracies for growing numbers of real training images, cached with the model.

    The training sets are nested random subsets with true labels; sizes above the number of images are left out.
    """
    reference, _, label, _, _ = _known(model)
    found: dict[int, Accuracies] = {}
    order = torch.randperm(len(reference.train), generator=stream(model.seed, "worth", "order"))
    for size in sizes:
        if size > len(reference.train):
            continue
        key = (f"accuracy at {size} real images", n_seeds)
        if key not in model.memo:
            rows = order[:size]
            x, y = reference.train.x[rows], label[rows]
            model.memo[key] = _accuracies(model, x, y, n_seeds, "real", size)
        found[size] = model.memo[key]
    return found


def _check(sizes: Sequence[int], n_seeds: int) -> None:
    if len(sizes) < 2 or sorted(set(sizes)) != list(sizes) or min(sizes) < 2 or n_seeds < 2:
        raise ValueError(
            f"sizes={list(sizes)}, n_seeds={n_seeds}: expected at least 2 increasing sizes, at least 2 seeds"
        )


@dataclass(frozen=True)
class AccuracyCurve:
    """`accuracy_by_size`: real-to-real accuracy, the number of real training images in `unit`.

    Attributes:
        sizes: numbers of real training images.
        n_seeds: the number of classifiers for each size.
    """

    sizes: Sequence[int]
    n_seeds: int
    name: ClassVar[str] = "accuracy_by_size"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("accuracy_by_size")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        _check(self.sizes, self.n_seeds)

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return one row for each size, over all classes; n counts test images."""
        require(evidence, self.needs)
        _, _, _, test_label, _ = _known(evidence.model)
        curve = accuracy_curve(evidence.model, self.sizes, self.n_seeds)
        if not curve:
            raise NotApplicable(f"fewer than {self.sizes[0]} training images")
        n = len(test_label)
        return [
            measured(
                self.name, of_size[""], n=n, n_reference=size, space="data", unit=size, label_source="source"
            )
            for size, of_size in curve.items()
        ]


@dataclass(frozen=True)
class RealEquivalent:
    """`accuracy_over_seeds` (whole and by class) of classifiers trained on draws, and `real_equivalent`.

    real_equivalent: the number of correctly labelled real images that train a classifier of the same accuracy; bound
    lower (at least) beyond the curve's end, upper (at most) before its start. Both are given for the labeller's
    labels, and for the draws' own labels where they have some.

    Attributes:
        sizes: numbers of real training images of the curve.
        n_seeds: the number of classifiers for each size and label source.
    """

    sizes: Sequence[int]
    n_seeds: int
    name: ClassVar[str] = "real_equivalent"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("accuracy_over_seeds", "real_equivalent")
    needs: ClassVar[frozenset[str]] = _NEEDS | {"draw", "decode"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        _check(self.sizes, self.n_seeds)

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the rows of each label source; n counts test images, n_reference the training draws."""
        require(evidence, self.needs)
        model = evidence.model
        _, _, _, test_label, _ = _known(model)
        curve = accuracy_curve(model, self.sizes, self.n_seeds)
        if len(curve) < 2:
            raise NotApplicable(f"fewer than {self.sizes[1]} training images: there is no curve")
        labels = {"labeller": evidence.labeller_labels}
        if evidence.samples.label is not None and evidence.label_source:
            labels[evidence.label_source] = evidence.samples.label
        x, rows = evidence.samples.x, []
        for source, label in labels.items():
            found = _accuracies(model, x, label[: len(x)], self.n_seeds, "draws", source)
            for unit, value in found.items():
                rows.append(
                    measured(
                        "accuracy_over_seeds", value, n=len(test_label), n_reference=len(x), space="data",
                        unit=unit, label_source=source,
                    )
                )  # fmt: skip
            worth = real_equivalent(found[""], list(curve), [c[""] for c in curve.values()])
            rows.append(
                measured(
                    self.name, worth.value, n=len(test_label), n_reference=len(x), space="data",
                    bound=worth.side, label_source=source,
                )
            )  # fmt: skip
        return rows

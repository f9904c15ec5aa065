"""Classifier accuracy on synthetic data in both directions, its ceilings, and the balance of classes."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import child
from priorgap.estimators.uncertainty import Estimate, proportion_estimate
from priorgap.metrics.classifiers import Classifiers, accuracies
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference

_NEEDS = frozenset({"reference", "labels", "classifiers"})


def _known(evidence: Evidence) -> tuple[Reference, Classifiers, Int[Tensor, "n_test"], int]:
    """Return reference, classifiers, test labels and number of classes; call it after `require`."""
    reference = evidence.model.reference
    if reference is None or reference.classifiers is None or reference.n_classes is None:
        raise NotApplicable("the data have no labels")
    if reference.test.label is None:
        raise NotApplicable("the test images have no labels")
    return reference, reference.classifiers, reference.test.label, reference.n_classes


def _accuracies(
    measure: str,
    predicted: Int[Tensor, "s n"],
    label: Int[Tensor, "n"],
    n_classes: int,
    *,
    n_reference: int,
    label_source: str,
) -> list[Measurement]:
    """Return the mean accuracy of s classifiers (unit ""), and for each class that occurs in `label`."""
    return [
        measured(
            measure,
            value,
            n=len(label) if unit == "" else int((label == int(unit)).sum()),
            n_reference=n_reference,
            space="data",
            unit=unit,
            label_source=label_source,
        )
        for unit, value in accuracies(predicted == label, label, n_classes).items()
    ]


@dataclass(frozen=True)
class RealToSynthetic:
    """`accuracy_real_to_synthetic`: do labelled draws look like their label, to a judge of real images?

    For samplers whose draws carry labels (source or condition); per class in `unit`. There is no value for others,
    because scoring a classifier's own labels would be circular.
    """

    name: ClassVar[str] = "accuracy_real_to_synthetic"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("accuracy_real_to_synthetic")
    needs: ClassVar[frozenset[str]] = _NEEDS | {"draw", "decode", "label_source"}

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the judge's accuracy on all draws; n_reference is the number of images that trained it."""
        require(evidence, self.needs)
        reference, classifiers, _, n_classes = _known(evidence)
        label = evidence.samples.label
        if label is None:
            raise NotApplicable("unlabelled: the sampler's draws carry no label of their own")
        return _accuracies(
            self.name,
            classifiers.judge.predict(evidence.samples.x)[None],
            label,
            n_classes,
            n_reference=len(reference.train) - len(reference.train) // 2,
            label_source=evidence.label_source,
        )


@dataclass(frozen=True)
class SyntheticToReal:
    """`accuracy_synthetic_to_real`: classifiers trained on draws, tested on the real test images; their mean.

    Draws are labelled by the labeller for every sampler, and by their own labels where they have some. Compare
    samplers only at equal label_source. The standard error includes the variance over trainings (each on other draws
    where there are enough) and over test images. `reference.classifier` in conf/config.yaml sets the number of
    classifiers and of draws.

    Attributes:
        own_labels: whether classifiers are also trained on the draws' own labels.
    """

    own_labels: bool
    name: ClassVar[str] = "accuracy_synthetic_to_real"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("accuracy_synthetic_to_real")
    needs: ClassVar[frozenset[str]] = _NEEDS | {"draw", "decode"}

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return accuracies by label source; n counts test images, n_reference the training draws."""
        require(evidence, self.needs)
        reference, classifiers, test_label, n_classes = _known(evidence)
        labels = {"labeller": evidence.labeller_labels}
        own = evidence.samples.label
        if self.own_labels and own is not None and evidence.label_source:
            labels[evidence.label_source] = own
        x = evidence.samples.x
        rows = []
        for source, label in labels.items():
            rows += _accuracies(
                self.name,
                classifiers.trained_on(x, label, reference.test, n_classes, generator=child(generator)),
                test_label,
                n_classes,
                n_reference=min(len(x), classifiers.n_train),
                label_source=source,
            )
        return rows


@dataclass(frozen=True)
class RealToReal:
    """`accuracy_real_to_real`: the ceilings, real-trained classifiers on the real test images.

    label_source "": the judge's accuracy, the ceiling of real_to_synthetic. "source": trained on as many images as a
    sampler gives, with true labels; the ceiling of synthetic_to_real with own labels. "labeller": the same with the
    labeller's labels.
    """

    name: ClassVar[str] = "accuracy_real_to_real"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("accuracy_real_to_real")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the three ceilings, each also per class; n_reference is the number of training images."""
        require(evidence, self.needs)
        reference, classifiers, test_label, n_classes = _known(evidence)
        half = len(reference.train) - len(reference.train) // 2
        rows = []
        for source, predicted in classifiers.predictions.items():
            rows += _accuracies(
                self.name,
                predicted,
                test_label,
                n_classes,
                n_reference=half if source == "" else classifiers.n_train,
                label_source=source,
            )
        return rows


@dataclass(frozen=True)
class ClassBalance:
    """`class_balance`: total variation between class shares of draws and of test images; 0 is best, 1 worst.

    Both sides are labelled by the labeller, so that its errors cancel; `class_share` gives the draws' shares
    per class. Biased upwards where shares are equal, by about sqrt(k (1/n + 1/n_reference) / 2 pi) for k classes.
    """

    name: ClassVar[str] = "class_balance"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("class_balance", "class_share")
    needs: ClassVar[frozenset[str]] = _NEEDS | {"draw", "decode"}

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the distance and the shares."""
        require(evidence, self.needs)
        reference, classifiers, _, n_classes = _known(evidence)
        synthetic, real = evidence.labeller_labels, classifiers.label(reference.test.x)
        n, m = len(synthetic), len(real)
        shares = [x.bincount(minlength=n_classes).double() / len(x) for x in (synthetic, real)]
        sign = (shares[0] - shares[1]).sign()
        variance = sum(
            float((share * sign.square()).sum() - (share * sign).sum() ** 2) / size
            for share, size in zip(shares, (n, m), strict=True)
        )
        gap = float((shares[0] - shares[1]).abs().sum())
        distance = Estimate(0.5 * gap, 0.5 * math.sqrt(max(variance, 0)))
        found: list[tuple[str, str, Estimate]] = [("class_balance", "", distance)]
        for unit in range(n_classes):
            hits = float((synthetic == unit).sum())
            found.append(("class_share", str(unit), proportion_estimate(hits, n)))
        return [
            measured(name, value, n=n, n_reference=m, space="data", unit=unit, label_source="labeller")
            for name, unit, value in found
        ]

"""The worth of samples for prediction: trained on them and tested on real rows, compared with real training rows."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import OF_DATA, Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import draw_seed
from priorgap.data.splits import Split
from priorgap.estimators.areas import paired_areas
from priorgap.estimators.detection import Score, boosted_trees, ridge
from priorgap.metrics.detection import fixed_rocket
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.tables import numeric_of
from priorgap.tables.layout import Column, TableLayout


@dataclass(frozen=True)
class TrainOnSynthetic:
    """`tstr_auc`, `trtr_auc`, `tstr_gap`: trained on samples, on as many real rows, and the first less the second.

    Each is the one-against-rest area under the ROC curve on test rows, averaged over classes. For tables with a
    categorical target, boosted trees predict it from the other columns. For other rows the draws' own labels are
    predicted, for series by ridge regression on random convolutions.

    Attributes:
        n_kernels: the number of random convolutions for series, two features each.
        n_most: the largest number of training rows.
    """

    n_kernels: Annotated[int, AtLeast(1)]
    n_most: Annotated[int, AtLeast(20)]
    name: ClassVar[str] = "tstr"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("tstr_auc", "trtr_auc", "tstr_gap")
    needs: ClassVar[frozenset[str]] = frozenset({"draw", "decode", "reference", "values"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the three rows; n counts test rows, n_reference the rows of each training."""
        require(evidence, self.needs)
        reference = evidence.model.reference
        if reference is None:
            raise NotApplicable("there are no reference data")
        parts = (evidence.samples, reference.train, reference.test)
        labels, n_classes, source = _labels(*parts, source=evidence.label_source)
        known = [torch.nonzero(label >= 0).flatten() for label in labels]
        n = min(len(known[0]), len(known[1]), self.n_most)
        if n < 2:
            raise NotApplicable(f"{n} samples have a class of the training rows: expected at least 2")
        rows = [
            *(own[torch.randperm(len(own), generator=generator)[:n].sort().values] for own in known[:2]),
            known[2],
        ]
        made, train, test = (part.take(index) for part, index in zip(parts, rows, strict=True))
        x, score = self._features(made, train, test, seed=draw_seed(generator))
        own = [label[index] for label, index in zip(labels, rows, strict=True)]
        scores = [class_scores(x[k], own[k], x[2], score, n_classes=n_classes) for k in (0, 1)]
        try:
            found = paired_areas(scores[0], scores[1], own[2])
        except ValueError as error:
            raise NotApplicable(str(error)) from error
        return [
            measured(name, one, n=len(test), n_reference=n, space=OF_DATA, label_source=source)
            for name, one in zip((m.name for m in self.measures), found, strict=True)
        ]

    def _features(
        self, made: Split, train: Split, test: Split, *, seed: int
    ) -> tuple[list[Float[Tensor, "n D"]], Score]:
        """Return the classifier, and its features of samples, training and test rows."""
        if test.modality.sequences:
            rocket = fixed_rocket(train, self.n_kernels)
            return [rocket(part.floats()) for part in (made, train, test)], ridge
        if test.table is None:
            x = [part.floats().double() for part in (made, train, test)]
            return x, boosted_trees([False] * x[0].shape[1], seed=seed)
        from priorgap.estimators.table_columns import encoded

        layout = test.table
        others = [name for name in layout.names if name != layout.target]
        real, own = (layout.frame(part)[others] for part in (torch.cat([train.x, test.x]), made.x))
        numeric = [name for name in numeric_of(layout) if name != layout.target]
        both, first, categorical = encoded(real, own, numeric=numeric)
        return [first, both[: len(train)], both[len(train) :]], boosted_trees(categorical, seed=seed)


def class_scores(
    x: Float[Tensor, "n D"],
    label: Int[Tensor, "n"],
    held: Float[Tensor, "m D"],
    score: Score,
    *,
    n_classes: int,
) -> Float[Tensor, "m k"]:
    """Return each class's score against the others; 0 for a class that no training row has, or all have."""
    found = torch.zeros(len(held), n_classes, dtype=torch.float64)
    for k in range(n_classes):
        own = label == k
        if bool(own.any()) and not bool(own.all()):
            found[:, k] = score(x, own, held)
    return found


def _labels(
    made: Split, train: Split, test: Split, *, source: str
) -> tuple[list[Int[Tensor, "n"]], int, str]:
    """Return each row's class (-1 where training rows lack it), the number of classes, and the labels' source.

    Raises:
        NotApplicable: there are no classes.
    """
    layout = test.table
    if layout is not None:
        return _of_target(layout, (made, train, test)), len(_target(layout).categories), ""
    if train.label is None or test.label is None:
        raise NotApplicable("the data have no labels")
    if made.label is None or not source:
        raise NotApplicable("unlabelled: the sampler's draws carry no label of their own")
    n_classes = int(torch.cat([train.label, test.label]).max()) + 1
    return [made.label, train.label, test.label], n_classes, source


def _target(layout: TableLayout) -> Column:
    found = next((column for column in layout.columns if column.name == layout.target), None)
    if found is None:
        raise NotApplicable("the table has no target: set data.target")
    if found.numeric or found.constant:
        raise NotApplicable(f"the target {found.name} has no categories to predict")
    return found


def _of_target(layout: TableLayout, parts: tuple[Split, ...]) -> list[Int[Tensor, "n"]]:
    column = _target(layout)
    return [torch.from_numpy(column.chosen(part.x.numpy())) for part in parts]

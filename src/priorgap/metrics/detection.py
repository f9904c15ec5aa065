"""Whether a classifier can tell samples from test rows, compared with training rows from test rows."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import OF_DATA, Measurement
from priorgap.core.measures import Measure
from priorgap.core.random import draw_seed, stream
from priorgap.data.splits import Split
from priorgap.estimators.detection import Score, boosted_trees, detection_area, ridge
from priorgap.estimators.rocket import Rocket
from priorgap.estimators.series import blocks_of, stride_of
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference
from priorgap.metrics.tables import numeric_of

_NEEDS = frozenset({"reference", "values"})


@dataclass(frozen=True)
class Detection:
    """`detection_auc`: area under the ROC curve of a classifier between samples and test rows; 0.5 is best.

    It is cross-validated on as many samples as test rows. Tables and vectors: boosted trees on the columns. Series:
    ridge regression on random convolutions, with windows that share steps in one fold. Compare it with its floor.

    Attributes:
        n_folds: the number of parts in cross-validation.
        n_kernels: the number of random convolutions for series, two features each.
        n_most: the largest number of rows of each set.
    """

    n_folds: Annotated[int, AtLeast(2)]
    n_kernels: Annotated[int, AtLeast(1)]
    n_most: Annotated[int, AtLeast(20)]
    name: ClassVar[str] = "detection"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("detection_auc")
    needs: ClassVar[frozenset[str]] = _NEEDS | {"draw", "decode"}

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the area; n counts samples, n_reference test rows."""
        reference = _known(evidence, self.needs)
        return [self.area("detection_auc", evidence.samples, reference, generator=generator)]

    def area(
        self, name: str, rows: Split, reference: Reference, *, generator: torch.Generator
    ) -> Measurement:
        """Return the area between rows and test rows.

        Raises:
            NotApplicable: there are too few rows that share no values.
        """
        test = reference.test
        n = min(len(rows), len(test), self.n_most)
        picked = [torch.randperm(len(x), generator=generator)[:n].sort().values for x in (rows, test)]
        made, real = (x.take(index) for x, index in zip((rows, test), picked, strict=True))
        first, second, score = _features(made, real, reference.train, self.n_kernels, generator=generator)
        made_group, real_group = (
            _groups(x)[index] if x.modality.sequences else None
            for x, index in zip((rows, test), picked, strict=True)
        )
        try:
            found = detection_area(
                first, second, score, n_folds=self.n_folds, generator=generator,
                made_group=made_group, real_group=real_group,
            )  # fmt: skip
        except ValueError as error:
            raise NotApplicable(str(error)) from error
        return measured(name, found, n=n, n_reference=n, space=OF_DATA)


@dataclass(frozen=True)
class DetectionFloor:
    """`detection_auc_floor`: the same between real training rows and test rows; of series, the last windows.

    Attributes:
        n_folds, n_kernels, n_most: as in `Detection`.
    """

    n_folds: Annotated[int, AtLeast(2)]
    n_kernels: Annotated[int, AtLeast(1)]
    n_most: Annotated[int, AtLeast(20)]
    name: ClassVar[str] = "detection_floor"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("detection_auc_floor")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the area; n counts training rows, n_reference test rows."""
        reference = _known(evidence, self.needs)
        train = reference.train
        if train.modality.sequences:
            train = train.take(slice(-len(reference.test), None))
        same = Detection(self.n_folds, self.n_kernels, self.n_most)
        return [same.area("detection_auc_floor", train, reference, generator=generator)]


def _known(evidence: Evidence, needs: frozenset[str]) -> Reference:
    require(evidence, needs)
    if evidence.model.reference is None:
        raise NotApplicable("there are no reference data")
    return evidence.model.reference


def fixed_rocket(train: Split, n_kernels: int) -> Rocket:
    """Return the kernels that all windows of a shape share, with the scale of training windows."""
    x = train.floats()
    return Rocket.of(x, n_kernels=n_kernels, generator=stream(0, "rocket", *train.shape))


def _features(
    made: Split, real: Split, train: Split, n_kernels: int, *, generator: torch.Generator
) -> tuple[Float[Tensor, "n D"], Float[Tensor, "m D"], Score]:
    """Return the classifier, and its features of both sets."""
    if real.modality.sequences:
        rocket = fixed_rocket(train, n_kernels)
        return rocket(made.floats()), rocket(real.floats()), ridge
    seed = draw_seed(generator)
    if real.table is not None:
        from priorgap.estimators.table_columns import encoded

        # Rows are converted to the file's values, so that integers are whole and a category is one value.
        frames = (real.table.frame(x.x) for x in (real, made))
        y, x, categorical = encoded(*frames, numeric=numeric_of(real.table))
        return x, y, boosted_trees(categorical, seed=seed)
    x, y = made.floats().double(), real.floats().double()
    return x, y, boosted_trees([False] * x.shape[1], seed=seed)


def _groups(windows: Split) -> Int[Tensor, "n"]:
    """Return groups of windows that share steps: blocks, or each window by itself.

    Raises:
        NotApplicable: there are too few blocks.
    """
    x = windows.floats()
    if stride_of(x) is None:
        return torch.arange(len(x))
    block = blocks_of(x)
    if block is None:
        raise NotApplicable(f"{len(x)} windows that share steps: too few for folds that share none")
    return block

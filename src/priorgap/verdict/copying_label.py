"""The rule that decides from a cell's rows whether a sampler copies training images or the decoder memorises them."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import pandas as pd

from priorgap.core.measurement import NULL_UNKNOWN
from priorgap.estimators.uncertainty import normal_quantile
from priorgap.verdict.readings import Reading, add_reading, text_column

CopyingLabel = Literal["copies", "the decoder memorises"]

# near_copy_excess must exceed 0 by a whole percentage point, not only by its error, because blurred draws raise it,
# too.
_EXCESS_NULL = 0.01
_SHARE_NULL = 0.5
# The level of the joint rule's two limits, at which it errs less often than one of the exact limits, which hold
# together at .975.
_JOINT = 0.995

# Maps a model (seed) to its value.
_Values = dict[int, float]


class Row(NamedTuple):
    """One row of a sampler. A verdict reads all rows of every sampler, for which pandas' selections are slow."""

    measure: str
    space: str
    unit: str
    bound: str
    seed: int
    value: float
    std_error: float | None


def copying_label(table: pd.DataFrame, sampler: str, level: float) -> CopyingLabel | None:
    """Return the label of a sampler of one cell; None where nothing is shown.

    `copies`, where in every model of the cell one of these holds:
        identical_share: its exact lower limit lies above the upper one of test images;
        near_train_share, in any one space: its exact lower limit lies above 1/2 (and, where that null is not known,
        near_copy_share's above the upper one of test images).
    Or, over all models: near_copy_excess above one point and train_share above 1/2.
    `the decoder memorises`: train_share above 1/2 alone.

    Models of one cell may share their split into training and unseen images, and with it the error of their values.
    So exact limits must hold in every model, and a mean over models is given the error of one model
    (`shared_limit_exceeds`).

    Args:
        table: rows of one cell's models.
        sampler: the sampler's name.
        level: the two-sided level of the limit behind `the decoder memorises`.
    """
    rows = rows_of(table, sampler)
    if _identical(rows) or any(_near(rows, space) for space in spaces(rows, "near_copy_share")):
        return "copies"
    found: CopyingLabel | None = None
    for space in spaces(rows, "train_share"):
        share = _readings(rows, sampler, "train_share", space)
        excess = _readings(rows, sampler, "near_copy_excess", space)
        joint = [(share, _SHARE_NULL), (excess, _EXCESS_NULL)]
        if all(shared_limit_exceeds(values, null, _JOINT) for values, null in joint):
            return "copies"
        if shared_limit_exceeds(share, _SHARE_NULL, 0.5 + 0.5 * level):
            found = "the decoder memorises"
    return found


def shared_limit_exceeds(by_model: dict[int, Reading], null: float, level: float) -> bool:
    """Return whether the mean over models exceeds a null value by more than an error that all models may share.

    The error of the mean is taken as the mean of the models' errors, which is its largest possible value (errors do
    not average out if models share them). The result is False unless every model has an error.

    Args:
        by_model: each model's value and standard error.
        null: the value that the mean must exceed.
        level: the one-sided level.
    """
    errors = [reading.std_error for reading in by_model.values()]
    if not by_model or any(error is None for error in errors):
        return False
    mean = math.fsum(reading.value for reading in by_model.values()) / len(by_model)
    error = math.fsum(error for error in errors if error is not None) / len(by_model)
    return mean - normal_quantile(level) * error > null


def rows_of(table: pd.DataFrame, sampler: str) -> list[Row]:
    """Return a sampler's rows."""
    own = table[text_column(table, "sampler") == sampler]
    errors = own["std_error"] if "std_error" in own.columns else [None] * len(own)
    texts = (text_column(own, column) for column in ("space", "unit", "bound"))
    columns = zip(own["measure"], *texts, own["seed"], own["value"], errors, strict=True)
    return [
        Row(measure, space, unit, bound, int(seed), float(value), None if pd.isna(error) else float(error))
        for measure, space, unit, bound, seed, value, error in columns
    ]


def _identical(rows: Sequence[Row]) -> bool:
    return _above(
        limits(rows, "identical_share", "lower"),
        limits(rows, "identical_share_floor", "upper"),
    )


def _near(rows: Sequence[Row], space: str) -> bool:
    """Return whether near copies are of training images in every model that was searched in a space."""
    own = [row for row in rows if row.space == space]
    searched = limits(own, "near_copy_share", "lower")
    lower = limits(own, "near_train_share", "lower")
    # A model without near copies has no such row, and copies nothing.
    if not _above(lower, dict.fromkeys(searched, _SHARE_NULL)):
        return False
    known = all(row.unit != NULL_UNKNOWN for row in own if row.measure == "near_train_share")
    return known or _above(searched, limits(own, "near_copy_share_floor", "upper"))


def _above(values: _Values, nulls: _Values) -> bool:
    """Return whether every model of `nulls`, and at least one, has a value above its null."""
    return bool(nulls) and all(model in values and values[model] > null for model, null in nulls.items())


def limits(rows: Sequence[Row], measure: str, bound: str) -> _Values:
    """Return each model's limit of a measure."""
    return {row.seed: row.value for row in rows if row.measure == measure and row.bound == bound}


def _readings(rows: Sequence[Row], sampler: str, measure: str, space: str) -> dict[int, Reading]:
    """Return each model's value of a measure over all draws, in one space.

    Raises:
        ValueError: a model has two values.
    """
    found: dict[int, Reading] = {}
    for row in rows:
        whole = row.unit == "" and row.bound in ("", "point") and not math.isnan(row.value)
        if whole and (row.measure, row.space) == (measure, space):
            add_reading(found, sampler, row.seed, Reading(row.value, row.std_error))
    return found


def spaces(rows: Sequence[Row], measure: str) -> list[str]:
    """Return the feature spaces in which a measure was computed, sorted."""
    return sorted({row.space for row in rows if row.measure == measure})

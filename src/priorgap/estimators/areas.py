"""The area under the ROC curve, each row's part of it, and errors that count the rows of a group as one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_vector
from priorgap.estimators.uncertainty import Estimate


@dataclass(frozen=True, eq=False)
class Area:
    """P(score of a positive > score of a negative), ties counting half.

    Attributes:
        value: the area under the curve.
        positive: each positive's share of the negatives below it.
        negative: each negative's share of the positives above it.
    """

    value: float
    positive: Float[Tensor, "n"]
    negative: Float[Tensor, "m"]


def area(positive: Float[Tensor, "n"], negative: Float[Tensor, "m"]) -> Area:
    """Return the area under the ROC curve of scores.

    **Source**: Mann & Whitney (1947); the parts are those of DeLong, DeLong & Clarke-Pearson (1988).

    Raises:
        ValueError: either is empty or not finite.

    Example:
        >>> area(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0])).value
        0.875
    """
    check_vector("positive", positive)
    check_vector("negative", negative)
    of_positive, of_negative = _share_below(positive, negative), 1 - _share_below(negative, positive)
    return Area(float(of_positive.mean()), of_positive, of_negative)


def _share_below(x: Float[Tensor, "n"], others: Float[Tensor, "m"]) -> Float[Tensor, "n"]:
    ordered = others.contiguous().sort().values
    below = torch.searchsorted(ordered, x.contiguous())
    not_above = torch.searchsorted(ordered, x.contiguous(), right=True)
    return 0.5 * (below + not_above).double() / len(others)


def grouped_error(parts: Sequence[tuple[Float[Tensor, "_"], Int[Tensor, "_"]]]) -> float | None:
    """Return the standard error of a mean whose values come in groups, over one or more independent sets.

    The variance of a set is c / (c - 1) * sum over its c groups of (sum of the group's deviations / n)^2: for areas
    under the ROC curve this is Obuchowski's, and DeLong's where each row is a group of its own.

    Args:
        parts: for each set the values whose mean is taken, and each row's group.

    Returns:
        The standard error; None where a set has only one group.

    **Source**: Obuchowski (1997), "Nonparametric analysis of clustered ROC curve data".

    Example:
        >>> values, group = torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 1, 1])
        >>> round(grouped_error([(values, group)]), 6), round(grouped_error([(values, torch.arange(4))]), 3)
        (0.5, 0.289)
    """
    variance = 0.0
    for values, group in parts:
        _, index = group.unique(return_inverse=True)
        sums = torch.zeros(int(index.max()) + 1, dtype=torch.float64)
        sums.index_add_(0, index, values.double() - values.double().mean())
        if len(sums) < 2:
            return None
        variance += len(sums) / (len(sums) - 1) * float((sums / len(values)).square().sum())
    return math.sqrt(variance)


def paired_areas(
    first: Float[Tensor, "n k"], second: Float[Tensor, "n k"], label: Int[Tensor, "n"]
) -> tuple[Estimate, Estimate, Estimate]:
    """Return two classifiers' mean one-against-rest areas over classes, and the first minus the second.

    The error of the difference is paired, so that a row that both find hard adds little to it.

    Args:
        first, second: each classifier's scores of the same rows, by class.
        label: the rows' classes; a class with no row, or with all rows, has no area.

    Raises:
        ValueError: the shapes differ, or all rows are of one class.

    Example:
        >>> label = torch.tensor([0, 0, 1, 1])
        >>> right, wrong = torch.eye(2)[label], torch.eye(2)[1 - label]
        >>> [one.value for one in paired_areas(right, wrong, label)]
        [1.0, 0.0, 1.0]
    """
    if first.shape != second.shape or first.ndim != 2 or label.shape != first.shape[:1]:
        raise ValueError(
            f"scores {tuple(first.shape)} and {tuple(second.shape)} of {len(label)} rows: expected [n, k] twice"
        )
    (value, shares), (other, other_shares) = (_of_classes(scores, label) for scores in (first, second))
    return (
        Estimate(value, _of_rows(shares)),
        Estimate(other, _of_rows(other_shares)),
        Estimate(value - other, _of_rows(shares - other_shares)),
    )


def _of_classes(scores: Float[Tensor, "n k"], label: Int[Tensor, "n"]) -> tuple[float, Float[Tensor, "n"]]:
    """Return the mean area, and each row's contribution to its deviation from the expected value."""
    values, shares = [], torch.zeros(len(label), dtype=torch.float64)
    for k in range(scores.shape[1]):
        own = label == k
        if not bool(own.any()) or bool(own.all()):
            continue
        found = area(scores[own, k], scores[~own, k])
        values.append(found.value)
        shares[own] += (found.positive - found.value) / len(found.positive)
        shares[~own] += (found.negative - found.value) / len(found.negative)
    if not values:
        raise ValueError("the rows are of one class: expected two or more")
    return sum(values) / len(values), shares / len(values)


def _of_rows(shares: Float[Tensor, "n"]) -> float:
    n = len(shares)
    return math.sqrt(n / (n - 1) * float(shares.square().sum()))

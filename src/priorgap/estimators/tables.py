"""Similarity of two tables: values of each column, dependence of each pair of columns, and rare categories.

Scores of columns and of pairs are those of SDMetrics' quality report, which treat missing values in the same way.
Standard errors leave out groups of rows of either table.
"""

import itertools
import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from priorgap.estimators.table_columns import Array, TableColumn, table_columns
from priorgap.estimators.uncertainty import Estimate, jackknife_estimate

N_GROUPS, LEAST_ROWS = 30, 60
# SDMetrics rounds numbers to this many decimals before it compares them.
_DECIMALS = 14
# SDMetrics counts a category that only the other table has as this many real rows.
_UNSEEN = 1e-6


@dataclass(frozen=True)
class TableScore:
    """The mean of a score over columns (or pairs of columns), and the score of each.

    Attributes:
        whole: the mean over those that have a score.
        parts: scores by column, or by pair as "a × b"; None where there is no score, because the column is constant
            or missing.
    """

    whole: Estimate
    parts: dict[str, Estimate | None]

    @property
    def scores(self) -> dict[str, Estimate]:
        """The scores that exist."""
        return {name: one for name, one in self.parts.items() if one is not None}


@dataclass(frozen=True)
class RareCategories:
    """Categories of a reference table below some frequency, in another table.

    Attributes:
        n: the number of rare categories.
        share: the share of them that occur in the other table; it grows with the number of rows.
        mass: their share of the other table's rows over their share of the reference's rows; 1 for equal tables.
    """

    n: int
    share: float
    mass: Estimate


# The value from all rows, and the values with one group of rows of the first or of the second table left out.
_Left = tuple[float, Array, Array]


def column_shapes(real: pd.DataFrame, made: pd.DataFrame, *, numeric: Collection[str]) -> TableScore:
    """Compare each column's values.

    1 - D of Kolmogorov and Smirnov for numbers and dates, 1 - total variation for categories; missing values are left
    out, and a column without any other has no score.

    Args:
        real, made: tables with the same columns.
        numeric: the columns of numbers and dates; the others hold categories.

    Returns:
        0 to 1, 1 for equal columns; biased downwards by about the error, less so for larger tables.

    Raises:
        ValueError: the tables have other columns, no rows, or no column has a score.

    Example:
        >>> table = pd.DataFrame({"age": [30, 40, 50], "city": ["a", "b", "b"]})
        >>> column_shapes(table, table, numeric=["age"]).whole.value
        1.0
    """
    found: dict[str, _Left | None] = {}
    for column in table_columns(real, made, numeric):
        if column.numeric:
            left = _distribution_gap(column.real, column.made)
        else:
            left = _share_gap(column.real, column.made, unseen=_UNSEEN)
        found[column.name] = _checked(left)
    return _score(found, "column")


def pair_trends(
    real: pd.DataFrame,
    made: pd.DataFrame,
    *,
    numeric: Collection[str],
    least_correlation: float = 0.0,
    least_association: float = 0.0,
) -> TableScore:
    """Compare the dependence within pairs of columns.

    Two of numbers: 1 - |r_real - r_made| / 2, Pearson's, over rows without missing values. Else 1 - total variation
    of the contingency tables, in which a missing value is a category and numbers stand in ten bins of equal width. As
    in SDMetrics, each table is cut over its own range, so that the level of a number is not seen here.

    Args:
        real, made, numeric: as `column_shapes`.
        least_correlation, least_association: pairs whose |r|, or Cramér's V, in the real table is not above that have
            no score. The report of SDMetrics 0.32 takes .5 and .3.

    Returns:
        0 to 1, 1 for equal pairs; biased downwards as `column_shapes`.

    Raises:
        ValueError: as `column_shapes`, or there are fewer than two columns.

    Example:
        >>> table = pd.DataFrame({"age": [30.0, 40.0, 50.0], "wage": [1.0, 2.0, 4.0]})
        >>> pair_trends(table, table, numeric=["age", "wage"]).whole.value
        1.0
    """
    columns = list(table_columns(real, made, numeric))
    if len(columns) < 2:
        raise ValueError("a table of one column has no pairs: expected at least two")
    found: dict[str, _Left | None] = {}
    for a, b in itertools.combinations(columns, 2):
        name = f"{a.name} × {b.name}"
        if a.numeric and b.numeric:
            left = _correlation_gap(a, b, least_correlation)
        else:
            left = _contingency_gap(a, b, least_association)
        found[name] = None if left is None else _checked(left)
    return _score(found, "pair of columns")


def rare_categories(
    real: pd.DataFrame, made: pd.DataFrame, *, numeric: Collection[str], level: float
) -> RareCategories:
    """Compare the rare categories of a real table with those of another table.

    Args:
        real, made, numeric: as `column_shapes`; `real` holds the rows that the generator was trained on.
        level: a category is rare if its share of the column's values (missing ones excluded) is below this.

    Raises:
        ValueError: as `column_shapes`, or there is no rare category.

    Example:
        >>> real = pd.DataFrame({"city": ["a"] * 98 + ["b"] * 2})
        >>> found = rare_categories(real, real[:98], numeric=[], level=0.05)
        >>> found.n, found.share  # one rare city, which the other table has not
        (1, 0.0)
    """
    n, n_there = 0, 0
    expected, group, n_groups = 0.0, *_groups(len(made))
    hits = np.zeros(len(made))
    for column in table_columns(real, made, numeric):
        if column.numeric or not (column.real >= 0).any():
            continue
        frequency = np.bincount(column.real[column.real >= 0], minlength=int(column.made.max(initial=0)) + 1)
        shares = frequency / frequency.sum()
        rare = np.flatnonzero((shares > 0) & (shares < level))
        n += len(rare)
        n_there += int(np.isin(rare, column.made).sum())
        expected += float(frequency[rare].sum()) / len(column.real)
        hits += np.isin(column.made, rare)
    if not n:
        raise ValueError(f"no category takes less than {level:g} of its column: there are no rare ones")
    value = float(hits.mean()) / expected
    if not n_groups:
        return RareCategories(n, n_there / n, Estimate(value))
    left = np.array([hits[group != k].mean() / expected for k in range(n_groups)])
    return RareCategories(n, n_there / n, Estimate(value, _error(left)))


def _groups(n: int) -> tuple[Array, int]:
    """Return each row's group and the number of groups; 0 groups for a table too small for a standard error."""
    return np.arange(n) % N_GROUPS, N_GROUPS if n >= LEAST_ROWS else 0


def _distribution_gap(real: Array, made: Array) -> _Left:
    """Return 1 - D (Kolmogorov-Smirnov) of two samples of numbers."""
    (group_a, n_a), (group_b, n_b) = _groups(len(real)), _groups(len(made))
    a, b = ~np.isnan(real), ~np.isnan(made)
    values = np.concatenate([real[a], made[b]]).round(_DECIMALS)
    order = np.argsort(values, kind="stable")
    last = np.append(np.diff(values[order]) > 0, True)
    group_a, group_b, of_a = group_a[a], group_b[b], np.arange(len(values)) < a.sum()

    def score(keep_a: Array, keep_b: Array) -> float:
        weights = np.concatenate([keep_a / max(keep_a.sum(), 1), -keep_b / max(keep_b.sum(), 1)])
        return float(1 - np.abs(np.cumsum(weights[order])[last]).max())

    if not of_a.any() or of_a.all():
        return math.nan, np.empty(0), np.empty(0)
    all_a, all_b = np.ones(len(group_a)), np.ones(len(group_b))
    return (
        score(all_a, all_b),
        np.array([score(1.0 * (group_a != k), all_b) for k in range(n_a)]),
        np.array([score(all_a, 1.0 * (group_b != k)) for k in range(n_b)]),
    )


def _counts(code: Array, n_codes: int) -> Array:
    """Return how often each code stands in each group of rows, [g, k]; codes below 0 are not counted."""
    group, n_groups = _groups(len(code))
    group = group if n_groups else np.zeros(len(code), np.int64)
    there = code >= 0
    flat = np.bincount(group[there] * n_codes + code[there], minlength=max(n_groups, 1) * n_codes)
    return flat.reshape(-1, n_codes)


def _share_gap(real: Array, made: Array, *, unseen: float = 0.0) -> _Left:
    """Return 1 - total variation of two samples of categories."""
    a, b = (_counts(x, int(max(real.max(initial=0), made.max(initial=0))) + 1) for x in (real, made))
    all_a, all_b = a.sum(0), b.sum(0)
    if not all_a.sum() or not all_b.sum():
        return math.nan, np.empty(0), np.empty(0)
    all_a = np.where((all_a == 0) & (all_b > 0), unseen, all_a)

    def score(of_a: Array, of_b: Array) -> Array:
        shares = [x / np.maximum(x.sum(-1, keepdims=True), 1e-300) for x in (of_a, of_b)]
        return np.asarray(1 - 0.5 * np.abs(shares[0] - shares[1]).sum(-1))

    left_a, left_b = (
        score(all_a - a, all_b[None]) if len(a) > 1 else np.empty(0),
        score(all_a[None], all_b - b) if len(b) > 1 else np.empty(0),
    )
    return float(score(all_a, all_b)), left_a, left_b


def _contingency_gap(a: TableColumn, b: TableColumn, least: float) -> _Left | None:
    """Return 1 - total variation of a pair's contingency tables; None where the real association is too weak."""
    n_real = len(a.real)
    first, second = (np.concatenate(column.bins) for column in (a, b))
    if least > 0 and not _association(first[:n_real], second[:n_real]) > least:
        return None
    _, pair = np.unique(first * (int(second.max()) + 1) + second, return_inverse=True)
    return _share_gap(pair[:n_real], pair[n_real:])


def _association(a: Array, b: Array) -> float:
    """Return Cramér's V; NaN where either column has only one value."""
    from scipy.stats.contingency import association, crosstab

    counts = crosstab(a, b).count
    return float(association(counts, method="cramer")) if min(counts.shape) > 1 else math.nan


def _correlation_gap(a: TableColumn, b: TableColumn, least: float) -> _Left | None:
    """Return 1 - |r - r'| / 2; None where a column is constant or the real correlation is too weak."""
    if a.constant or b.constant:
        return None
    real, made = _moments(a.real, b.real), _moments(a.made, b.made)
    r_real, r_made = _correlation(real.sum(0)), _correlation(made.sum(0))
    if not np.abs(r_real) > least:
        return None
    left = [1 - np.abs(r_real - _correlation(made.sum(0) - made)) / 2 if len(made) > 1 else np.empty(0)]
    left.insert(
        0, 1 - np.abs(_correlation(real.sum(0) - real) - r_made) / 2 if len(real) > 1 else np.empty(0)
    )
    return float(1 - np.abs(r_real - r_made) / 2), left[0], left[1]


def _moments(x: Array, y: Array) -> Array:
    """Return sums by group of 1, x, y, xx, yy and xy over complete rows, x and y standardised."""
    group, n_groups = _groups(len(x))
    there = ~(np.isnan(x) | np.isnan(y))
    if not there.any():
        return np.zeros((1, 6))
    x, y, group = x[there], y[there], group[there]
    x, y = ((v - v.mean()) / (v.std() or 1.0) for v in (x, y))
    terms = (np.ones(len(x)), x, y, x * x, y * y, x * y)
    if not n_groups:
        return np.array([[term.sum() for term in terms]])
    return np.stack([np.bincount(group, term, n_groups) for term in terms], 1)


def _correlation(sums: Array) -> Array:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            (xy / n - x / n * y / n) / np.sqrt((xx / n - (x / n) ** 2) * (yy / n - (y / n) ** 2))
        )


def _checked(left: _Left) -> _Left | None:
    return None if math.isnan(left[0]) else left


def _error(left: Array) -> float:
    return jackknife_estimate(0.0, torch.from_numpy(left)).std_error or 0.0


def _estimate(left: _Left) -> Estimate:
    value, of_real, of_made = left
    if not len(of_real) or not len(of_made) or np.isnan(of_real).any() or np.isnan(of_made).any():
        return Estimate(value)
    return Estimate(value, math.hypot(_error(of_real), _error(of_made)))


def _score(found: dict[str, _Left | None], what: str) -> TableScore:
    scores: list[_Left] = [one for one in found.values() if one is not None]
    if not scores:
        raise ValueError(f"no {what} has a score: they are constant, missing or not associated")
    whole = float(np.mean([one[0] for one in scores]))
    of_real, of_made = np.mean([one[1] for one in scores], 0), np.mean([one[2] for one in scores], 0)
    parts = {name: None if one is None else _estimate(one) for name, one in found.items()}
    return TableScore(_estimate((whole, of_real, of_made)), parts)

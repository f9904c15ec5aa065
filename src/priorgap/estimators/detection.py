"""Whether a classifier can tell two sets of rows apart: area under the ROC curve, cross-validated by groups."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.areas import area, grouped_error
from priorgap.estimators.checks import check_matrix
from priorgap.estimators.uncertainty import Estimate, random_groups

# Maps (training rows, whether each is of the first set, rows to score) to scores, higher for the first set.
Score = Callable[[Tensor, Tensor, Tensor], Tensor]
# scikit-learn's boosted trees take at most this many categories a column.
_MOST_CATEGORIES = 255


def detection_area(
    made: Float[Tensor, "n D"],
    real: Float[Tensor, "m D"],
    score: Score,
    *,
    n_folds: int,
    generator: torch.Generator,
    made_group: Int[Tensor, "n"] | None = None,
    real_group: Int[Tensor, "m"] | None = None,
) -> Estimate:
    """Return how well a classifier tells which set a row belongs to, for rows that it was not trained on.

    Rows of one group are in one fold, so that no row is scored by a classifier trained on rows that share values with
    it. The area is the mean over folds; scores of different folds are never compared.

    Args:
        made, real: features; the classifier must handle NaN.
        score: fits a classifier and scores rows.
        n_folds: the number of parts of each set; each part is scored once.
        generator: puts groups into folds.
        made_group, real_group: rows that share values; None: each row by itself.

    Returns:
        .5 where the sets cannot be told apart, 1 where they can; below .5 by chance. Its standard error reflects rows
        and groups, not the random choice of folds.

    Raises:
        ValueError: a set has fewer than 2 groups for each fold, or the widths differ.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> real = torch.randn(200, 2, generator=g)
        >>> detection_area(real + 5.0, real, ridge, n_folds=3, generator=g).value > 0.99  # told apart
        True
    """
    check_matrix("made", made.nan_to_num())
    check_matrix("real", real.nan_to_num(), n_columns=made.shape[1])
    groups = [torch.arange(len(x)) if g is None else g for x, g in ((made, made_group), (real, real_group))]
    folds = [_folds(group, n_folds, generator=generator) for group in groups]
    parts: list[tuple[list[Tensor], list[Tensor]]] = [([], []), ([], [])]
    values = []
    for k in range(n_folds):
        held = [fold == k for fold in folds]
        train = torch.cat([made[~held[0]], real[~held[1]]])
        is_made = torch.arange(len(train)) < int((~held[0]).sum())
        found = score(train, is_made, torch.cat([made[held[0]], real[held[1]]]))
        n_made = int(held[0].sum())
        own = area(found[:n_made], found[n_made:])
        values.append(own.value)
        for place, shares in enumerate((own.positive, own.negative)):
            # All folds have the same weight, however many rows they hold.
            parts[place][0].append((shares - own.value) * len(folds[place]) / (n_folds * len(shares)))
            parts[place][1].append(groups[place][held[place]])
    error = grouped_error([(torch.cat(shares), torch.cat(group)) for shares, group in parts])
    # An error of 0 means that no row was on the wrong side; then the true error is not known.
    return Estimate(sum(values) / n_folds, error or None)


def _folds(group: Int[Tensor, "n"], n_folds: int, *, generator: torch.Generator) -> Int[Tensor, "n"]:
    """Return each row's fold.

    Raises:
        ValueError: there are too few groups.
    """
    _, index = group.unique(return_inverse=True)
    n_groups = int(index.max()) + 1
    if n_folds < 2 or n_groups < 2 * n_folds:
        raise ValueError(
            f"{n_groups} independent rows in {n_folds} folds: expected at least two a fold, and two folds"
        )
    return random_groups(n_groups, n_folds, generator=generator)[index]


def boosted_trees(categorical: Sequence[bool], *, seed: int) -> Score:
    """Return scikit-learn's boosted trees with default settings, for columns of a table; NaN means missing.

    Args:
        categorical: which columns hold category numbers; a column with more than 255 categories is treated as
            numeric.
        seed: seed of scikit-learn's generator.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(100, 1, generator=g)
        >>> x[:50] += 5.0
        >>> score = boosted_trees([False], seed=0)(x, torch.arange(100) < 50, x)
        >>> bool(score[:50].min() > score[50:].max())
        True
    """

    def score(x: Tensor, is_first: Tensor, held: Tensor) -> Tensor:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        few = torch.cat([x, held]).nan_to_num().amax(0) < _MOST_CATEGORIES
        mask = np.array([one and bool(own) for one, own in zip(categorical, few, strict=True)])
        trees = HistGradientBoostingClassifier(
            categorical_features=mask if mask.any() else None, early_stopping=False, random_state=seed
        )
        # The rounding of sums depends on the number of threads.
        with threadpool_limits(1):
            trees.fit(x.numpy(), is_first.numpy())
            return torch.from_numpy(trees.decision_function(held.numpy()))

    return score


def ridge(x: Tensor, is_first: Tensor, held: Tensor) -> Tensor:
    """Score by ridge regression on standardised features; the penalty is chosen by leave-one-out.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(100, 2, generator=g)
        >>> x[:50] += 5.0
        >>> is_first = torch.arange(100) < 50
        >>> score = ridge(x, is_first, x)
        >>> bool(score[:50].min() > score[50:].max())
        True
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=np.logspace(-2, 4, 7)))
    with threadpool_limits(1):
        model.fit(x.numpy(), is_first.numpy())
        return torch.from_numpy(model.decision_function(held.numpy()))

"""Published measures of copying: C_T, authenticity, and the feature likelihood divergence."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_matrix
from priorgap.estimators.copying import auc, nearest_distance
from priorgap.estimators.uncertainty import Estimate, proportion_estimate


def distance_within_cells(
    x: Float[Tensor, "m D"],
    cell: Int[Tensor, "m"],
    train: Float[Tensor, "n D"],
    train_cell: Int[Tensor, "n"],
) -> Float[Tensor, "m"]:
    """Return each row's distance to its nearest training row of the same cell, inf where the cell has none.

    Example:
        >>> x, train = torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [3.0]])
        >>> distance_within_cells(x, torch.tensor([0, 1]), train, torch.tensor([0, 1])).tolist()
        [1.0, 3.0]
    """
    distance = torch.full((len(x),), math.inf, dtype=torch.float64)
    for c in cell.unique().tolist():
        own, members = cell == c, train_cell == c
        if bool(members.any()):
            distance[own] = nearest_distance(x[own], train[members])[0]
    return distance


def data_copying_score(
    sample_distance: Float[Tensor, "m"],
    sample_cell: Int[Tensor, "m"],
    heldout_distance: Float[Tensor, "n"],
    heldout_cell: Int[Tensor, "n"],
    *,
    least_share: float,
) -> Estimate:
    """Return C_T: are samples nearer to training data than held-out data are, cell by cell?

    In each cell with a share of samples of at least `least_share` (and held-out points), Z is the
    Mann-Whitney statistic of P(d(sample) > d(held-out)) + ties 1/2, standardised by its null variance
    (n + m + 1) / (12 n m). C_T is the mean of Z over those cells, weighted with their shares of held-out
    points. About N(0, 1 / cells) where samples have the distribution of held-out points; negative: copying; positive:
    samples farther from everything, underfitting. The standard error is the null's, sqrt(sum of squared
    weights). Grows with the root of the sample size, so compare at equal sizes. Smooth samples lie near
    training data without copying: blur alone makes it negative.

    **Source**: Meehan, Chaudhuri & Dasgupta (2020), "A non-parametric test to detect data-copying".

    Raises:
        ValueError: lengths differ, or no cell has enough samples and a held-out point.

    Example:
        >>> cell, heldout = torch.zeros(50, dtype=torch.int64), torch.arange(1.0, 51.0)
        >>> data_copying_score(heldout / 100, cell, heldout, cell, least_share=0.0).value < -3.0  # copies
        True
    """
    if len(sample_distance) != len(sample_cell) or len(heldout_distance) != len(heldout_cell):
        raise ValueError("cells: expected one for each distance")
    scores, weights = [], []
    for c in heldout_cell.unique().tolist():
        own, held = sample_distance[sample_cell == c], heldout_distance[heldout_cell == c]
        n, m = len(held), len(own)
        if m == 0 or m < least_share * len(sample_distance):
            continue
        # The AUC uses only the order, so a cell without training data (all distances inf) counts as all ties.
        above = auc(*(torch.nan_to_num(x.double(), posinf=1e300) for x in (held, own))).value
        scores.append((above - 0.5) / math.sqrt((n + m + 1) / (12 * n * m)))
        weights.append(n)
    if not scores:
        raise ValueError(f"cells: none has a share of samples of at least {least_share}")
    share = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    value = float((share * torch.tensor(scores, dtype=torch.float64)).sum())
    return Estimate(value, float(share.square().sum().sqrt()))


def authenticity(
    sample: Float[Tensor, "m D"], train: Float[Tensor, "n D"]
) -> tuple[Estimate, Bool[Tensor, "m"]]:
    """Return the share of authentic samples, and whether each sample is authentic.

    A sample is authentic if it is farther from its nearest training row than that row is from its own nearest
    other training row. 0 for copies; higher is less copying; the value without copying is unknown and below 1
    (held-out data of the same distribution have about 1/2, smoothed ones less): compare with held-out draws.
    Binomial standard error.

    **Source**: Alaa et al. (2022), "How faithful is your synthetic data?". (Their published code compares in
    the other direction, from training rows to samples.)

    Example:
        >>> train = torch.tensor([[0.0], [1.0], [5.0]])
        >>> share, authentic = authenticity(torch.tensor([[0.1], [2.5]]), train)
        >>> share.value, authentic.tolist()  # the first one lies nearer to 0 than 0's nearest does
        (0.5, [False, True])
    """
    check_matrix("train", train, min_rows=2, n_columns=sample.shape[1])
    distance, index = nearest_distance(sample, train)
    rows, back = index.unique(return_inverse=True)
    own = nearest_distance(train[rows], train, exclude=rows)[0]
    found = distance > own[back]
    return proportion_estimate(float(found.sum()), len(sample)), found


def feature_likelihood_divergence(
    sample: Float[Tensor, "s D"],
    train: Float[Tensor, "n D"],
    test: Float[Tensor, "t D"],
    *,
    n_steps: int = 30,
) -> tuple[Estimate, Estimate]:
    """Return the feature likelihood divergence on the test set, and its generalisation gap.

    Features are standardised by the test set. A mixture of isotropic Gaussians, one on each sample, has bandwidths
    that maximise the likelihood of the *training* rows (EM, monotone); FLD = 100 / D times the mean negative
    log-likelihood of *test* rows, minus the same for a mixture on half of the training rows fitted to the other half.
    0: as good as real training data; higher is worse. A sample that copies a training row gets a tiny bandwidth and
    is worth nothing on test rows, so copying raises it. The gap is the value on
    training rows minus that on test rows: 0 without memory, very negative for copies. Units: 1/100 nat a
    dimension. Standard errors over test rows (for the gap, both sets), with the fitted mixtures held fixed.

    **Source**: Jiralerspong et al. (2023), "Feature likelihood divergence". Their code fits by Adam, with an
    added component at the mean; the values are close, not equal.

    Raises:
        ValueError: fewer than 2 samples, 4 training or 2 test rows, or different widths.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> train, test, sample = torch.randn(3, 100, 2, generator=g)
        >>> good, gap = feature_likelihood_divergence(sample, train, test)
        >>> bad, _ = feature_likelihood_divergence(sample + 3.0, train, test)  # samples of other data
        >>> bad.value > good.value + 10.0
        True
    """
    check_matrix("sample", sample, min_rows=2)
    check_matrix("train", train, min_rows=4, n_columns=sample.shape[1])
    check_matrix("test", test, min_rows=2, n_columns=sample.shape[1])
    centre, scale = test.double().mean(0), test.double().std(0)
    alive = scale > 1e-12 * scale.max()
    s, x, t = ((part.double() - centre)[:, alive] / scale[alive] for part in (sample, train, test))
    half = len(x) // 2
    width = 100 / s.shape[1]
    fitted = _bandwidths(s, x, n_steps)
    on_test, on_train = (width * _negative_log_likelihood(s, fitted, part) for part in (t, x))
    base = x[:half]
    baseline = width * _negative_log_likelihood(base, _bandwidths(base, x[half:], n_steps), t)
    difference = on_test - baseline
    gap_error = math.sqrt(float(on_train.var() / len(x) + on_test.var() / len(t)))
    return (
        Estimate(float(difference.mean()), math.sqrt(float(difference.var() / len(t)))),
        Estimate(float(on_train.mean() - on_test.mean()), gap_error),
    )


def _squared(a: Tensor, b: Tensor) -> Float[Tensor, "n m"]:
    squared = torch.addmm(b.square().sum(1)[None, :], a, b.T, alpha=-2.0)
    return squared.add_(a.square().sum(1)[:, None]).clamp_min_(0)


def _bandwidths(centres: Tensor, x: Tensor, n_steps: int) -> Float[Tensor, "s"]:
    """Return the variance of each component by EM on x: responsibility-weighted mean squared distance / D."""
    d = centres.shape[1]
    squared = _squared(x, centres)
    # A distance of exactly 0 must stay recognisable, but its logarithm must be finite.
    floor = 1e-3 / d
    variance = squared.min(0).values.div(d).clamp_min(floor)
    for _ in range(n_steps):
        weight = torch.softmax(-0.5 * squared / variance - 0.5 * d * variance.log(), dim=1)
        mass = weight.sum(0)
        moved = (weight * squared).sum(0) / (d * mass.clamp_min(1e-12))
        variance = torch.where(mass > 1e-9, moved.clamp_min(floor), variance)
    return variance


def _negative_log_likelihood(centres: Tensor, variance: Tensor, x: Tensor) -> Float[Tensor, "n"]:
    """Return each row's negative log-likelihood, without D / 2 log 2 pi, which is the same in all terms."""
    d, chunk = centres.shape[1], 1024
    parts = []
    for rows in x.split(chunk):
        energy = -0.5 * _squared(rows, centres) / variance - 0.5 * d * variance.log()
        parts.append(math.log(len(centres)) - energy.logsumexp(1))
    return torch.cat(parts)

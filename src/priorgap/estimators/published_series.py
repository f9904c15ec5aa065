"""Parts of published scores for generated series other than the networks: scaling, histograms, persistence."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.areas import grouped_error
from priorgap.estimators.checks import NotFinite
from priorgap.estimators.series import blocks_of, stride_of
from priorgap.estimators.uncertainty import Estimate


def unit_scale(
    parts: tuple[Float[Tensor, "n T f"], ...], train: Float[Tensor, "m T f"]
) -> list[Float[Tensor, "n T f"]]:
    """Return sets of windows scaled so that each channel's training values span 0 to 1, as published scores do.

    Raises:
        ValueError: a set has another shape or values that are not finite, or a channel is constant in training
            windows.

    Example:
        >>> train = torch.tensor([0.0, 10.0]).reshape(1, 2, 1)
        >>> unit_scale((train / 2,), train)[0].flatten().tolist()
        [0.0, 0.5]
    """
    for x in (*parts, train):
        if x.ndim != 3 or min(x.shape) < 1 or x.shape[1:] != train.shape[1:]:
            raise ValueError(
                f"windows have shape {tuple(x.shape)}: expected [n, {train.shape[1]}, {train.shape[2]}]"
            )
        if not bool(torch.isfinite(x).all()):
            raise NotFinite("windows have values that are not finite: expected finite numbers")
    low, high = train.double().amin((0, 1)), train.double().amax((0, 1))
    still = torch.nonzero(high <= low).flatten().tolist()
    if still:
        raise ValueError(f"channel {still[0]} is constant: expected values that vary")
    return [((x.double() - low) / (high - low)).float() for x in parts]


def marginal_distribution_difference(
    made: Float[Tensor, "n T f"], real: Float[Tensor, "m T f"], *, n_bins: int
) -> float:
    """Return the mean absolute difference of the values' densities at each step and channel.

        MDD = mean over t, c and bins b of |h_made(b) - h_real(b)| / width,
        h(b) the share of values in bin b, bins of equal width between the least and the greatest real value

    Values of samples outside of all bins are not counted. The value depends on the units of the windows.

    Args:
        made, real: two sets of windows in the same units.
        n_bins: the number of bins for each step and channel.

    Returns:
        0 for equal sets; biased upwards, more so with fewer windows and with more bins.

    Raises:
        ValueError: shapes differ, or all real values of a step and channel are equal.

    Example:
        >>> x = torch.rand(100, 4, 2, generator=torch.Generator().manual_seed(0))
        >>> marginal_distribution_difference(x.flip(0), x, n_bins=10)
        0.0

    **Source**: `HistoLoss` of TSGBench's code (Ang et al., PVLDB 17(3), 2023); that leaves the first step out, and
    counts no value on the edge of a bin.
    """
    if made.shape[1:] != real.shape[1:] or n_bins < 1:
        raise ValueError(
            f"windows of {tuple(made.shape[1:])} and {tuple(real.shape[1:])}, n_bins={n_bins}: expected one "
            "shape and at least one bin"
        )
    n_channels = real.shape[2]
    a, b = made.double().flatten(1), real.double().flatten(1)
    low, high = b.amin(0), b.amax(0)
    still = torch.nonzero(high <= low).flatten().tolist()
    if still:
        step, channel = divmod(still[0], n_channels)
        raise ValueError(f"step {step} of channel {channel} is constant: expected values that vary")
    width = (high - low) / n_bins

    def density(x: Float[Tensor, "n k"]) -> Float[Tensor, "k b"]:
        inside = (x >= low) & (x <= high)
        # The greatest value belongs to the last bin.
        place = ((x - low) / width).floor().clamp(0, n_bins - 1).long()
        place += n_bins * torch.arange(x.shape[1])
        counts = place[inside].bincount(minlength=n_bins * x.shape[1])
        return counts.double().view(-1, n_bins) / len(x) / width[:, None]

    return float((density(a) - density(b)).abs().mean())


def step_groups(x: Float[Tensor, "n T f"]) -> Int[Tensor, "n"] | None:
    """Return groups of windows that share steps: blocks, or each window by itself; None where blocks are too few.

    Example:
        >>> x = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(0))
        >>> step_groups(x).tolist()  # windows that share no steps
        [0, 1, 2]
    """
    return torch.arange(len(x)) if stride_of(x) is None else blocks_of(x)


def prediction_error(
    predicted: Float[Tensor, "n s f"], real: Float[Tensor, "n s f"], group: Int[Tensor, "n"] | None
) -> Estimate:
    """Return the mean absolute error, with a standard error over groups of windows (None without groups).

    Example:
        >>> real = torch.zeros(2, 3, 1)
        >>> prediction_error(real + 0.5, real, None).value
        0.5
    """
    each = (predicted.double() - real.double()).abs().mean((1, 2))
    return Estimate(float(each.mean()), None if group is None else grouped_error([(each, group)]))


def balanced_accuracy(
    right: tuple[Tensor, Tensor], group: tuple[Int[Tensor, "_"], Int[Tensor, "_"]]
) -> Estimate:
    """Return the mean of two classes' accuracies, with a standard error over groups (None where all are right).

    Args:
        right: for each class, whether each row was classified correctly.
        group: for each class, the groups of rows that share values.

    Example:
        >>> right, group = torch.tensor([True, True, False, False]), torch.arange(4)
        >>> balanced_accuracy((right, torch.ones(4) == 1), (group, group)).value
        0.75
    """
    values = [one.double() for one in right]
    error = grouped_error(list(zip(values, group, strict=True)))
    return Estimate(float(values[0].mean() + values[1].mean()) / 2, (error or 0.0) / 2 or None)

"""The bootstrap, for statistics of independent rows that have no closed standard error."""

from collections.abc import Callable, Sequence

import torch

from priorgap.estimators.uncertainty import block_estimate


def bootstrap_std_error(
    statistic: Callable[..., float], sizes: Sequence[int], *, generator: torch.Generator, n_repeats: int = 200
) -> float:
    """Return the standard error of a statistic: its spread over resamples of the rows.

    Valid only for smooth functions of averages. A row that is drawn twice is at distance 0 from itself, so
    that nearest neighbours, kernel sums over pairs and mixtures over rows are wrong in a resample.

    Args:
        statistic: takes one index tensor for each sample, with the rows to use.
        sizes: the number of rows of each sample; samples are resampled independently.
        generator: draws the rows.
        n_repeats: resamples; the relative error of the result is about 1 / sqrt(2 n_repeats).

    **Source**: Efron (1979), "Bootstrap methods: another look at the jackknife".

    Raises:
        ValueError: there is no sample, one has fewer than 2 rows, or n_repeats < 2.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(400, generator=g)
        >>> error = bootstrap_std_error(lambda rows: float(x[rows].mean()), [400], generator=g)
        >>> 0.03 < error < 0.07  # 1 / sqrt(400) = 0.05
        True
    """
    if not sizes or min(sizes) < 2:
        raise ValueError(f"sizes={list(sizes)}: expected integers >= 2")
    if n_repeats < 2:
        raise ValueError(f"n_repeats={n_repeats}: expected an integer >= 2")
    values = [
        statistic(*(torch.randint(0, n, (n,), generator=generator) for n in sizes)) for _ in range(n_repeats)
    ]
    spread = block_estimate(torch.tensor(values, dtype=torch.float64)).std_error
    # block_estimate gives the error of the mean over repeats; a single value's error is sqrt(n_repeats) times
    # that.
    found: float = (spread or 0.0) * n_repeats**0.5
    return found

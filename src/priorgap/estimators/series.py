"""Differences between two sets of windows [n, T, f] over time: lagged correlations, spectra, values at each step.

Statistics describe a set as a whole; its values are centred over all windows and steps. Standard errors leave out
blocks of consecutive windows, so that windows that share steps do not count as independent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import NotFinite
from priorgap.estimators.uncertainty import Estimate, jackknife_estimate

MAX_BLOCKS, MIN_BLOCKS = 30, 10
# The number of windows that are examined to find out how many steps they share.
_N_COMPARED = 500
# A channel with less than this share of the real variance counts as constant, and so has no correlations.
_STILL = 1e-12


@dataclass(frozen=True)
class SeriesDistance:
    """A distance between two sets of windows: its mean over channels, and the value for each channel."""

    whole: Estimate
    by_channel: tuple[Estimate, ...]


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over the windows of each block: `n` counts windows, the other fields are named by what is summed."""

    n: Float[Tensor, "g"]
    parts: tuple[Tensor, ...]

    def without(self, block: int | None) -> tuple[Tensor, ...]:
        """Return means over all windows, or over all but one block's."""
        keep = torch.ones(len(self.n), dtype=torch.bool)
        if block is not None:
            keep[block] = False
        n = self.n[keep].sum()
        return tuple(part[keep].sum(0) / n for part in self.parts)


def stride_of(x: Float[Tensor, "n T f"]) -> int | None:
    """Return the number of steps between most consecutive windows; None where windows share no steps.

    Example:
        >>> series = torch.arange(12.0)[:, None]
        >>> stride_of(torch.stack([series[i : i + 4] for i in range(0, 8, 2)]))
        2
    """
    x = x[:_N_COMPARED]
    for stride in range(1, x.shape[1]):
        same = (x[1:, :-stride] == x[:-1, stride:]).flatten(1).all(1)
        if len(same) and float(same.double().mean()) >= 0.5:
            return stride
    return None


def blocks_of(x: Float[Tensor, "n T f"]) -> Int[Tensor, "n"] | None:
    """Return each window's block: at least twice as many consecutive windows as share steps; None: too few blocks.

    Errors from such blocks miss dependence that reaches further than the length of two windows.

    Example:
        >>> x = torch.arange(403.0)[:, None].unfold(0, 4, 1).mT  # 400 windows, each one step after the other
        >>> blocks_of(x).unique_consecutive(return_counts=True)[1].unique().tolist()
        [13, 14]
    """
    n, stride = len(x), stride_of(x)
    least = 1 if stride is None else 2 * -(-x.shape[1] // stride)
    n_blocks = min(MAX_BLOCKS, n // least)
    if n_blocks < MIN_BLOCKS:
        return None
    return torch.arange(n) * n_blocks // n


def autocorrelation_distance(
    a: Float[Tensor, "n T f"], b: Float[Tensor, "m T f"], *, n_lags: int
) -> SeriesDistance:
    """Compare autocorrelations.

        D_c = mean over k = 1..K of |r_a(k) - r_b(k)|,  r(k) = cov(x_t, x_{t+k}) / var(x_t)

    over all windows and steps; K = min(n_lags, T - 1). A constant channel has r = 0.

    Args:
        a, b: two sets of windows; b sets the scale.
        n_lags: K.

    Returns:
        0 to 2, 0 for equal laws; biased upwards by about the error of r, less so for larger sets.

    Raises:
        ValueError: windows of one step, of other shapes, or with a channel that is constant in b.

    Example:
        >>> x = torch.randn(400, 8, 2, generator=torch.Generator().manual_seed(0)).cumsum(1)
        >>> autocorrelation_distance(x, x, n_lags=3).whole.value
        0.0
    """
    a, b, n_lags = _comparable(a, b, n_lags)

    def correlations(lagged: Tensor, mean: Tensor) -> Tensor:
        cov = torch.diagonal(lagged, dim1=1, dim2=2) - mean.square()
        return cov[1:] / _variance(cov[0])

    def distance(of_a: tuple[Tensor, ...], of_b: tuple[Tensor, ...]) -> Tensor:
        return (correlations(*of_a) - correlations(*of_b)).abs().mean(0)

    return _compared(_lagged(a, n_lags), _lagged(b, n_lags), distance)


def cross_correlation_distance(
    a: Float[Tensor, "n T f"], b: Float[Tensor, "m T f"], *, n_lags: int
) -> SeriesDistance:
    """Compare correlations of each pair of channels, at once and lagged in both directions.

        D_c = mean over d != c and lags k = -K..K of |r_a(c, d, k) - r_b(c, d, k)|,
        r(c, d, k) = cov(x_{t,c}, x_{t+k,d}) / sqrt(var x_c var x_d)

    Args and the rest: as `autocorrelation_distance`.

    Raises:
        ValueError: as `autocorrelation_distance`, or there is only one channel.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(400, 8, 2, generator=g)
        >>> cross_correlation_distance(x, x, n_lags=3).whole.value
        0.0
    """
    a, b, n_lags = _comparable(a, b, n_lags)
    n_channels = a.shape[2]
    if n_channels < 2:
        raise ValueError("windows of one channel: expected at least two")
    others = ~torch.eye(n_channels, dtype=torch.bool)

    def correlations(lagged: Tensor, mean: Tensor) -> Tensor:
        cov = lagged - mean[:, None] * mean
        scale = _variance(torch.diagonal(cov[0])).sqrt()
        return cov / (scale[:, None] * scale)

    def distance(of_a: tuple[Tensor, ...], of_b: tuple[Tensor, ...]) -> Tensor:
        gaps = (correlations(*of_a) - correlations(*of_b)).abs()
        # A lag of -k from c to d is a lag of k from d to c.
        total = gaps.sum(0) + gaps[1:].sum(0).T
        return (total * others).sum(1) / ((n_channels - 1) * (2 * n_lags + 1))

    return _compared(_lagged(a, n_lags), _lagged(b, n_lags), distance)


def spectrum_distance(a: Float[Tensor, "n T f"], b: Float[Tensor, "m T f"]) -> SeriesDistance:
    """Compare where the power lies: total variation between normalised mean power spectra.

        D_c = 1/2 sum over frequencies w of |p_a(w) - p_b(w)|,  p(w) = E|X_c(w)|^2 / sum over w of E|X_c(w)|^2

    with X the discrete Fourier transform of a window, less the mean over all windows and steps. Two-sided.

    Returns:
        0 to 1, 0 for equal laws; blind to the amplitude; biased upwards as `autocorrelation_distance`.

    Raises:
        ValueError: as `autocorrelation_distance`.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(400, 8, 1, generator=g)
        >>> spectrum_distance(x, 5.0 * x).whole.value < 0.01  # where the power lies, not how much there is
        True
    """
    a, b, _ = _comparable(a, b, 1)

    def shares(power: Tensor, mean: Tensor) -> Tensor:
        # Subtracting the set's mean changes only frequency 0, by the square of T times the mean.
        power = torch.cat([(power[:1] - (a.shape[1] * mean).square()).clamp(min=0), power[1:]])
        return power / _variance(power.sum(0))

    def distance(of_a: tuple[Tensor, ...], of_b: tuple[Tensor, ...]) -> Tensor:
        return 0.5 * (shares(*of_a) - shares(*of_b)).abs().sum(0)

    return _compared(_powers(a), _powers(b), distance)


def marginal_distance(a: Float[Tensor, "n T f"], b: Float[Tensor, "m T f"]) -> SeriesDistance:
    """Compare the values at each step and channel: Wasserstein-1, in standard deviations of b's channel.

        D_c = mean over t of W1(a's x_{t,c}, b's x_{t,c}) / sd of b's x_c

    Returns:
        0 for equal laws, no upper limit; biased upwards as `autocorrelation_distance`.

    Raises:
        ValueError: as `spectrum_distance`, but windows may have one step.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(400, 8, 1, generator=g)
        >>> round(marginal_distance(x + x.std(), x).whole.value, 1)  # one standard deviation away
        1.0
    """
    a, b, _ = _comparable(a, b, 0)
    n, m, n_steps = len(a), len(b), a.shape[1]
    values, order = torch.cat([a, b]).flatten(1).sort(0)
    steps = values.diff(dim=0)

    def distance(weight_a: Tensor, weight_b: Tensor) -> Tensor:
        weights = torch.cat([weight_a / weight_a.sum(), -weight_b / weight_b.sum()])
        gaps = weights[order].cumsum(0)[:-1].abs_()
        return (gaps * steps).sum(0).view(n_steps, -1).mean(0)

    whole = distance(torch.ones(n).double(), torch.ones(m).double())
    left_out = []
    for x, place in ((a, 0), (b, 1)):
        block = blocks_of(x)
        if block is None:
            return _distance(whole, None)
        rows = []
        for k in range(int(block.max()) + 1):
            weights = [torch.ones(n).double(), torch.ones(m).double()]
            weights[place] = (block != k).double()
            rows.append(distance(*weights))
        left_out.append(torch.stack(rows))
    return _distance(whole, left_out)


def _comparable(
    a: Float[Tensor, "n T f"], b: Float[Tensor, "m T f"], n_lags: int
) -> tuple[Float[Tensor, "n T f"], Float[Tensor, "m T f"], int]:
    """Return both sets in units of b's channels, and the number of lags that the windows allow.

    Raises:
        ValueError: the sets cannot be compared.
    """
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 3 or min(x.shape) < 1:
            raise ValueError(f"{name} has shape {tuple(x.shape)}: expected windows [n, T, f]")
        if not bool(torch.isfinite(x).all()):
            raise NotFinite(f"{name} has values that are not finite: expected finite numbers")
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"windows of {tuple(a.shape[1:])} and {tuple(b.shape[1:])}: expected one shape")
    if n_lags and a.shape[1] < 2:
        raise ValueError("windows of one step: expected at least two")
    a, b = a.double(), b.double()
    centre, scale = b.mean((0, 1)), b.std((0, 1), correction=0)
    still = torch.nonzero(~(scale > 0)).flatten().tolist()
    if still:
        raise ValueError(f"channel {still[0]} is constant: expected values that vary")
    return (a - centre) / scale, (b - centre) / scale, min(n_lags, a.shape[1] - 1)


def _variance(x: Tensor) -> Tensor:
    """Return variances to divide by; where a variance is 0, the numerator is 0, too."""
    return torch.where(x > _STILL, x, torch.ones_like(x))


def _summed(x: Float[Tensor, "n T f"], of: Callable[[Tensor], Tensor]) -> _Sums:
    """Return sums over each block's windows of `of` and of the windows' means; all in one block if too few."""
    found = blocks_of(x)
    # Centring keeps the effect of the windows' edges small beside the variance, whatever the level of the values.
    x = x - x.mean((0, 1))
    block = torch.zeros(len(x), dtype=torch.int64) if found is None else found
    groups = [x[block == k] for k in range(int(block.max()) + 1)]
    means = torch.stack([own.mean(1).sum(0) for own in groups])
    return _Sums(block.bincount().double(), (torch.stack([of(own) for own in groups]), means))


def _lagged(x: Float[Tensor, "n T f"], n_lags: int) -> _Sums:
    """Return sums over windows of the mean of x_t x_{t+k}' within a window, for k = 0..K."""
    n_steps = x.shape[1]

    def products(own: Float[Tensor, "b T f"]) -> Float[Tensor, "k f f"]:
        earlier = (own[:, : n_steps - k].flatten(0, 1).T for k in range(n_lags + 1))
        later = (own[:, k:].flatten(0, 1) / (n_steps - k) for k in range(n_lags + 1))
        return torch.stack([before @ after for before, after in zip(earlier, later, strict=True)])

    return _summed(x, products)


def _powers(x: Float[Tensor, "n T f"]) -> _Sums:
    """Return sums of |X(w)|² for all T frequencies."""
    return _summed(x, lambda own: torch.fft.fft(own, dim=1).abs().square().sum(0))


def _compared(
    a: _Sums, b: _Sums, distance: Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], Tensor]
) -> SeriesDistance:
    """Return the distance between two sets of sums, with the error from leaving out blocks of each."""
    all_a, all_b = a.without(None), b.without(None)
    whole = distance(all_a, all_b)
    if min(len(a.n), len(b.n)) < MIN_BLOCKS:
        return _distance(whole, None)
    of_a = torch.stack([distance(a.without(k), all_b) for k in range(len(a.n))])
    of_b = torch.stack([distance(all_a, b.without(k)) for k in range(len(b.n))])
    return _distance(whole, [of_a, of_b])


def _distance(whole: Float[Tensor, "f"], left_out: list[Float[Tensor, "g f"]] | None) -> SeriesDistance:
    """Return the mean over channels and each channel's value, with jackknife errors over both sets."""
    columns = torch.cat([whole.mean()[None], whole])
    errors: list[float | None] = [None] * len(columns)
    if left_out is not None:
        sets = [torch.cat([part.mean(1, keepdim=True), part], 1) for part in left_out]
        errors = [
            math.hypot(*(jackknife_estimate(0.0, both[:, k]).std_error or 0.0 for both in sets))
            for k in range(len(columns))
        ]
    found = [Estimate(float(v), e) for v, e in zip(columns, errors, strict=True)]
    return SeriesDistance(found[0], tuple(found[1:]))

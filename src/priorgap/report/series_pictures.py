"""Pictures of series, real beside synthetic: windows over time, autocorrelations, correlations between channels."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from priorgap.core.shown import REAL, RECONSTRUCTIONS
from priorgap.report.drawing import PALETTE, WIDTH, close_matrices, empty_figure, png

Windows = npt.NDArray[np.floating]
# The numbers of channels and lines that fit the page's width and stay readable.
_MAX_CHANNELS, _MAX_MATRIX, _N_LINES = 4, 12, 5
_MAX_LAG = 24
# The width in inches: a third of the page.
_TILE = 3.2
_BAND = (5, 50, 95)
_REAL_COLOUR = "#000000"


def windows_over_time(
    name: str, values: Windows, real: Windows, *, n_past: int = 0, channels: tuple[str, ...] = ()
) -> bytes:
    """Draw a few windows over the band that holds 90 % of the values at each step, with a panel for each channel.

    Args:
        name: the sampler, or "real".
        values: its windows [n, T, f], NaN where a value is missing: lines break there.
        real: the real windows, which set the axes, so that pictures are comparable.
        n_past: the number of steps before the future begins, whose end is marked.
        channels: the channels' names.
    """
    n_steps, shown = values.shape[1], min(values.shape[2], _MAX_CHANNELS)
    figure, axes = empty_figure(0.5 + 0.95 * shown, shown, 1, share_x=True, width=_TILE)
    colour = _REAL_COLOUR if name in (REAL, RECONSTRUCTIONS) else PALETTE[0]
    steps = np.arange(n_steps)
    for channel, axis in enumerate(axes[:, 0]):
        own = values[:, :, channel]
        # A line does not show a value between two gaps, so values are marked by dots.
        marker = "." if np.isnan(own).any() else ""
        low, middle, high = _percentiles(own)
        axis.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(steps, middle, color=colour, linewidth=1.6)
        for row in own[:_N_LINES]:
            axis.plot(steps, row, color=colour, alpha=0.55, linewidth=0.7, marker=marker, markersize=1.5)
        if 0 < n_past < n_steps:
            axis.axvline(n_past - 0.5, color="#777777", linewidth=0.8, linestyle=":")
        axis.set_ylim(*_limits(real[:, :, channel]))
        axis.set_ylabel(_channel(channel, channels), fontsize=9)
    axes[-1, 0].set_xlabel("step", fontsize=9)
    return png(figure)


def autocorrelations(
    windows: Mapping[str, Windows], colours: Mapping[str, str], *, channels: tuple[str, ...] = ()
) -> bytes | None:
    """Draw each sampler's autocorrelation beside that of real windows, a panel per channel; None for one step."""
    n_steps, n_channels = next(iter(windows.values())).shape[1:]
    shown, n_lags = min(n_channels, _MAX_CHANNELS), min(n_steps - 1, _MAX_LAG)
    if n_lags < 1:
        return None
    figure, axes = empty_figure(0.9 + 1.25 * shown, shown, 1, share_x=True)
    lags = np.arange(n_lags + 1)
    for name, values in windows.items():
        found = autocorrelation(values, n_lags)
        for channel, axis in enumerate(axes[:, 0]):
            real = name == REAL
            axis.plot(
                lags, found[:, channel], label=name, color=_REAL_COLOUR if real else colours.get(name, "#777777"),
                linewidth=2.2 if real else 1.1, linestyle="--" if name == RECONSTRUCTIONS else "-",
            )  # fmt: skip
    for channel, axis in enumerate(axes[:, 0]):
        axis.axhline(0, color="#cccccc", linewidth=0.6)
        axis.set_ylabel(_channel(channel, channels), fontsize=9)
    axes[-1, 0].set_xlabel("lag in steps", fontsize=9)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=3,
        fontsize=8,
        frameon=False,
    )
    return png(figure)


def channel_correlations(windows: Mapping[str, Windows], *, channels: tuple[str, ...] = ()) -> bytes | None:
    """Draw each sampler's matrix of correlations between channels; None for one channel, or for too many."""
    n_channels = next(iter(windows.values())).shape[2]
    if not 2 <= n_channels <= _MAX_MATRIX:
        return None
    columns = min(3, len(windows))
    rows = -(-len(windows) // columns)
    figure, axes = empty_figure(rows * WIDTH / columns + 0.5, rows, columns)
    drawn = None
    for axis, (name, values) in zip(axes.flat, windows.items(), strict=False):
        drawn = axis.imshow(correlation(values), vmin=-1, vmax=1, cmap="PuOr", interpolation="nearest")
        axis.set_title(name, fontsize=9)
        axis.set_xticks(
            range(n_channels), [_channel(c, channels) for c in range(n_channels)], rotation=90, fontsize=7
        )
        axis.set_yticks(range(n_channels), [_channel(c, channels) for c in range(n_channels)], fontsize=7)
    return close_matrices(figure, axes, len(windows), drawn, "correlation at the same step")


def autocorrelation(values: Windows, n_lags: int) -> npt.NDArray[np.float64]:
    """Return the autocorrelation [n_lags + 1, f] of all windows about their mean; 0 for constant channels.

    NaN is a missing value; each lag uses the pairs without missing values.
    """
    x, known = _centred(values)
    n_steps = x.shape[1]
    variance = _divided(np.square(x).sum((0, 1)), known.sum((0, 1)))
    cov = np.stack(
        [
            _divided(
                (x[:, : n_steps - k] * x[:, k:]).sum((0, 1)),
                (known[:, : n_steps - k] & known[:, k:]).sum((0, 1)),
            )
            for k in range(n_lags + 1)
        ]
    )
    found: npt.NDArray[np.float64] = np.divide(
        cov, variance, out=np.zeros_like(cov), where=np.broadcast_to(variance > 0, cov.shape)
    )
    return found


def correlation(values: Windows) -> npt.NDArray[np.float64]:
    """Return correlations [f, f] at the same step over values that are both present; 0 for constant channels."""
    x, known = _centred(values)
    x, known = x.reshape(-1, values.shape[2]), known.reshape(-1, values.shape[2])
    scale = np.sqrt(_divided(np.square(x).sum(0), known.sum(0)))
    there = known.astype(np.float64)
    cov = _divided(x.T @ x, there.T @ there)
    product = np.outer(scale, scale)
    found: npt.NDArray[np.float64] = np.divide(cov, product, out=np.zeros_like(cov), where=product > 0)
    return found


def _centred(values: Windows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return values minus each channel's mean (0 where missing), and which values are present."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0).astype(np.float64)
    mean = _divided(filled.sum((0, 1)), known.sum((0, 1)))
    return np.where(known, filled - mean, 0.0), known


def _divided(total: npt.NDArray[np.float64], n: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
    """Return the quotients, with 0 where nothing was counted."""
    found: npt.NDArray[np.float64] = np.divide(total, n, out=np.zeros_like(total), where=n > 0)
    return found


def _percentiles(own: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the percentile band [3, T] of the present values among [n, T]; NaN at a step without any."""
    known = ~np.isnan(own)
    if known.all():
        found: npt.NDArray[np.floating] = np.percentile(own, _BAND, axis=0)
        return found
    steps = [
        np.percentile(column[there], _BAND) if there.any() else np.full(len(_BAND), np.nan)
        for column, there in zip(own.T, known.T, strict=True)
    ]
    return np.stack(steps, 1)


def _limits(real: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the limits of an axis: the range of real values, extended by a quarter on either side."""
    known = real[~np.isnan(real)]
    low, high = (float(v) for v in np.percentile(known, (0.5, 99.5))) if len(known) else (0.0, 0.0)
    margin = 0.25 * ((high - low) or 1.0)
    return low - margin, high + margin


def _channel(channel: int, channels: tuple[str, ...]) -> str:
    return channels[channel] if channel < len(channels) else f"channel {channel}"


def pictures_of(
    windows: Mapping[str, Windows],
    colours: Mapping[str, str],
    *,
    n_past: int = 0,
    channels: tuple[str, ...] = (),
) -> Iterator[tuple[str, str, bytes]]:
    """Yield (kind, name, PNG): "windows" of each sampler, then "autocorrelation" and "channels" of all together."""
    real = windows.get(REAL, next(iter(windows.values())))
    for name, values in windows.items():
        yield "windows", name, windows_over_time(name, values, real, n_past=n_past, channels=channels)
    for what, found in (
        ("autocorrelation", autocorrelations(windows, colours, channels=channels)),
        ("channels", channel_correlations(windows, channels=channels)),
    ):
        if found is not None:
            yield what, "", found

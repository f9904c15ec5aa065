"""Pictures of series show what the numbers say."""

import io

import numpy as np
import pytest
from PIL import Image

from priorgap.report.series_pictures import (
    autocorrelation,
    autocorrelations,
    channel_correlations,
    correlation,
    pictures_of,
    windows_over_time,
)


def autoregressive(phi, n=400, n_steps=30, seed=0):
    """Stationary AR(1) windows of variance 1: r(k) = phi^k."""
    noise = np.random.default_rng(seed).normal(size=(n, n_steps))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, n_steps):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * noise[:, t]
    return x


def two_channels(phi, rho, seed=0):
    a, b = autoregressive(phi, seed=seed), autoregressive(phi, seed=seed + 1)
    return np.stack([a, rho * a + np.sqrt(1 - rho**2) * b], 2).astype(np.float32)


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_autocorrelation_of_a_known_process():
    found = autocorrelation(two_channels(0.8, 0.5), 6)
    assert found[:, 0] == pytest.approx(0.8 ** np.arange(7), abs=0.04)
    shuffled = np.random.default_rng(0).permuted(two_channels(0.8, 0.5), axis=1)
    # a window keeps its mean, so that some correlation stays; that of neighbours does not
    assert np.abs(autocorrelation(shuffled, 6)[1:]).max() < 0.35


def test_correlation_of_a_known_pair():
    assert correlation(two_channels(0.3, -0.6))[0, 1] == pytest.approx(-0.6, abs=0.03)


def test_gaps_count_as_nothing():
    whole = two_channels(0.8, -0.6)
    x = np.where(np.random.default_rng(0).random(whole.shape) < 0.3, np.nan, whole)
    assert autocorrelation(x, 6)[:, 0] == pytest.approx(0.8 ** np.arange(7), abs=0.05)
    assert correlation(x)[0, 1] == pytest.approx(-0.6, abs=0.04)
    # the control: zeros where values are missing
    zeros = np.nan_to_num(x)
    assert autocorrelation(zeros, 6)[1, 0] < 0.65 and correlation(zeros)[0, 1] > -0.5


def test_windows_with_gaps_are_drawn():
    whole = two_channels(0.8, 0.5)
    x = np.where(np.random.default_rng(0).random(whole.shape) < 0.3, np.nan, whole)
    # a step without any value, and a channel without any
    x[:, 4, 0] = np.nan
    assert not np.array_equal(
        pixels(windows_over_time("prior", x, x)), pixels(windows_over_time("prior", whole, x))
    )
    x[:, :, 1] = np.nan
    assert windows_over_time("prior", x, x) == windows_over_time("prior", x.copy(), x)
    assert autocorrelation(x, 3)[:, 1].tolist() == [0, 0, 0, 0] and correlation(x)[0, 1] == 0
    shown = list(pictures_of({"real": x, "prior": x}, {}))
    assert [what for what, _, _ in shown] == ["windows", "windows", "autocorrelation", "channels"]


def test_a_channel_that_stands_still_has_no_correlation():
    x = two_channels(0.5, 0.5)
    x[:, :, 1] = 7
    assert autocorrelation(x, 3)[:, 1].tolist() == [0, 0, 0, 0]
    assert correlation(x)[0, 1] == 0


def test_equal_inputs_have_equal_bytes_and_others_do_not():
    x, y = two_channels(0.8, 0.5), two_channels(0.1, 0.5)
    assert windows_over_time("prior", x, x) == windows_over_time("prior", x, x)
    assert windows_over_time("prior", x, x) != windows_over_time("prior", y, x)
    assert autocorrelations({"real": x, "prior": y}, {}) != autocorrelations({"real": x, "prior": x}, {})


def test_axes_are_the_real_ones_whatever_a_sampler_gives():
    # values a thousand times too large leave the panel, the axis stays
    x = two_channels(0.8, 0.5)
    far = pixels(windows_over_time("prior", x + 1000, x))
    empty = pixels(windows_over_time("prior", np.full_like(x, 1000.0), x))
    assert np.array_equal(far, empty)


def test_what_is_drawn_of_one_channel_one_step_and_many():
    one = two_channels(0.8, 0.5)[:, :, :1]
    assert channel_correlations({"real": one}) is None
    assert autocorrelations({"real": one[:, :1]}, {}) is None
    many = np.zeros((5, 4, 13), np.float32)
    assert channel_correlations({"real": many}) is None
    whats = [(what, whom) for what, whom, _ in pictures_of({"real": one, "gmm": one}, {}, n_past=10)]
    assert whats == [("windows", "real"), ("windows", "gmm"), ("autocorrelation", "")]
    assert len(pixels(windows_over_time("real", many, many)).shape) == 3


def test_series_are_drawn_real_first_and_explained():
    from priorgap.report.previews import SeriesPreview, drawn
    from priorgap.report.tiles import sample_tile

    x = two_channels(0.8, 0.5)
    known = {"gmm": SeriesPreview(x, 5, ("temp", "dewp")), "real": SeriesPreview(x, 5, ("temp", "dewp"))}
    found = list(drawn(known, ["prior", "gmm"], "cell 1"))
    assert [one.file for one in found] == ["real", "gmm", "autocorrelation", "channels"]
    assert [one.wide for one in found] == [False, False, True, True]
    assert "90 %" in found[0].note and "temp" not in found[0].note
    images = {"gmm": np.zeros((4, 8, 8, 1), np.uint8)}
    (tile, beside) = drawn(images, ["gmm"], "cell 1")
    assert tile.content == sample_tile(images["gmm"]) and not tile.note and beside.beside

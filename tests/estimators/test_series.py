"""Distances between windows: closed forms, independent references, controls, and errors by simulation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from priorgap.core.random import stream
from priorgap.estimators import series
from priorgap.estimators.aligned_windows import AlignedWindows
from priorgap.estimators.checks import NotFinite
from priorgap.estimators.detection import detection_area, ridge
from priorgap.estimators.identical import RowSet
from priorgap.estimators.near_copies import near_copies
from priorgap.estimators.rocket import Rocket
from priorgap.estimators.series import (
    autocorrelation_distance,
    blocks_of,
    cross_correlation_distance,
    marginal_distance,
    spectrum_distance,
    stride_of,
)
from priorgap.estimators.uncertainty import Estimate


def noise(*shape: int, name: str = "noise") -> Tensor:
    return torch.randn(*shape, generator=stream(0, "series", name), dtype=torch.float64)


def autoregression(
    n: int, n_steps: int, phi: float, *, channels: int = 1, rho: float = 0.0, name: str = ""
) -> Tensor:
    """Stationary AR(1) of unit variance, whose channels share rho of their noise."""
    e = noise(n, n_steps, channels, name=f"ar {phi} {rho} {name}")
    shared = noise(n, n_steps, 1, name=f"shared {phi} {rho} {name}")
    e = (1 - rho) ** 0.5 * e + rho**0.5 * shared
    x = [e[:, 0]]
    for t in range(1, n_steps):
        x.append(phi * x[-1] + (1 - phi**2) ** 0.5 * e[:, t])
    return torch.stack(x, 1)


def windows(x: Tensor, n_steps: int, stride: int) -> Tensor:
    """Cut windows from one series [N, f]."""
    return torch.stack([x[i : i + n_steps] for i in range(0, len(x) - n_steps + 1, stride)])


# -- closed forms and references -----------------------------------------------------------------------------------


def test_autocorrelations_of_autoregressions_are_powers():
    a, b = autoregression(4000, 12, 0.8), autoregression(4000, 12, 0.3)
    found = autocorrelation_distance(a, b, n_lags=5).whole
    truth = np.mean([0.8**k - 0.3**k for k in range(1, 6)])
    assert found.std_error is not None and 0 < found.std_error < 0.02
    assert abs(found.value - truth) < 4 * found.std_error


def test_correlated_channels_differ_by_rho_at_lag_0_and_by_powers_after():
    a, b = (autoregression(4000, 10, 0.7, channels=2, rho=rho) for rho in (0.6, 0.0))
    found = cross_correlation_distance(a, b, n_lags=2).whole
    truth = 0.6 * np.mean([1, 0.7, 0.7, 0.49, 0.49])
    assert found.std_error is not None and abs(found.value - truth) < 4 * found.std_error + 0.005


def test_spectra_of_two_sines_do_not_meet():
    t = torch.arange(16) / 16

    def sines(frequency: int) -> Tensor:
        phase = 2 * torch.pi * torch.rand(300, 1, generator=stream(0, frequency))
        return torch.sin(2 * torch.pi * frequency * t + phase)[..., None]

    assert spectrum_distance(sines(2), sines(5)).whole.value == pytest.approx(1, abs=1e-9)
    half = torch.cat([sines(2), sines(5)])
    assert spectrum_distance(half, sines(5)).whole.value == pytest.approx(0.5, abs=0.02)
    # whatever the amplitude and the level
    assert spectrum_distance(7 * half + 3, half).whole.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (150, 230)])
def test_values_are_compared_as_scipy_does(n, m):
    a, b = noise(n, 4, 3, name="a") + 0.3, noise(m, 4, 3, name="b").exp()
    found = marginal_distance(a, b)
    for c in range(3):
        steps = [stats.wasserstein_distance(a[:, t, c].numpy(), b[:, t, c].numpy()) for t in range(4)]
        truth = np.mean(steps) / float(b[..., c].std(correction=0))
        assert found.by_channel[c].value == pytest.approx(truth, rel=1e-9)
    assert found.whole.value == pytest.approx(np.mean([one.value for one in found.by_channel]), rel=1e-12)


def reference_correlations(x: np.ndarray, n_lags: int) -> np.ndarray:
    """cov(x_{t,c}, x_{t+k,d}) / sd sd for k = 0..K, by loops."""
    _, n_steps, f = x.shape
    x = x - x.mean((0, 1))
    found = np.zeros((n_lags + 1, f, f))
    for k in range(n_lags + 1):
        for c in range(f):
            for d in range(f):
                pairs = x[:, : n_steps - k, c] * x[:, k:, d]
                found[k, c, d] = pairs.mean()
    sd = np.sqrt(np.diagonal(found[0]))
    return found / sd[:, None] / sd


def test_correlations_equal_those_of_plain_loops():
    a, b = autoregression(60, 7, 0.6, channels=3, rho=0.4), autoregression(80, 7, 0.2, channels=3) * 5 + 2
    gaps = np.abs(reference_correlations(a.numpy(), 3) - reference_correlations(b.numpy(), 3))
    own = gaps[1:, range(3), range(3)].mean(0)
    found = autocorrelation_distance(a, b, n_lags=3)
    assert [one.value for one in found.by_channel] == pytest.approx(own, rel=1e-9)
    for c in range(3):
        lags = [
            [gaps[k, c, d] for k in range(4)] + [gaps[k, d, c] for k in (1, 2, 3)] for d in range(3) if d != c
        ]
        found_c = cross_correlation_distance(a, b, n_lags=3).by_channel[c].value
        assert found_c == pytest.approx(np.mean(lags), rel=1e-9)


# -- what each sees, and what it is blind to -------------------------------------------------------------------------


def waves(n: int, name: str, *, noise: float = 0.1) -> Tensor:
    """Two channels that move together, one a step behind the other, at one of three frequencies."""
    g = stream(1, name)
    frequency = torch.tensor([1.0, 2.0, 3.0])[torch.randint(0, 3, (n, 1), generator=g)]
    phase, t = torch.rand(n, 1, generator=g), torch.arange(16) / 16
    first, second = (torch.sin(2 * torch.pi * (frequency * s + phase)) for s in (t, t - 1 / 16))
    return torch.stack([first, second], 2) + noise * torch.randn(n, 16, 2, generator=g)


def shuffled_in_time(x: Tensor) -> Tensor:
    order = torch.rand(x.shape[:2], generator=stream(2)).argsort(1)
    return x.gather(1, order[..., None].expand_as(x))


def other_channels(x: Tensor) -> Tensor:
    """Each channel from a window of its own."""
    g = stream(3)
    return torch.stack([x[torch.randperm(len(x), generator=g), :, c] for c in range(x.shape[2])], 2)


def smoothed(x: Tensor) -> Tensor:
    """Means over three steps, as a decoder that cannot follow gives them."""
    return (x.roll(1, 1) + x + x.roll(-1, 1)) / 3


CHANGES = {
    "nothing": (lambda x: x, set()),
    "time shuffled": (shuffled_in_time, {"autocorrelation", "cross-correlation", "spectrum", "detection"}),
    "channels of other windows": (other_channels, {"cross-correlation", "detection"}),
    "amplitude times 1.1": (lambda x: 1.1 * x, {"marginals", "detection"}),
    "half of the windows": (lambda x: x[: len(x) // 2], set()),
    "training windows, copied": (lambda x: waves(len(x), "train"), {"identical share", "near copies"}),
    "training windows, moved by three steps": (
        lambda x: waves(len(x), "train").roll(3, 1),
        {"near copies"},
    ),
    "without noise, as a decoder's mean": (lambda x: waves(len(x), "made", noise=0.0), {"detection"}),
    "smoothed over three steps": (
        smoothed,
        {"autocorrelation", "cross-correlation", "spectrum", "marginals", "detection"},
    ),
    "reversed in time": (lambda x: x.flip(1), {"cross-correlation", "detection"}),
    "stands still": (
        torch.zeros_like,
        {"autocorrelation", "cross-correlation", "spectrum", "marginals", "detection"},
    ),
}


def detection(a: Tensor, b: Tensor) -> Estimate:
    """How far above one half windows are told apart, by random convolutions of training windows' scale."""
    rocket = Rocket.of(waves(1000, "train"), n_kernels=200, generator=stream(5))
    found = detection_area(rocket(a[:1000]), rocket(b[:1000]), ridge, n_folds=5, generator=stream(6))
    return Estimate(max(found.value - 0.5, 0.0), found.std_error)


def identical(a: Tensor, b: Tensor) -> Estimate:
    """The share that is a training window."""
    return Estimate(RowSet.of(waves(3000, "train")).shared(a) / len(a), 0.0)


def near(a: Tensor, b: Tensor) -> Estimate:
    """The share of some windows that is near a training window after a shift."""
    index = AlignedWindows.of(waves(3000, "train"), waves(1000, "unseen"))
    assert index is not None
    return near_copies(*index.nearest_two(a[:300]), *index.sizes).share.estimate


SEEN_BY = {
    "autocorrelation": lambda a, b: autocorrelation_distance(a, b, n_lags=8).whole,
    "cross-correlation": lambda a, b: cross_correlation_distance(a, b, n_lags=8).whole,
    "spectrum": lambda a, b: spectrum_distance(a, b).whole,
    "marginals": lambda a, b: marginal_distance(a, b).whole,
    "detection": detection,
    "identical share": identical,
    "near copies": near,
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_sees_what_it_is_meant_to_and_nothing_else(change):
    changed, seen = CHANGES[change]
    made, real, again = changed(waves(3000, "made")), waves(3000, "real"), waves(3000, "again")
    found = set()
    for name, measure in SEEN_BY.items():
        floor, value = measure(again, real), measure(made, real)
        assert floor.std_error is not None
        if value.value > 2 * floor.value + 4 * floor.std_error:
            found.add(name)
    assert found == seen


def table() -> str:
    """What stands in docs/methods.md."""
    lines = [f"| change | {' | '.join(SEEN_BY)} |", "|---|" + "---|" * len(SEEN_BY)]
    for change, (_, seen) in CHANGES.items():
        lines.append(
            f"| {change} | " + " | ".join("found" if name in seen else "–" for name in SEEN_BY) + " |"
        )
    return "\n".join(lines)


def test_the_page_has_the_table_of_changes():
    page = (Path(__file__).parents[2] / "docs/methods.md").read_text(encoding="utf-8")
    assert table() in page, table()


# -- errors ----------------------------------------------------------------------------------------------------------

MEASURES = {
    "autocorrelation": lambda a, b: autocorrelation_distance(a, b, n_lags=4),
    "cross-correlation": lambda a, b: cross_correlation_distance(a, b, n_lags=2),
    "spectrum": spectrum_distance,
    "marginals": marginal_distance,
}


def calibration(name: str, sets, n_repeats: int = 60) -> float:
    """Mean standard error over the standard deviation of values, over repeats."""
    found = [MEASURES[name](*sets(repeat)).whole for repeat in range(n_repeats)]
    errors = [one.std_error for one in found if one.std_error is not None]
    return float(np.mean(errors) / np.std([one.value for one in found], ddof=1))


def apart(repeat: int) -> tuple[Tensor, Tensor]:
    return (
        autoregression(300, 8, 0.8, channels=2, rho=0.7, name=f"a {repeat}") * 1.3,
        autoregression(300, 8, 0.3, channels=2, name=f"b {repeat}"),
    )


def overlapping(repeat: int) -> tuple[Tensor, Tensor]:
    """Windows that share steps beside independent ones."""
    long = autoregression(1, 900, 0.3, channels=2, name=f"long {repeat}")[0]
    return autoregression(900, 8, 0.8, channels=2, rho=0.7, name=f"a {repeat}") * 1.3, windows(long, 8, 1)


# 60 repeats: the spread of a ratio of 1 is a tenth, with the jackknife's own
@pytest.mark.parametrize("sets", [apart, overlapping])
@pytest.mark.parametrize("name", MEASURES)
def test_errors_are_those_of_repetition(name, sets):
    assert 0.7 < calibration(name, sets) < 1.45


@pytest.mark.parametrize("name", ["autocorrelation", "cross-correlation"])
def test_windows_that_share_steps_taken_as_independent_have_errors_too_small(name, monkeypatch):
    """Negative control of the blocks: windows in random order look independent."""

    def mixed(repeat: int) -> tuple[Tensor, Tensor]:
        a, b = overlapping(repeat)
        return a, b[torch.randperm(len(b), generator=stream(4, repeat))]

    assert calibration(name, mixed) < 0.75


@pytest.mark.parametrize("stride", [1, 3])
def test_shared_steps_are_seen(stride):
    x = windows(noise(200, 2), 7, stride)
    assert stride_of(x) == stride
    block = blocks_of(x)
    assert block is not None and bool((block.diff() >= 0).all())
    assert int(block.bincount().min()) >= 2 * 7 // stride
    assert stride_of(noise(50, 7, 2)) is None
    # windows that meet share no steps
    assert stride_of(windows(noise(200, 2), 7, 7)) is None


# -- what is degenerate ----------------------------------------------------------------------------------------------


def test_few_windows_have_no_error_and_the_same_value():
    a, b = autoregression(9, 6, 0.5), autoregression(200, 6, 0.5, name="b")
    for name, measure in MEASURES.items():
        if name != "cross-correlation":
            assert measure(a, b).whole.std_error is None
            assert measure(b, b).whole.value == pytest.approx(0, abs=1e-12)
    assert blocks_of(windows(noise(60, 1), 8, 1)) is None


def test_what_cannot_be_compared_is_one_line():
    good = noise(40, 5, 2)
    for a, b, line in (
        (good, good[:, :4], "windows of (5, 2) and (4, 2): expected one shape"),
        (good[:, 0], good, "a has shape (40, 2): expected windows [n, T, f]"),
        (
            good,
            torch.stack([good[..., 0], torch.ones(40, 5)], 2),
            "channel 1 is constant: expected values that vary",
        ),
    ):
        for measure in MEASURES.values():
            with pytest.raises(ValueError) as caught:
                measure(a, b)
            assert str(caught.value) == line
    with pytest.raises(NotFinite, match="a has values that are not finite"):
        spectrum_distance(good * float("nan"), good)
    with pytest.raises(ValueError, match="windows of one step: expected at least two"):
        autocorrelation_distance(good[:, :1], good[:, :1], n_lags=3)
    with pytest.raises(ValueError, match="windows of one channel: expected at least two"):
        cross_correlation_distance(good[..., :1], good[..., :1], n_lags=3)
    assert marginal_distance(good[:, :1], good[:, :1]).whole.value == 0


def test_more_lags_than_steps_are_those_that_there_are():
    a, b = autoregression(50, 4, 0.5), autoregression(50, 4, 0.1)
    assert autocorrelation_distance(a, b, n_lags=50) == autocorrelation_distance(a, b, n_lags=3)


def test_blocks_are_at_least_ten_and_at_most_thirty():
    assert len(set(blocks_of(noise(5000, 3, 1)).tolist())) == series.MAX_BLOCKS
    assert len(set(blocks_of(noise(10, 3, 1)).tolist())) == series.MIN_BLOCKS

"""The space of random convolutions: equal series are as near as chance has it, changed ones are not."""

import math

import pytest
import torch

from priorgap.core.build import build, load_option
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.estimators.coverage import precision_recall_density_coverage
from priorgap.estimators.discrepancy import frechet_from_features, frechet_null_interval
from priorgap.estimators.rocket import Rocket
from priorgap.features.maps import extract, knows_the_training_data
from priorgap.features.rocket import RocketSpace
from priorgap.features.spaces import FeatureSpace, SpaceInputs

SPACE = build(load_option("features", "rocket"), FeatureSpace, where="features.rocket")
N, STEPS = 1000, 24


def waves(name: str, n: int = N, channels: int = 2):
    """Sines of random phase and level with noise; the second channel is a step behind."""
    g = stream(0, "rocket features", name)
    t = torch.arange(STEPS) * 2 * math.pi / STEPS
    phase, level = 2 * math.pi * torch.rand(n, 1, 1, generator=g), torch.randn(n, 1, 1, generator=g)
    x = torch.sin(2 * t[None, :, None] + phase - 0.5 * torch.arange(channels)) + 0.3 * level
    return x + 0.2 * torch.randn(n, STEPS, channels, generator=g)


def series(x):
    return Split(x, None, "float_sequence")


def opened(x, seed=0):
    return SPACE.open(SpaceInputs(series(x), None, seed))


TRAIN, TEST = waves("train", 4 * N), waves("test")
MAP = opened(TRAIN)
REAL = extract(MAP, TEST)


def shuffled(x, axis):
    return x.gather(axis, torch.rand(x.shape, generator=stream(1, axis)).argsort(axis))


def distance(x):
    return frechet_from_features(extract(MAP, x), REAL).value


CHANGED = {
    "steps in another order": lambda x: shuffled(x, 1),
    "channels of other windows": lambda x: torch.stack([x[:, :, 0], x[:, :, 1].roll(1, 0)], 2),
    "amplitudes x 1.1": lambda x: x * 1.1,
    "smoothed, as means of p(x|z) are": lambda x: (x.roll(1, 1) + x + x.roll(-1, 1)) / 3,
    "backwards": lambda x: x.flip(1),
    "fifty windows, repeated": lambda x: x[:50].repeat(N // 50, 1, 1),
    "one value": lambda x: x * 0,
}


def test_unseen_windows_of_one_law_are_as_near_as_training_windows():
    low, high = frechet_null_interval(
        extract(MAP, TRAIN),
        N,
        N,
        generator=stream(2),
        n_repeats=20,
    )
    # the kernels were scaled by the training windows; others are no further off
    assert low * 0.9 < distance(TRAIN[:N]) < high * 1.1
    assert low * 0.9 < distance(waves("other")) < high * 1.1
    assert not knows_the_training_data(MAP)


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_changed_windows_are_found(change):
    _, high = frechet_null_interval(extract(MAP, TRAIN), N, N, generator=stream(2), n_repeats=20)
    assert distance(change(waves("other"))) > 1.5 * high


def smooth(name: str, n: int, *, scatter: float = 1.0, noise: float = 0.0):
    """Sums of four slow cosines with correlated weights."""
    g = stream(0, "smooth", name)
    basis = torch.cos(math.pi * torch.arange(4)[:, None] * torch.arange(STEPS) / STEPS)
    common, own = torch.randn(n, 1, 2, generator=g), torch.randn(n, 4, 2, generator=g)
    x = torch.einsum("nkc,kt->ntc", scatter * (math.sqrt(0.7) * common + math.sqrt(0.3) * own), basis)
    return x + noise * torch.randn(x.shape, generator=g)


def test_means_without_noise_are_nearer_than_means_that_scatter_too_much():
    train, test = smooth("train", 3 * N, noise=0.3), smooth("test", N, noise=0.3)
    means, scattered = smooth("made", N), smooth("made", N, scatter=1.3)

    def places(found):
        return [frechet_from_features(found(x), found(test)).value for x in (means, scattered)]

    near, far = places(opened(train))
    assert near < 0.9 * far
    # kernels that see no level put them the other way round: more scatter looks like the noise that is missing
    centred = Rocket.of(train, n_kernels=64, generator=stream(0, "features", "rocket"), centred=True)
    scale = centred(train).std(0).clamp(min=1e-3)
    wrong, less = places(lambda x: centred(x) / scale)
    assert wrong > 1.05 * less


def test_precision_and_recall_are_well_behaved():
    def found(x):
        own = precision_recall_density_coverage(REAL, extract(MAP, x), generator=stream(3))
        return [float(getattr(own, name).value) for name in ("precision", "recall", "density", "coverage")]

    equal, few = found(waves("other")), found(CHANGED["fifty windows, repeated"](waves("other")))
    assert all(value > 0.7 for value in equal) and 0.85 < equal[2] < 1.15
    # a few good windows are precise and cover little
    assert few[0] > 0.7 and few[1] < 0.3 and few[3] < 0.4
    other = found(CHANGED["steps in another order"](waves("other")))
    assert other[0] < 0.1 and other[3] < 0.1


def test_both_kinds_of_feature_count_and_none_is_extreme():
    spread, shares = REAL.std(0), MAP.rocket.shares
    assert REAL.shape == (N, 128) and REAL.dtype == torch.float32
    assert int(((spread > 0.8) & (spread < 1.25) & shares).sum()) > 32
    assert int(((spread > 0.8) & (spread < 1.25) & ~shares).sum()) > 48
    assert float(REAL.abs().max()) < 20


def test_the_map_is_of_seed_shape_and_the_training_windows_scale_alone():
    again, other = opened(TRAIN), opened(TRAIN, seed=1)
    assert torch.equal(extract(again, TEST), REAL)
    assert not torch.equal(extract(other, TEST), REAL)
    # in any order and in any units of a channel the windows are the same
    moved = 1000 * TEST + torch.tensor([5.0, -3.0])
    units = opened(1000 * TRAIN.flip(0) + torch.tensor([5.0, -3.0]))
    assert torch.allclose(extract(units, moved), REAL, atol=2e-3)
    # a row's features do not depend on its company
    assert torch.equal(extract(MAP, TEST[:7]), REAL[:7])


@pytest.mark.parametrize("channels", [1, 3])
def test_constant_channels_weigh_nothing_and_one_odd_window_does_not_break_it(channels):
    still = torch.cat([waves("still", 400, channels), torch.full((400, STEPS, 1), 7.0)], 2)
    found = extract(opened(still), still)
    assert bool(torch.isfinite(found).all()) and float(found.abs().max()) < 20
    flat = torch.ones(50, STEPS, channels)
    assert float(extract(opened(flat), flat).abs().max()) < 1e-6
    still[0, 3, -1] += 1.0
    assert bool(torch.isfinite(extract(opened(still), still)).all())


def test_what_is_no_series_is_refused_in_one_line():
    images = Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    line = r"^features=rocket: the data are grey images of 8 x 8; expected series \[steps, channels\]"
    for refused in (SPACE.check, lambda x: SPACE.open(SpaceInputs(x, None, 0))):
        with pytest.raises(ValueError, match=line) as caught:
            refused(images)
        assert "\n" not in str(caught.value)
    SPACE.check(series(TRAIN))
    with pytest.raises(ValueError, match=r"expected \[n, 24, 2\]"):
        MAP(torch.zeros(2, STEPS + 1, 2))
    assert isinstance(SPACE, RocketSpace) and not SPACE.needs_classifier

"""Series in `compare`: rows [n, steps, channels] of any values, measured as series, drawn as series."""

import math

import numpy as np
import pytest
import torch

from priorgap import compare
from priorgap.core.random import stream
from priorgap.data.splits import Split

STEPS, CHANNELS, DIM = 8, 2, 3
MEASURES = ["autocorrelation", "cross_correlation", "spectrum", "step_marginals", "series_floors", "fid"]


def decode(z):
    t = 2 * math.pi * torch.arange(STEPS) / STEPS
    waves = [z[:, :1] * (t - c).cos() + z[:, 1:2] * (t - c).sin() + z[:, 2:3] for c in range(CHANNELS)]
    return torch.stack(waves, 2)


BASIS = decode(torch.eye(DIM)).flatten(1)


def encode(x):
    assert x.shape[1:] == (STEPS, CHANNELS) and x.dtype == torch.float32
    mean = x.flatten(1) @ torch.linalg.pinv(BASIS)
    return mean, torch.full_like(mean, -3.0)


def rows(n, name):
    # the second unit is wider than the prior: values at each step are, and nothing else
    z = torch.randn(n, DIM, generator=stream(0, name)) * torch.tensor([2.0, 2.0, 0.5])
    return decode(z)


TRAIN, TEST = rows(600, "train"), rows(400, "test")


def found(train=TRAIN, test=TEST, **more):
    return compare(encode, decode, train, test, metrics=MEASURES, samplers=["prior", "gaussian_full"], **more)


@pytest.fixture(scope="module")
def result():
    return found(series=True)


def value(result, measure, sampler=""):
    table = result.table
    own = table[(table.measure == measure) & (table.sampler == sampler) & (table.unit == "")]
    return float(own[own.bound == "point"].value.iloc[0])


def test_they_are_measured_as_series(result):
    assert result.skipped == {}
    good, bad = (value(result, "step_marginal_distance", s) for s in ("gaussian_full", "prior"))
    assert bad > 3 * good and good < 3 * value(result, "step_marginal_floor")
    # the prior's waves have another amplitude, and another level beside it
    assert value(result, "spectrum_distance", "prior") > 3 * value(
        result, "spectrum_distance", "gaussian_full"
    )
    channels = set(result.table[result.table.measure == "autocorrelation_distance"].unit)
    assert channels == {"", "0", "1"}


def test_they_are_drawn_as_series(result):
    made = result.generate(20, "gaussian_full")
    assert tuple(made.x.shape) == (20, STEPS, CHANNELS) and made.x.dtype == np.float32
    assert result.samples("prior").kind == "float_sequence"


def test_arrays_and_splits_are_the_same(result):
    splits = [Split(x, None, "float_sequence") for x in (TRAIN, TEST)]
    arrays = [x.double().numpy() for x in (TRAIN, TEST)]
    for train, test, more in ((*splits, {}), (*arrays, {"series": True})):
        again = found(train, test, **more)
        assert np.allclose(again.table.value, result.table.value, rtol=1e-9, atol=0)


def test_values_of_images_are_series_where_that_is_said():
    low, high = float(TRAIN.min()), float(TRAIN.max())

    def scaled(x):
        return ((x - low) / (high - low)).clip(0, 1)

    seen = []

    def look(x):
        seen.append(tuple(x.shape[1:]))
        return x.flatten(1)[:, :2], torch.full((len(x), 2), -2.0)

    def back(z):
        return torch.zeros(len(z), STEPS, CHANNELS) + z[:, :1, None]

    for series in (True, False):
        result = compare(
            look, back, scaled(TRAIN), scaled(TEST), series=series, metrics=["spectrum"], samplers=["prior"]
        )
        assert set(seen) == {(STEPS, CHANNELS)}
        assert ("spectrum_distance" in set(result.table.measure)) is series
        notes = [one.sentence for one in result.health if one.name == "data_as_read"]
        assert bool(notes) is not series
    assert "taken as grey images (series=True where they are series)" in notes[0]


@pytest.mark.parametrize(
    ("train", "more", "line"),
    [
        (
            TRAIN.flatten(1),
            {"series": True},
            "train is float32 (600, 16): expected series [n, steps, channels]",
        ),
        (
            TRAIN,
            {"series": True, "range": (-1, 1)},
            "expected with images only; series are taken as they are",
        ),
        (TRAIN, {}, "or with series=True as series [n, steps, channels]"),
        (TRAIN * float("nan"), {"series": True}, "holds NaN or infinity in 600 of 600 rows"),
    ],
)
def test_what_is_none_is_one_line(train, more, line):
    with pytest.raises(ValueError) as caught:
        found(train, **more)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_printed_it_says_what_to_do(result):
    text = str(result)
    assert text.startswith("**Do this:** ") and "**How sure:** " in text and "gaussian_full" in text
    assert len(repr(result)) < 400 and "samplers=['prior', 'gaussian_full']" in repr(result)

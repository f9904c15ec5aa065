"""Measures of series over a model's draws: floors, channels, and what makes one absent."""

from dataclasses import replace

import pytest
import torch

from priorgap.core.latents import LatentDraw
from priorgap.metrics import (
    Autocorrelation,
    CrossCorrelation,
    Detection,
    DetectionFloor,
    NotApplicable,
    SeriesFloors,
    Spectrum,
    StepMarginals,
)
from priorgap.testing.metric_contract import run
from priorgap.testing.series_world import decode, series_world
from priorgap.testing.world import fresh, world

METRICS = {
    "autocorrelation": Autocorrelation(n_lags=5),
    "cross_correlation": CrossCorrelation(n_lags=3),
    "spectrum": Spectrum(),
    "step_marginal": StepMarginals(),
}
FLOORS = SeriesFloors(autocorrelation_lags=5, cross_correlation_lags=3)


def whole(rows, name):
    (found,) = [row.value for row in rows if row.measure == name and row.unit == ""]
    return found


@pytest.fixture(scope="module")
def floors():
    return run(FLOORS)


@pytest.mark.parametrize("name", METRICS)
def test_draws_of_the_law_are_at_the_floor_and_shuffled_ones_above(name, floors):
    here = series_world()
    floor = whole(floors, f"{name}_floor")
    good = run(METRICS[name], here.model.of("good", "candidate", here.draw(1000)))
    assert {row.unit for row in good} == {"", "0", "1"}
    assert all(row.std_error is not None and row.n == 1000 and row.n_reference == 250 for row in good)
    assert whole(good, f"{name}_distance") < 2.5 * floor

    def shuffled(z, label=None):
        x = decode(z) * 2.0
        order = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)).argsort(1)
        return x.gather(1, order)

    bad = run(METRICS[name], fresh(here.model, decode=shuffled).of("bad", "candidate", here.draw(1000)))
    assert whole(bad, f"{name}_distance") > 4 * floor


@pytest.mark.parametrize("name", METRICS)
def test_a_decoder_that_stands_still_is_measured(name, floors):
    here = series_world()
    model = fresh(here.model, decode=lambda z, label=None: torch.zeros(len(z), 8, 2))
    found = run(METRICS[name], model.of("still", "candidate", here.draw(100)))
    assert whole(found, f"{name}_distance") > 4 * whole(floors, f"{name}_floor")


def of_one_channel():
    model = series_world().model
    reference = model.reference
    parts = {
        part: replace(getattr(reference, part), x=getattr(reference, part).x[..., :1])
        for part in ("train", "validation", "test")
    }
    return fresh(
        model, decode=lambda z, label=None: decode(z)[..., :1], reference=replace(reference, **parts)
    )


def test_one_channel_has_all_but_pairs():
    model = of_one_channel()
    evidence = model.of("x", "candidate", series_world().draw(100))
    for name, metric in METRICS.items():
        if name == "cross_correlation":
            with pytest.raises(NotApplicable, match=r"^windows of one channel: expected at least two$"):
                run(metric, evidence)
        else:
            assert [row.unit for row in run(metric, evidence)] == [""]
    found = {row.measure for row in run(FLOORS, model.alone())}
    assert found == {"autocorrelation_floor", "spectrum_floor", "step_marginal_floor"}


def test_images_have_none_of_it():
    model = world().model
    evidence = model.of("prior", "candidate", LatentDraw(torch.randn(50, 3)))
    for metric in METRICS.values():
        with pytest.raises(NotApplicable, match=r"^the observations are no series$"):
            run(metric, evidence)
    with pytest.raises(NotApplicable, match=r"^the observations are no series$"):
        run(FLOORS, model.alone())


DETECTION = {"n_folds": 5, "n_kernels": 100, "n_most": 250}


def test_detection_finds_what_values_alone_do_not_show():
    """Real windows and draws of their law at one half; draws that run backwards are not."""
    here = series_world()
    (floor,) = run(DetectionFloor(**DETECTION))
    assert abs(floor.value - 0.5) < 4 * floor.std_error and floor.n == floor.n_reference == 250

    def noisy(z, label=None):
        return decode(z) + 0.05 * torch.randn(len(z), 8, 2, generator=torch.Generator().manual_seed(1))

    def backwards(z, label=None):
        return noisy(z).flip(1)

    values = {}
    for name, made in {"law": noisy, "backwards": backwards}.items():
        evidence = fresh(here.model, decode=made).of(name, "candidate", here.draw(250))
        (values[name],) = run(Detection(**DETECTION), evidence)
    assert abs(values["law"].value - 0.5) < 4 * values["law"].std_error
    assert values["backwards"].value > 0.9


def test_windows_that_share_steps_are_one_group_and_too_few_are_absent():
    series = torch.randn(300, 2, generator=torch.Generator().manual_seed(1))
    overlapping = torch.stack([series[i : i + 8] for i in range(250)])
    noise = torch.randn(250, 8, 2, generator=torch.Generator().manual_seed(2))
    model = series_world().model
    reference = model.reference
    test = replace(reference.test, x=overlapping)
    model = fresh(
        model, reference=replace(reference, test=test), decode=lambda z, label=None: noise[: len(z)]
    )
    evidence = model.of("x", "candidate", series_world().draw(250))
    (found,) = run(Detection(**{**DETECTION, "n_folds": 3}), evidence)
    # of 15 blocks
    assert abs(found.value - 0.5) < 4 * found.std_error
    with pytest.raises(NotApplicable, match=r"independent rows in 10 folds: expected at least two a fold"):
        run(Detection(**{**DETECTION, "n_folds": 10}), evidence)


def test_vectors_are_detected_by_their_columns():
    from priorgap.data.splits import Split

    model = series_world().model
    reference = model.reference
    flat = {
        part: Split(getattr(reference, part).x.flatten(1), None, "float_vector")
        for part in ("train", "validation", "test")
    }
    model = fresh(
        model, reference=replace(reference, **flat), decode=lambda z, label=None: 2 * decode(z).flatten(1)
    )
    (floor,) = run(DetectionFloor(**DETECTION), model.alone())
    (found,) = run(Detection(**DETECTION), model.of("x", "candidate", series_world().draw(250)))
    assert abs(floor.value - 0.5) < 4 * floor.std_error and found.value > 0.65
    with pytest.raises(NotApplicable, match=r"^the observations are images$"):
        run(DetectionFloor(**DETECTION), world().model.alone())

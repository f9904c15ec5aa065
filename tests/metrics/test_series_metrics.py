"""Measures of series over a model's draws: floors, channels, and what makes one absent."""

from dataclasses import replace

import pytest
import torch

from priorgap.core.latents import LatentDraw
from priorgap.metrics import (
    Autocorrelation,
    CrossCorrelation,
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

"""Quality measures: good, bad and degenerate samplers of the small world."""

from dataclasses import replace

import pytest
import torch

from priorgap.core.latents import LatentDraw
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.estimators.discrepancy import frechet_distance
from priorgap.estimators.gaussian import sample_moments
from priorgap.metrics import FID, KID, FIDFloor, NotApplicable, PRDCMeasures
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.testing.world import decode, fresh, world

PRDC = PRDCMeasures(k=5, n_max=250)


def measure(metric: object, evidence: Evidence) -> dict[str, Measurement]:
    rows = metric.measure(evidence, generator=stream(0))
    return {r.measure if r.bound == "point" else f"{r.measure} {r.bound}": r for r in rows}


def of(draw: LatentDraw, model: ModelEvidence | None = None) -> Evidence:
    return (world().model if model is None else model).of("some", "candidate", draw)


def good() -> Evidence:
    return of(world().draw())


def bad() -> Evidence:
    return of(world().prior_draw())


def constant() -> Evidence:
    return of(LatentDraw(torch.zeros(250, 3)))


def test_fid_orders_good_bad_and_degenerate() -> None:
    values = [measure(FID(), e)["fid"].value for e in (good(), bad(), constant())]
    assert values[0] < 0.5 * values[1]
    assert values[1] < values[2]


def test_fid_equals_the_distance_of_quantised_images() -> None:
    evidence = bad()
    x = (decode(evidence.draw.z) * 255).round().clamp(0, 255) / 255
    real = world().reference.test.floats()
    value = frechet_distance(*sample_moments(x.flatten(1)), *sample_moments(real.flatten(1)))
    row = measure(FID(), evidence)["fid"]
    assert row.value == pytest.approx(value, rel=1e-5)
    assert (row.n, row.n_reference, row.space) == (250, 250, "pixels")


def test_both_sides_are_quantised_alike() -> None:
    """A decoder that leaves [0, 1] is clamped, not wrapped."""
    here = world()
    model = fresh(here.model, decode=lambda z, label: decode(z) * 3 - 1)
    x = of(here.prior_draw(), model).samples.x
    assert x.dtype == torch.uint8
    assert torch.equal(x, ((decode(here.prior_draw().z) * 3 - 1).clamp(0, 1) * 255).round().to(torch.uint8))


def test_fid_near_its_floor_takes_the_error_of_the_null() -> None:
    here = world()
    near = measure(FID(), good())["fid"]
    assert near.std_error == here.reference.floor.spread
    far = measure(FID(), constant())["fid"]
    assert far.std_error != here.reference.floor.spread and far.std_error > 0
    no_floor = fresh(here.model, reference=replace(here.reference, floor=None))
    assert measure(FID(), of(here.draw(), no_floor))["fid"].std_error is None


def test_floors_bound_the_samplers() -> None:
    rows = measure(FIDFloor(), world().model.alone())
    assert rows["fid_floor lower"].value < rows["fid_floor"].value < rows["fid_floor upper"].value
    assert rows["fid_null_bias"].value == pytest.approx(rows["fid_floor"].value, rel=0.5)
    assert rows["fid_floor"].value < rows["fid_reconstruction"].value * 1.5
    assert measure(FID(), bad())["fid"].value > rows["fid_floor upper"].value
    assert rows["fid_floor"].n == 250 and rows["fid_floor lower"].n == 200  # half of the pool


def test_reconstruction_floor_is_of_held_out_images() -> None:
    here = world()
    moved = fresh(here.model, validation=replace(here.model.validation, mean=here.model.validation.mean + 2))
    plain = measure(FIDFloor(), here.model.alone())["fid_reconstruction"].value
    assert measure(FIDFloor(), moved.alone())["fid_reconstruction"].value > 2 * plain
    other = fresh(here.model, train=replace(here.model.train, mean=here.model.train.mean + 2))
    assert measure(FIDFloor(), other.alone())["fid_reconstruction"].value == plain


def test_kid_orders_them_and_is_near_zero_for_good_draws() -> None:
    near, far, flat = (measure(KID(), e)["kid"] for e in (good(), bad(), constant()))
    assert abs(near.value) < 4 * near.std_error + 0.01 * far.value
    assert near.value < far.value and near.value < flat.value


def test_prdc_knows_collapse_from_noise() -> None:
    fine, flat = measure(PRDC, good()), measure(PRDC, constant())
    noise = fresh(world().model, decode=lambda z, label: torch.rand(len(z), 1, 8, 8, generator=stream(0)))
    noisy = measure(PRDC, of(world().draw(), noise))
    assert fine["coverage"].value > 0.7 and fine["precision"].value > 0.7
    assert flat["coverage"].value < 0.3 and flat["recall"].value < 0.1
    assert noisy["precision"].value < 0.05 and noisy["coverage"].value < 0.05
    assert {r.n for r in fine.values()} == {r.n_reference for r in fine.values()} == {250}


def test_prdc_cuts_both_sides_to_one_size() -> None:
    rows = measure(PRDCMeasures(k=3, n_max=100), good())
    assert {(r.n, r.n_reference) for r in rows.values()} == {(100, 100)}
    fewer = measure(PRDC, of(world().draw(60)))
    assert {(r.n, r.n_reference) for r in fewer.values()} == {(60, 60)}


def test_kid_of_many_draws_is_that_of_some_of_them() -> None:
    evidence = good()
    whole, some, again = (measure(KID(n_max=n), evidence)["kid"] for n in (None, 100, 100))
    assert some.value == again.value != whole.value
    assert (some.n, some.n_reference) == (100, 100) and whole.n > 100
    # the same number as far as its error says, and another one for one image again and again
    assert abs(some.value - whole.value) < 4 * (some.std_error + whole.std_error)
    assert measure(KID(n_max=100), constant())["kid"].value > 10 * abs(some.value)
    # a limit that is not reached changes nothing
    assert measure(KID(n_max=10**6), evidence)["kid"] == whole


@pytest.mark.parametrize("metric", [FID(), KID(), PRDC], ids=lambda m: m.name)
def test_one_draw_is_too_few(metric: object) -> None:
    with pytest.raises(NotApplicable, match="1 draws: expected at least"):
        measure(metric, of(world().draw(1)))


def test_a_broken_decoder_is_named() -> None:
    here = world()
    for broken, expected in (
        (lambda z, label: decode(z)[:, 0], r"decode gave \(250, 8, 8\): expected \(250, 1, 8, 8\)"),
        (lambda z, label: decode(z) / 0 * 0, "not finite"),
    ):
        with pytest.raises(ValueError, match=expected):
            measure(FID(), of(here.draw(), fresh(here.model, decode=broken)))


def test_bad_hyperparameters() -> None:
    with pytest.raises(ValueError, match="k=0"):
        PRDCMeasures(k=0, n_max=10)
    with pytest.raises(ValueError, match="n_max=5"):
        PRDCMeasures(k=5, n_max=5)


def test_shares_that_few_points_decide_print_no_error() -> None:
    """Precision near 1 and recall near 0 of a collapsed sampler; density and coverage keep theirs."""
    here = world()
    z = 0.02 * torch.randn(250, here.draw().z.shape[1], generator=stream(0, "collapsed"))
    rows = measure(PRDCMeasures(k=5, n_max=250), of(LatentDraw(z)))
    for name in ("precision", "recall"):
        inside = 0.1 <= rows[name].value <= 0.9
        assert (rows[name].std_error is not None) == inside
    assert rows["recall"].value < 0.1 and rows["recall"].std_error is None
    full = measure(PRDCMeasures(k=5, n_max=250), of(here.draw()))
    assert all(full[name].std_error > 0 for name in ("density", "coverage"))

"""The measures of metric=full on planted samplers, and through compare()."""

import pytest
import torch

from priorgap import compare
from priorgap.core.latents import LatentDraw
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.metrics import (
    FID,
    FLD,
    DataCopying,
    FIDByClass,
    QualityByDensity,
    RealEquivalent,
    Sharpness,
    Vendi,
)
from priorgap.modalities.images import quantise
from priorgap.testing.world import decode, encode, fresh, world


def rows_of(metric, draw, model=None, label_source="source"):
    given = (world().model if model is None else model).of(
        "some", "candidate", draw, label_source=label_source
    )
    return {(r.measure, r.unit, r.label_source): r for r in metric.measure(given, generator=stream(0))}


def value(rows, name):
    return next(r.value for (measure, unit, _), r in rows.items() if measure == name and unit == "")


def returning(x):
    """A model whose decoder gives these images, whatever z."""
    return fresh(world().model, decode=lambda z, label: x[: len(z)])


def test_published_copying_measures_see_planted_copies():
    metric = DataCopying(n_queries=250, n_cells=2, least_share=0.01)
    train = world().reference.train.floats()
    draw = LatentDraw(torch.zeros(250, 3))
    unseen = world().reference.validation.floats()
    copies, honest = (rows_of(metric, draw, returning(x)) for x in (train, unseen))
    assert value(copies, "authenticity") <= 0.01 and value(copies, "c_t") <= -5
    assert value(honest, "authenticity") > 0.3 and abs(value(honest, "c_t")) < 4 * 0.75
    # negative control: noiseless decoded draws of the true law copy nobody, and both call them copies
    clean = rows_of(metric, world().draw())
    assert value(clean, "authenticity") < 0.2 and value(clean, "c_t") < -5


def test_fld_sees_copies_and_collapse():
    metric = FLD(n_max=400)
    draw = LatentDraw(torch.zeros(250, 3))
    pool = world().reference.pool_features.view(-1, 1, 8, 8)
    honest = rows_of(metric, draw, returning(world().reference.validation.floats()))
    copies = rows_of(metric, draw, returning(pool))
    flat = rows_of(metric, draw, returning(pool[:1].expand(250, -1, -1, -1)))
    assert value(copies, "fld_gap") < value(honest, "fld_gap") - 20
    assert min(value(copies, "fld"), value(flat, "fld")) > value(honest, "fld") + 20


def test_swapped_labels_are_seen_by_class_only():
    draw = world().draw()
    swapped = LatentDraw(draw.z, None, 1 - draw.label)
    right, wrong = (rows_of(FIDByClass(least=10), d) for d in (draw, swapped))
    for unit in ("0", "1"):
        assert wrong["fid", unit, "source"].value > 5 * right["fid", unit, "source"].value
    assert value(rows_of(FID(), draw), "fid") == value(rows_of(FID(), swapped), "fid")


def test_variety_and_sharpness_beside_real_images():
    draw = world().draw()
    one = LatentDraw(draw.z[:1].expand(250, -1).contiguous())
    assert value(rows_of(Vendi(250, 5), draw), "vendi_ratio") == pytest.approx(1, abs=0.2)
    assert value(rows_of(Vendi(250, 5), one), "vendi") == pytest.approx(1)
    test = world().reference.test.floats()
    zero = LatentDraw(torch.zeros(250, 3))
    assert value(rows_of(Sharpness(), zero, returning(test)), "sharpness_ratio") == pytest.approx(1)
    blurred = torch.nn.functional.avg_pool2d(test, 3, stride=1, padding=1, count_include_pad=False)
    assert value(rows_of(Sharpness(), zero, returning(blurred)), "sharpness_ratio") < 0.7


def test_real_images_are_worth_as_many_and_noise_is_worth_few():
    metric = RealEquivalent(sizes=[10, 40, 200], n_seeds=2)
    noise = torch.rand(250, 1, 8, 8, generator=stream(0, "noise"))
    zero = torch.zeros(250, 3)
    label = world().reference.validation.label
    good = rows_of(metric, LatentDraw(zero, None, label), returning(world().reference.validation.floats()))
    bad = rows_of(metric, LatentDraw(zero, None, label), returning(noise))
    good_row, bad_row = (r["real_equivalent", "", "source"] for r in (good, bad))
    assert bad_row.value < good_row.value or (bad_row.bound, good_row.bound) == ("upper", "lower")
    assert (
        good["accuracy_over_seeds", "", "source"].value > bad["accuracy_over_seeds", "", "source"].value + 0.2
    )


def test_moving_up_the_ratio_raises_it_and_bands_are_ordered():
    metric = QualityByDensity([2], 400, 30, 1e-6, n_draws=250, n_bands=4, k=3, step=0.5)
    rows = {
        (r.measure, r.unit): r for r in metric.measure(world().model.alone(), generator=stream(0, "bands"))
    }
    steps = {arm: rows["log_ratio_step", arm] for arm in ("up", "down", "random")}
    assert steps["up"].value > 4 * steps["up"].std_error > 0 > steps["down"].value
    assert steps["up"].value > steps["random"].value
    # in the hole between the two classes draws are less real; the gradient leads out of it
    assert rows["realism_step", "up"].value > rows["realism_step", "random"].value
    levels = [rows["log_ratio_by_density", f"prior:{b}"].value for b in range(4)]
    assert levels == sorted(levels)
    assert sum(rows["realism_by_density", f"prior:{b}"].n for b in range(4)) == 250


def test_quality_by_density_gives_a_conditional_model_its_labels():
    given = []

    def conditional(z, label):
        given.append(label)
        return decode(z, label)

    metric = QualityByDensity([2], 400, 30, 1e-6, n_draws=250, n_bands=4, k=3, step=0.5)
    model = fresh(world().model, decode=conditional)
    metric.measure(model.alone(), generator=stream(0))
    prior, heldout, *moved = given
    assert len(moved) == 3 and all(torch.equal(label, prior) for label in moved)
    rows = world().model.validation.label
    # 250 of the validation images, each with its own class, and prior draws with the training images' frequencies
    assert (torch.bincount(heldout) <= torch.bincount(rows)).all()
    share = torch.bincount(world().model.train.label) / len(world().model.train)
    error = (share * (1 - share) / 250).sqrt()
    assert ((torch.bincount(prior) / 250 - share).abs() < 4 * error).all()


def test_through_compare():
    here = world()

    def q(x):
        return encode(Split(quantise(x), None)), torch.full((len(x), 3), -2.4)

    names = [
        "vendi",
        "sharpness",
        "fid_infinity",
        "fid_by_class",
        "data_copying",
        "fld",
        "quality_by_density",
        "fid",
    ]
    parts = [here.reference.train, here.reference.test]
    # without a label of its own: one that takes it is a conditional model, whose draws all have one
    found = compare(
        q, lambda z: decode(z, None), *parts, samplers=["prior", "posterior"], metrics=names, n=150
    )
    got = set(found.table["measure"])
    assert {"vendi", "sharpness", "fid_infinity", "c_t", "authenticity", "fld", "realism_by_density"} <= got
    assert "fid_by_class of prior" in found.skipped and "quality_by_density" not in found.skipped

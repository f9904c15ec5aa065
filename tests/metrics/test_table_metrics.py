"""Measures of tables over a model's draws: floors, columns, the decode rule, and what makes one absent."""

from dataclasses import replace

import pytest
import torch

from priorgap.core.latents import LatentDraw
from priorgap.metrics import (
    ColumnShapes,
    Detection,
    DetectionFloor,
    NotApplicable,
    PairTrends,
    RareCategories,
    RecordDistances,
    TableFloors,
    TrainOnSynthetic,
    tables,
)
from priorgap.testing.metric_contract import run
from priorgap.testing.series_world import decode as decode_series
from priorgap.testing.series_world import series_world
from priorgap.testing.table_world import LAYOUT, decode, noisy, table_world
from priorgap.testing.world import fresh, world

METRICS = {
    "column_shapes": ColumnShapes(),
    "pair_trends": PairTrends(least_correlation=0.0, least_association=0.0),
    "rare_category_mass": RareCategories(level=0.1),
}
FLOORS = TableFloors(least_correlation=0.0, least_association=0.0, level=0.1)
DETECTION = {"n_folds": 3, "n_kernels": 1, "n_most": 250}


def law(z, label=None):
    """The law of the data."""
    return noisy(z, "made")


def one_city(z, label=None):
    """A decoder that knows the most frequent categories alone, and no missing value."""
    x = law(z)
    x[:, 2:] = torch.tensor([0.0, 0, 1, 0, 1, 0])
    return x


def whole(rows, name):
    (found,) = [row.value for row in rows if row.measure == name and row.unit == ""]
    return found


@pytest.fixture(scope="module")
def floors():
    return run(FLOORS)


def of(decoder, n=1000):
    here = table_world()
    return fresh(here.model, decode=decoder).of("x", "candidate", here.draw(n))


@pytest.mark.parametrize("name", METRICS)
def test_draws_of_the_law_are_at_the_floor_and_others_below(name, floors):
    floor = whole(floors, f"{name}_floor")
    good, bad = (whole(run(METRICS[name], of(decoder)), name) for decoder in (law, one_city))
    assert abs(good - 1) < 2.5 * abs(floor - 1) + 0.03
    # of 250 rows, bins of pairs are filled by chance
    assert bad < 1 - (1.5 if name == "pair_trends" else 3) * (1 - floor)


def test_rows_are_by_column_and_by_pair_in_the_units_of_the_file():
    shapes = {row.unit: row for row in run(METRICS["column_shapes"], of(law))}
    assert set(shapes) == {"", *LAYOUT.names}
    assert all(
        row.std_error is not None and row.n == 1000 and row.n_reference == 250 for row in shapes.values()
    )
    pairs = {row.unit for row in run(METRICS["pair_trends"], of(law))}
    assert len(pairs) == 1 + 6 and "age × income" in pairs

    def fractions(z, label=None):
        """What lies between integers is rounded as in a file: nobody sees it."""
        x = law(z)
        x[:, 0] += 0.4 / 12 * torch.where(x[:, 0] * 12 - (x[:, 0] * 12).round() > 0, -1, 1)
        return x

    first, second = (run(Detection(**DETECTION), of(decoder, 250))[0].value for decoder in (law, fractions))
    assert abs(first - second) < 0.1


def test_detection_sees_what_the_most_likely_values_leave_out():
    (floor,) = run(DetectionFloor(**DETECTION), table_world().model.alone())
    assert abs(floor.value - 0.5) < 4 * floor.std_error
    (good,), (bad,) = (run(Detection(**DETECTION), of(decoder, 250)) for decoder in (law, one_city))
    assert abs(good.value - 0.5) < 4 * good.std_error
    assert bad.value > 0.65


def test_tables_without_rare_categories_have_the_rest():
    evidence = of(law)
    with pytest.raises(NotApplicable, match=r"^no category takes less than 0.001 of its column"):
        run(RareCategories(level=0.001), evidence)
    found = {row.measure for row in run(replace(FLOORS, level=0.001))}
    assert found == {"column_shapes_floor", "pair_trends_floor"}


def test_images_have_none_of_it():
    evidence = world().model.of("prior", "candidate", LatentDraw(torch.randn(50, 3)))
    for metric in (*METRICS.values(), FLOORS):
        with pytest.raises(NotApplicable, match=r"^the observations are no rows of a table$"):
            run(metric, evidence)


def test_the_decoder_of_the_world_gives_rows_of_its_table():
    frame = LAYOUT.frame(decode(torch.randn(200, 3, generator=torch.Generator().manual_seed(0))))
    assert frame["income"].isna().any() and set(frame["city"]) == {"Bern", "Cork", "Deva"}


def by_name(rows):
    return {row.measure: row for row in rows}


def test_training_on_draws_of_the_law_is_as_good_as_on_real_rows_and_on_others_worse():
    metric = TrainOnSynthetic(n_kernels=1, n_most=400)
    good = by_name(run(metric, of(law, 400)))
    assert good["trtr_auc"].value > 0.75 and good["trtr_auc"].n_reference == 400 and good["trtr_auc"].n == 250
    assert abs(good["tstr_gap"].value) < 4 * good["tstr_gap"].std_error
    paired = good["tstr_auc"].value - good["trtr_auc"].value
    assert good["tstr_gap"].value == pytest.approx(paired, abs=1e-12)

    def of_any_city(z, label=None):
        """Cities that have nothing to do with the rest."""
        x = law(z)
        x[:, 3:6] = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1)), 3:6]
        return x

    bad = by_name(run(metric, of(of_any_city, 400)))
    assert bad["trtr_auc"].value == good["trtr_auc"].value
    assert bad["tstr_gap"].value < -4 * bad["tstr_gap"].std_error
    # one class alone ranks nothing
    still = by_name(run(metric, of(one_city, 400)))
    assert still["tstr_auc"].value == 0.5


def test_tables_without_a_target_of_categories_have_no_such_training():
    model = table_world().model
    reference = model.reference
    for target, line in (
        (None, "the table has no target: set data.target"),
        ("age", "the target age has no categories to predict"),
    ):
        layout = replace(LAYOUT, target=target)
        parts = {p: replace(getattr(reference, p), table=layout) for p in ("train", "validation", "test")}
        evidence = fresh(model, reference=replace(reference, **parts)).of(
            "x", "candidate", table_world().draw(50)
        )
        with pytest.raises(NotApplicable, match=f"^{line}$"):
            run(TrainOnSynthetic(n_kernels=1, n_most=100), evidence)


def test_labelled_series_are_predicted_by_the_draws_own_labels():
    here = series_world()
    reference = here.model.reference

    def labelled(split):
        return replace(split, label=(split.x[:, 0, 0] > 0).long())

    parts = {p: labelled(getattr(reference, p)) for p in ("train", "validation", "test")}
    model = fresh(here.model, reference=replace(reference, **parts))
    z = here.draw(400).z
    label = (decode_series(z)[:, 0, 0] > 0).long()
    metric = TrainOnSynthetic(n_kernels=100, n_most=300)
    good, bad = (
        by_name(run(metric, model.of("x", "candidate", LatentDraw(z, None, own), label_source="source")))
        for own in (label, label.roll(1))
    )
    assert good["tstr_auc"].value > 0.9 and bad["tstr_auc"].value < 0.7
    assert good["tstr_gap"].label_source == "source"
    with pytest.raises(NotApplicable, match=r"^unlabelled: the sampler's draws carry no label of their own$"):
        run(metric, model.of("x", "candidate", LatentDraw(z)))


def test_very_wide_tables_have_no_row_by_pair(monkeypatch):
    monkeypatch.setattr(tables, "MOST_PARTS", 5)
    assert [row.unit for row in run(METRICS["pair_trends"], of(law))] == [""]
    assert len(run(METRICS["column_shapes"], of(law))) == 1 + 4


RECORDS = RecordDistances(quantile=0.05, n_queries=200)


def test_closest_records_of_copies_lie_below_their_floor_and_those_of_the_law_do_not():
    here = table_world()
    rows = here.model.reference.train.x

    def copied(z, label=None):
        """Training rows with a little noise in their numbers."""
        x = rows[torch.arange(len(z)) % len(rows)].clone()
        x[:, 0] += 0.01 * torch.sin(torch.arange(len(z)).float())
        return x

    honest, copies = run(RECORDS, of(law)), run(RECORDS, of(copied))
    for name in ("dcr", "nndr"):
        floor = whole(honest, f"{name}_floor")
        assert floor == whole(copies, f"{name}_floor") > 0
        assert whole(honest, name) > 0.6 * floor
        assert whole(copies, name) < 0.2 * floor
    assert {(row.n, row.n_reference, row.space) for row in honest} == {(200, 400, "data")}


def test_closest_records_of_rows_that_are_all_alike_are_no_copies_by_ratio():
    model = table_world().model
    same = torch.zeros(50).long()
    reference = replace(model.reference, train=model.reference.train.take(same))
    row = reference.train.x[:1]
    evidence = fresh(
        replace(model, reference=reference, train=model.train.take(same)),
        decode=lambda z, label=None: row.expand(len(z), -1),
    )
    found = run(RECORDS, evidence.of("x", "candidate", table_world().draw(100)))
    assert whole(found, "dcr") == 0 and whole(found, "nndr") == 1

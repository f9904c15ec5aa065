"""Scores of tables: SDMetrics' numbers, controls, and errors by simulation."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from priorgap.core.random import draw_seed, stream
from priorgap.estimators.detection import boosted_trees, detection_area
from priorgap.estimators.identical import RowSet
from priorgap.estimators.neighbour_index import NeighbourIndex
from priorgap.estimators.table_columns import encoded
from priorgap.estimators.tables import column_shapes, pair_trends, rare_categories
from priorgap.estimators.uncertainty import Estimate, quantile_estimate

NUMERIC = ["age", "income", "visits", "since"]
KINDS = {"age": "numerical", "income": "numerical", "visits": "numerical", "since": "datetime",
         "city": "categorical", "member": "boolean", "grade": "categorical"}  # fmt: skip


def people(n: int, name: str, *, shift: float = 0.0, missing: float = 0.1) -> pd.DataFrame:
    """Columns of every kind that depend on each other, with values missing in three of them."""
    g = np.random.default_rng(draw_seed(stream(0, "people", name)))
    age = np.round(18 + 50 * g.beta(2, 3, n) + shift)
    income = np.round(np.exp(7 + 0.03 * age + 0.4 * g.standard_normal(n) + 0.1 * shift), 2)
    visits = g.poisson(1 + age / 20)
    city = np.array(["Aarhus", "Bern", "Cork", "Deva", "Ede"])[
        np.minimum((age / 18 + g.exponential(1, n)).astype(int), 4)
    ]
    frame = pd.DataFrame(
        {
            "age": age,
            "income": income,
            "visits": visits,
            "since": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(np.round(20 * age + g.integers(0, 300, n)), unit="D"),
            "city": city.astype(object),
            "member": g.random(n) < 1 / (1 + np.exp(-(age - 40) / 8)),
            "grade": np.array(["a", "b", "c"], object)[g.choice(3, n, p=[0.7, 0.27, 0.03])],
        }
    )
    for column in ("income", "since", "city"):
        frame.loc[g.random(n) < missing, column] = None
    return frame


TABLES = {
    "alike": lambda: (people(500, "a"), people(400, "b")),
    "shifted": lambda: (people(300, "a"), people(500, "c", shift=6.0)),
    "complete": lambda: (people(200, "d", missing=0), people(200, "e", missing=0, shift=-2.0)),
    "mostly missing": lambda: (people(120, "f", missing=0.8), people(90, "g", missing=0.7)),
    "a constant": lambda: (people(200, "h"), people(200, "i").assign(visits=2, grade="a")),
    "another category": lambda: (people(200, "j"), people(200, "k").replace({"city": {"Ede": "Faro"}})),
}

# what SDMetrics 0.32.0 printed: column shapes, pair trends of all pairs, and of pairs above .5 and .3
SDMETRICS = {
    "alike": (0.9519132899856808, 0.8836770254442298, 0.9143072470557536),
    "shifted": (0.7772252534073988, 0.8302678013742424, 0.808993688941072),
    "complete": (0.9221428571428572, 0.8658707457705732, 0.8912157303861376),
    "mostly missing": (0.880771130541172, 0.8332081900165872, 0.8045057171558614),
    "a constant": (0.8375294866919022, 0.6703852851348194, 0.8727418915533438),
    "another category": (0.9113743013553145, 0.8039278845599105, 0.8454713656721382),
}


def ours(real: pd.DataFrame, made: pd.DataFrame) -> tuple[float, float, float]:
    return (
        column_shapes(real, made, numeric=NUMERIC).whole.value,
        pair_trends(real, made, numeric=NUMERIC).whole.value,
        pair_trends(real, made, numeric=NUMERIC, least_correlation=0.5, least_association=0.3).whole.value,
    )


@pytest.mark.parametrize("name", TABLES)
def test_scores_are_those_that_sdmetrics_printed(name):
    assert ours(*TABLES[name]()) == pytest.approx(SDMETRICS[name], abs=1e-9)


@pytest.mark.parametrize("name", TABLES)
def test_scores_are_those_of_sdmetrics(name):
    """Each column and each pair, with the thresholds of its report and without."""
    reports = pytest.importorskip("sdmetrics.reports.single_table")
    real, made = TABLES[name]()
    metadata = {"columns": {column: {"sdtype": kind} for column, kind in KINDS.items()}}
    for correlation, association in ((0.5, 0.3), (0, 0)):
        report = reports.QualityReport()
        report.real_correlation_threshold, report.real_association_threshold = correlation, association
        report.generate(real, made, metadata, verbose=False)
        shapes = column_shapes(real, made, numeric=NUMERIC)
        pairs = pair_trends(
            real, made, numeric=NUMERIC, least_correlation=correlation, least_association=association
        )
        table = report.get_details("Column Shapes").set_index("Column")["Score"]
        assert {k: v.value for k, v in shapes.scores.items()} == pytest.approx(
            table.dropna().to_dict(), abs=1e-9
        )
        table = report.get_details("Column Pair Trends")
        scores = {
            f"{a} × {b}": s
            for a, b, s in zip(table["Column 1"], table["Column 2"], table["Score"], strict=True)
        }
        scores = {k: s for k, s in scores.items() if not np.isnan(s)}
        assert {k: v.value for k, v in pairs.scores.items()} == pytest.approx(scores, abs=1e-9)
        printed = report.get_properties().set_index("Property")["Score"]
        assert shapes.whole.value == pytest.approx(printed["Column Shapes"], abs=1e-9)
        assert pairs.whole.value == pytest.approx(printed["Column Pair Trends"], abs=1e-9)


# -- what each sees, and what it is blind to -------------------------------------------------------------------------


def independent(x: pd.DataFrame) -> pd.DataFrame:
    """Each column in an order of its own."""
    g = np.random.default_rng(1)
    return pd.DataFrame({name: x[name].to_numpy()[g.permutation(len(x))] for name in x})


def bootstrap(x: pd.DataFrame) -> pd.DataFrame:
    return people(len(x), "train").sample(len(x), replace=True, random_state=2).reset_index(drop=True)


def most_likely(x: pd.DataFrame) -> pd.DataFrame:
    """Numbers at their mean and categories at the most frequent one, given the age: a decoder's mean."""
    by_age = x.groupby((x["age"] // 10).to_numpy())
    modes = {name: by_age[name].transform(lambda v: v.mode().iloc[0]) for name in ("city", "member", "grade")}
    return x.assign(income=by_age["income"].transform("mean"), **modes)


def nearly_copied(x: pd.DataFrame) -> pd.DataFrame:
    """Training rows with small noise in their income, or in their visits where that is missing: none equal to one."""
    made, g = people(len(x), "train"), np.random.default_rng(4)
    step = np.where(made["income"].isna(), g.choice([-1, 1], len(x)), 0)
    return made.assign(
        income=made["income"] * np.exp(0.01 * g.random(len(x))), visits=(made["visits"] + step).abs()
    )


def vectors(of: pd.DataFrame, train: pd.DataFrame) -> torch.Tensor:
    """Numbers standardised over training rows, categories one-hot, missing values at the mean with a mark."""
    blocks = []
    for name, column in of.items():
        if name in NUMERIC:
            own, known = (
                x.astype("int64").where(x.notna()) if name == "since" else x for x in (column, train[name])
            )
            scaled = (own - known.mean()) / known.std()
            blocks += [scaled.fillna(0.0).to_numpy(float), scaled.isna().to_numpy(float)]
        else:
            blocks += [(column == one).to_numpy(float) for one in sorted(train[name].dropna().unique())]
    return torch.from_numpy(np.stack(blocks, 1)).float()


# change -> the table, and what finds it
CHANGES = {
    "nothing": (lambda x: x, set()),
    "independent columns": (independent, {"pair trends", "detection"}),
    "training rows, each once": (
        lambda x: people(len(x), "train"),
        {"identical share", "closest record", "distance ratio"},
    ),
    # rows that repeat are in both parts of a fold
    "bootstrap of training rows": (
        bootstrap,
        {"identical share", "closest record", "distance ratio", "detection"},
    ),
    "training rows with noise": (nearly_copied, {"closest record", "distance ratio"}),
    "half of the rows": (lambda x: x[: len(x) // 2], set()),
    "a number times 1.5": (lambda x: x.assign(income=1.5 * x["income"]), {"column shapes", "detection"}),
    # typical rows lie where training rows are dense
    "most likely values": (
        most_likely,
        {"column shapes", "pair trends", "detection", "rare categories", "closest record"},
    ),
    "rare categories left out": (lambda x: x[x["grade"] != "c"], {"rare categories"}),
    "nothing missing": (lambda x: x.ffill().bfill(), {"detection"}),
}
MEASURES = ("column shapes", "pair trends", "detection", "rare categories", "identical share", "closest record",
            "distance ratio")  # fmt: skip


def records(of: pd.DataFrame, train: pd.DataFrame) -> tuple[Estimate, Estimate]:
    """The 5 % quantiles of distances to the closest training row, and of their ratios to the second closest."""
    distance = NeighbourIndex.of(vectors(train, train)).nearest_two(vectors(of, train))[0]
    ratio = torch.where(distance[:, 1] > 0, distance[:, 0] / distance[:, 1], torch.ones(len(distance)))
    return quantile_estimate(distance[:, 0], 0.05), quantile_estimate(ratio, 0.05)


def scores(made: pd.DataFrame, real: pd.DataFrame, train: pd.DataFrame) -> dict[str, Estimate]:
    """Every measure, 0 for equal tables."""
    shapes, pairs = (f(real, made, numeric=NUMERIC).whole for f in (column_shapes, pair_trends))
    b, a, categorical = encoded(real, made, numeric=NUMERIC)
    seen = detection_area(a, b, boosted_trees(categorical, seed=0), n_folds=3, generator=stream(3))
    rare = rare_categories(train, made, numeric=NUMERIC, level=0.05).mass
    rows, own, _ = encoded(train, made, numeric=NUMERIC)
    same = RowSet.of(rows).shared(own) / len(own)
    closest, ratio = (
        (Estimate(max(floor.value - one.value, 0.0), math.hypot(floor.std_error, one.std_error)))
        for floor, one in zip(records(real, train), records(made, train), strict=True)
    )
    return {
        "column shapes": Estimate(1 - shapes.value, shapes.std_error),
        "pair trends": Estimate(1 - pairs.value, pairs.std_error),
        "detection": Estimate(max(seen.value - 0.5, 0.0), seen.std_error),
        "rare categories": Estimate(abs(rare.value - 1), rare.std_error),
        "identical share": Estimate(same, 0.0),
        "closest record": closest,
        "distance ratio": ratio,
    }


@pytest.fixture(scope="module")
def real_tables():
    real, train = people(3000, "real"), people(3000, "train")
    return real, train, scores(people(3000, "again"), real, train)


@pytest.mark.parametrize("change", CHANGES)
def test_each_sees_what_it_is_meant_to_and_nothing_else(change, real_tables):
    real, train, floors = real_tables
    changed, seen = CHANGES[change]
    found = set()
    for name, value in scores(changed(people(3000, "made")).reset_index(drop=True), real, train).items():
        floor = floors[name]
        # one of its errors may be 0, where a table has no such category at all
        if value.value > 2 * floor.value + 4 * max(
            floor.std_error, 0.0 if value.std_error is None else value.std_error
        ):
            found.add(name)
    assert found == seen


def table() -> str:
    """What stands in docs/methods.md."""
    lines = [f"| change | {' | '.join(MEASURES)} |", "|---|" + "---|" * len(MEASURES)]
    for change, (_, seen) in CHANGES.items():
        lines.append(
            f"| {change} | " + " | ".join("found" if name in seen else "–" for name in MEASURES) + " |"
        )
    return "\n".join(lines)


def test_the_page_has_the_table_of_changes():
    page = (Path(__file__).parents[2] / "docs/methods.md").read_text(encoding="utf-8")
    assert table() in page, table()


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 8.0])
@pytest.mark.parametrize("measure", [column_shapes, pair_trends])
def test_errors_are_those_of_repetition(measure, shift):
    found = [
        measure(people(400, f"real {i}"), people(300, f"made {i}", shift=shift), numeric=NUMERIC).whole
        for i in range(60)
    ]
    ratio = np.mean([one.std_error for one in found]) / np.std([one.value for one in found], ddof=1)
    assert 0.7 < ratio < 1.6


def test_the_error_of_rare_categories_is_that_of_repetition():
    train = people(5000, "train")
    found = [
        rare_categories(train, people(500, f"made {i}"), numeric=NUMERIC, level=0.05).mass for i in range(100)
    ]
    ratio = np.mean([one.std_error for one in found]) / np.std([one.value for one in found], ddof=1)
    assert 0.8 < ratio < 1.25
    assert abs(np.mean([one.value for one in found]) - 1) < 0.15


# -- rare categories, and what is degenerate -------------------------------------------------------------------------


def test_rare_categories_are_counted():
    real = pd.DataFrame({"x": ["a"] * 90 + ["b"] * 4 + ["c"] * 4 + ["d"] * 2, "y": range(100)})
    made = pd.DataFrame({"x": ["a"] * 94 + ["b"] * 5 + ["new"], "y": range(100)})
    found = rare_categories(real, made, numeric=["y"], level=0.05)
    assert (found.n, found.share, found.mass.value) == (3, pytest.approx(1 / 3), pytest.approx(0.5))
    with pytest.raises(ValueError, match=r"^no category takes less than 0.01 of its column"):
        rare_categories(real, made, numeric=["y"], level=0.01)


def test_columns_without_values_have_no_score_and_few_rows_no_error():
    real = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [np.nan] * 4, "c": ["x", "y", None, "y"], "d": [5] * 4})
    shapes, pairs = (f(real, real, numeric=["a", "b", "d"]) for f in (column_shapes, pair_trends))
    assert shapes.parts["b"] is None and shapes.whole == Estimate(1.0)
    assert pairs.parts["a × b"] is None and pairs.parts["a × d"] is None
    assert pairs.whole.value == 1 and set(pairs.scores) == {"a × c", "b × c", "c × d"}
    with pytest.raises(
        ValueError, match=r"^no column has a score: they are constant, missing or not associated$"
    ):
        column_shapes(real[["b"]], real[["b"]], numeric=["b"])


def test_tables_that_cannot_be_compared_are_one_line():
    real = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    for other, numeric, line in (
        (
            real[["b", "a"]],
            ["a"],
            r"^columns \['b', 'a'\] and \['a', 'b'\]: expected the same in both tables$",
        ),
        (real, ["c"], r"^numeric has \['c'\]: expected names of columns$"),
        (real[:0], ["a"], "^a table has no rows or no columns: expected at least one of each$"),
    ):
        for measure in (column_shapes, pair_trends):
            with pytest.raises(ValueError, match=line):
                measure(real, other, numeric=numeric)
    with pytest.raises(ValueError, match=r"^a table of one column has no pairs: expected at least two$"):
        pair_trends(real[["a"]], real[["a"]], numeric=["a"])


def test_encoded_tables_number_categories_by_frequency():
    real = pd.DataFrame({"a": [1.5, None, 2], "b": ["x", "y", "y"]})
    first, second, categorical = encoded(real, real.assign(b=["z", None, "y"]), numeric=["a"])
    assert categorical == (False, True)
    assert first[:, 1].tolist() == [1, 0, 0] and second[[0, 2], 1].tolist() == [2, 0]
    assert torch.isnan(first[1, 0]) and torch.isnan(second[1, 1])


if __name__ == "__main__":
    from sdmetrics.reports.single_table import QualityReport

    for name, make in TABLES.items():
        real, made = make()
        row = []
        for limits in ((0, 0), (0.5, 0.3)):
            report = QualityReport()
            report.real_correlation_threshold, report.real_association_threshold = limits
            report.generate(
                real, made, {"columns": {c: {"sdtype": k} for c, k in KINDS.items()}}, verbose=False
            )
            row += report.get_properties()["Score"].tolist()
        print(f'    "{name}": ({row[0]!r}, {row[1]!r}, {row[3]!r}),')

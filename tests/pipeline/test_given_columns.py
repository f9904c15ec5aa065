"""Tables whose model is told a column, end to end: draws keep the column, and the others go with it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_study import TINY, invoke

from priorgap.data.splits import load_dataset
from priorgap.pipeline.reading import load_draws
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store

FEW = tuple(o for o in TINY if not o.startswith(("sampler=", "metric", "reference", "calib", "loss")))
ORDER = (
    "run", "data=table", "data.path=t.csv", "data.target=sex", *FEW, "model=given_mlp", "model.hidden=[32]",
    "sampler=[prior,posterior,gaussian_full,per_class_gaussian_full]",
    "metric=[rate,elbo,iw_bound,fid,reconstruction]", "metrics.iw_bound.n_images=20",
    "metrics.iw_bound.n_draws=[1,8]", "reference.n_repeats=3", "features=[pixels]", "verdict.space=pixels",
    "tracking=off", "study=own",
)  # fmt: skip


TRAINED = ("trainer.max_epochs=60", "trainer.batch_size=32", "trainer.learning_rate=0.004")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    rng, n = np.random.default_rng(0), 400
    city, sex = rng.choice(["u", "v", "w"], n), rng.choice(["f", "m"], n)
    pay = np.round(10 + 2 * rng.normal(size=n) + 8 * (sex == "m"), 1)
    frame = pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(n)],
            "city": city,
            # cities are 30 apart
            "age": np.round(40 + 3 * rng.normal(size=n) + 30 * (city == "w") - 30 * (city == "u"), 1),
            "pay": np.where(rng.random(n) < 0.15, np.nan, pay),
            "sex": sex,
            "unit": "kg",
        }
    )
    frame.to_csv("t.csv", index=False)
    return tmp_path


def misfit(made: pd.DataFrame, city: pd.Series) -> float:
    """The median distance of ages from the mean of a city."""
    return float((made["age"] - city.map({"u": 10, "v": 40, "w": 70}).to_numpy()).abs().median())


@pytest.mark.e2e
def test_draws_keep_the_column_and_the_others_go_with_it(here, capsys) -> None:
    assert invoke(*ORDER, "model.given=[city]", "calibrate=both", *TRAINED) == 0
    results = pd.read_csv(here / "outputs/own/report/results.csv", keep_default_na=False)
    assert {"iw_bound", "elbo", "rate", "fid"} <= set(results.measure)
    draw = ("generate", "study=own", "sampler=prior")
    assert invoke(*draw, "n=300", "out=v.csv") == 0
    made = pd.read_csv("v.csv")
    assert list(made.columns) == ["city", "age", "pay", "sex", "unit"] and set(made["unit"]) == {"kg"}
    # cities are those of the test rows, each row as often as every other to within one
    (folder,) = {file.parent for file in (here / "outputs/data").glob("table-*/dataset.json")}
    test = load_dataset(folder).test
    assert test.table is not None
    shares = test.table.frame(test.x)["city"].value_counts(normalize=True)
    assert (made["city"].value_counts(normalize=True) - shares).abs().max() < 0.03
    # negative control: the city of another row
    assert misfit(made, made["city"]) < 6 and misfit(made, made["city"].sample(frac=1, random_state=0)) > 10
    # what is not told varies as it does in the file
    assert 0.35 < (made["sex"] == "m").mean() < 0.65 and 0.03 < made["pay"].isna().mean() < 0.35
    assert "context: the values of column city of random test rows" in (here / "v.csv.card.md").read_text()

    Path("g.csv").write_text("city\nw\nu\n")
    assert invoke(*draw, "n=101", "out=w.csv", "given=g.csv") == 0
    asked = pd.read_csv("w.csv")
    assert asked["city"].tolist() == [*["w", "u"] * 50, "w"] and misfit(asked, asked["city"]) < 6
    assert "the values of column city in g.csv, its rows in turn" in (here / "w.csv.card.md").read_text()
    assert (
        invoke(*draw[:2], "sampler=per_class_gaussian_full", "class=m", "n=9", "out=m.csv", "given=g.csv")
        == 0
    )
    assert pd.read_csv("m.csv")["city"].tolist() == [*["w", "u"] * 4, "w"]
    capsys.readouterr()
    assert invoke(*draw[:2], "sampler=posterior", "n=3", "out=p.csv", "given=g.csv") == 2
    assert (
        "given=g.csv: sampler=posterior reconstructs rows with their own columns" in capsys.readouterr().err
    )
    Path("g.csv").write_text("city\nw\nX\n")
    assert invoke(*draw, "n=3", "out=p.csv", "given=g.csv") == 2
    assert "given=g.csv: column city holds X in row 2; expected one of u, v, w" in capsys.readouterr().err
    assert not Path("p.csv").exists()


def test_contexts_are_a_rows_own_or_of_test_rows_and_of_the_draws_class(here, capsys) -> None:
    # unsaid, the target is given
    assert invoke(*ORDER, "trainer.max_epochs=1") == 0
    store = Store(here / "outputs")
    (record,) = records.records_of(store, "own")
    (model,) = record.models
    names = ("posterior", "prior", "per_class_gaussian_full")
    posterior, prior, by_class = (load_draws(store, model.samples[name]) for name in names)
    (folder,) = {file.parent for file in (here / "outputs/data").glob("table-*/dataset.json")}
    data = load_dataset(folder)
    first = len(data.train) + len(data.validation)
    assert posterior.source is not None and posterior.context is not None
    assert torch.equal(posterior.context, posterior.source)
    assert prior.context is not None and int(prior.context.min()) >= first
    assert by_class.context is not None and by_class.label is not None and data.test.label is not None
    assert torch.equal(data.test.label[by_class.context - first], by_class.label)
    # a control that the labels are not all one
    assert len(by_class.label.unique()) == 2
    Path("g.csv").write_text("sex\nm\n")
    draw = ("generate", "study=own", "n=4", "given=g.csv")
    assert invoke(*draw, "sampler=prior", "out=v.csv") == 0
    assert pd.read_csv("v.csv")["sex"].tolist() == ["m"] * 4
    capsys.readouterr()
    assert invoke(*draw, "sampler=per_class_gaussian_full", "out=w.csv") == 2
    assert "its rows say their class, and so does sampler=per_class_gaussian_full" in capsys.readouterr().err


def test_a_plain_model_is_told_nothing(here, capsys) -> None:
    few = (word for word in ORDER if not word.startswith(("metric", "sampler", "model=")))
    assert invoke(*few, "model=mlp", "trainer.max_epochs=1", "sampler=[prior]", "metric=[rate,fid]") == 0
    Path("g.csv").write_text("city\nw\n")
    assert invoke("generate", "study=own", "sampler=prior", "n=3", "out=v.csv", "given=g.csv") == 2
    assert "given=g.csv: the model is told no columns; expected a study of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model.given=[town]",), "model.given=[town]: town is no column of the table (ids are left out)"),
        (("model.given=[key]",), "model.given=[key]: key is no column of the table (ids are left out)"),
        (("model.given=[unit]",), "model.given=[unit]: unit is constant; expected some of city, age, pay, sex"),
        (("model.given=[city,age,pay,sex]",), "all columns that vary are given; expected at most 3"),
        (("model.given=[city]", "trainer=batched"), "expected trainer=default"),
        (("data.target=null",), "model.given=null: expected names of columns of the table, each once"),
        (("model.given=[city]", "likelihood=gaussian"), "likelihood=gaussian knows of none"),
    ],
    ids=["unknown", "id", "constant", "all", "batched", "none", "likelihood"],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(here, capsys, words, said) -> None:
    assert invoke(*ORDER, "trainer.max_epochs=1", *words) == 2
    assert any(said in line for line in capsys.readouterr().err.splitlines())

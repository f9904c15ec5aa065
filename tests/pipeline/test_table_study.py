"""Tables end to end: a file of mixed columns as a shell hands it over, and what is generated in its values."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny_study import TINY, invoke

from priorgap.core import artifacts

FEW = tuple(o for o in TINY if not o.startswith(("sampler=", "metric", "reference", "calib")))
SMALL = (
    "sampler=[prior,posterior,gaussian_full,per_class_gaussian_full]", "metric=[rate,elbo,fid,reconstruction]",
    "reference.n_repeats=3", "features=[pixels]", "verdict.space=pixels", "tracking=off", "study=own",
)  # fmt: skip


def table(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    group = rng.choice(["A", "B, C", "Ñ"], n)
    frame = pd.DataFrame(
        {
            "key": [f"{i:05}" for i in range(n)],
            "the day": (np.datetime64("2001-01-01") + rng.integers(0, 5000, n)).astype(str),
            "group": group,
            "n": rng.poisson(3 + 25 * (group == "A")) + rng.integers(0, 2, n),
            "size": np.round(170 + 10 * rng.normal(size=n) + 40 * (group == "A"), 1),
            "code": rng.choice(["007", "010"], n),
            "unit": "kg",
            "member": rng.choice([True, False], n),
        }
    )
    frame.loc[rng.random(n) < 0.2, "size"] = np.nan
    frame.loc[rng.random(n) < 0.1, "n"] = np.nan
    frame.loc[rng.random(n) < 0.2, "code"] = None
    frame["n"] = frame["n"].astype("Int64")
    return frame


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    table().to_csv("x (1).csv", index=False)
    return tmp_path


def run(*more: str) -> int:
    return invoke("run", "data=table", "data.path=~/x (1).csv", "data.target=group", *FEW, *SMALL, *more)


@pytest.mark.e2e
def test_a_table_from_file_to_file(here, capsys):
    assert run("trainer.max_epochs=200") == 0
    (facts,) = [artifacts.load_json(f) for f in (here / "outputs/data").glob("table-*/dataset.json")]
    assert (
        facts["kind"] == "table"
        and facts["n_classes"] == 3
        and facts["provenance"]["classes"] == ["A", "B, C", "Ñ"]
    )
    results = pd.read_csv(here / "outputs/own/report/results.csv", keep_default_na=False)
    # drawn, unless something else is asked for
    assert set(results.decode) == {"draw"}
    explained = float(results[results.measure == "explained_share"].value.iloc[0])
    assert 0 < explained < 1
    (config,) = (here / "outputs/own/train").glob("*/config.yaml")
    assert (
        yaml.safe_load(config.read_text())["config"]["likelihood"]["_target_"]
        == "priorgap.models.TableLikelihood"
    )
    assert invoke("generate", "study=own", "n=500", "sampler=gaussian_full", "out=v.csv") == 0
    made, real = pd.read_csv("v.csv", dtype=str, keep_default_na=False), pd.read_csv("x (1).csv", dtype=str)
    # the key is left out; all else stands in order, in the file's own writing
    assert list(made.columns) == [name for name in real.columns if name != "key"] and len(made) == 500
    for name in ("group", "code", "unit", "member"):
        assert set(made[name]) == set(real[name].fillna("")), name
    assert made["the day"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    assert made["n"].str.fullmatch(r"-?\d+|").all() and made["size"].str.fullmatch(r"\d+(\.\d)?|").all()
    assert 0.08 < (made["size"] == "").mean() < 0.35 and 0.08 < (made["code"] == "").mean() < 0.35
    sizes = pd.to_numeric(made["size"])
    assert 175 < sizes.mean() < 192 and 10 < sizes.std() < 40
    assert invoke("generate", "study=own", "n=500", "sampler=gaussian_full", "out=v.parquet") == 0
    typed = pd.read_parquet("v.parquet")
    assert typed["member"].dtype == bool and pd.api.types.is_integer_dtype(typed["n"].convert_dtypes())
    assert typed["group"].tolist() == made["group"].tolist()
    assert typed["size"].dropna().tolist() == sizes.dropna().tolist()
    capsys.readouterr()
    assert invoke("generate", "study=own", "n=5", "sampler=gaussian_full", "out=v.npz") == 2
    assert "out=v.npz: the data are a table; expected a name in .csv or .parquet" in capsys.readouterr().err
    # the mean is asked for by name, and no column is drawn then
    assert invoke("generate", "study=own", "n=500", "sampler=gaussian_full", "decode=mean", "out=m.csv") == 0
    assert pd.read_csv("m.csv")["size"].std() < sizes.std()


def test_a_schema_is_printed_edited_and_part_of_the_data(here, capsys):
    assert invoke("schema", "data.path=x (1).csv", "data.drop=[unit]") == 0
    said = capsys.readouterr()
    columns = yaml.safe_load(said.out)["columns"]
    assert {name: node["kind"] for name, node in columns.items()} == {
        "key": "id", "the day": "datetime", "group": "categorical", "n": "integer", "size": "continuous",
        "code": "categorical", "member": "boolean",
    }  # fmt: skip
    assert "column key left out: an id (300 different values in 300 rows)" in said.err
    assert invoke("schema", "data.path=x (1).csv", "out=s.yaml") == 0
    assert invoke("prepare", "data=table", "data.path=x (1).csv", "data.schema=s.yaml", *FEW, *SMALL) == 0
    Path("s.yaml").write_text("columns: {group: {kind: ordinal, categories: [Ñ, 'B, C', A]}}")
    assert invoke("prepare", "data=table", "data.path=x (1).csv", "data.schema=s.yaml", *FEW, *SMALL) == 0
    kept = [artifacts.load_json(f) for f in (here / "outputs/data").glob("table-*/dataset.json")]
    kinds = {c["name"]: c for one in kept for c in one["table"]["columns"]}
    # another content of the schema is another data set
    assert kinds["group"]["kind"] == "ordinal" and kinds["group"]["categories"] == ["Ñ", "B, C", "A"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["schema"], "data.path: missing"),
        (["schema", "data.path=no.csv"], "no such file"),
        (["schema", "path=x"], "path=x: expected key=value with a key of data.path"),
        (["schema", "data.path=x (1).csv", "data.header=maybe"], "expected true or false"),
        (["schema", "data.path=x (1).csv", "out=x (1).csv"], "exists already"),
        (
            ["run", "data=table", "data.path=x (1).csv", "model=gan_mlp", "sampler=[prior]"],
            "a GAN is trained through",
        ),
        (["run", "data=digits", "likelihood=table"], "likelihood=table: the data are no table"),
        (["run", "data=table", "data.path=x (1).csv", "trainer=batched"], "has parameters of its own"),
    ],
)
def test_what_cannot_be(here, capsys, words, message):
    assert invoke(*words) == 2
    said = capsys.readouterr().err
    assert message in said

"""decode=[mean,draw]: one training, the same z, two cells."""

import csv
from pathlib import Path

import numpy as np
import pytest
from tiny_study import run_tiny

from priorgap.core.artifacts import load_json

WORDS = ("metric=[rate,fid,copying]", "sampler=[prior,posterior]", "likelihood=bernoulli", "loss.alpha=1")


def rows_of(folder: Path, study: str) -> list[dict[str, str]]:
    with (folder / f"outputs/{study}/report/results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    assert run_tiny(folder, *WORDS, "decode=[mean,draw]", study="both") == 0
    return folder


def test_both_rules_are_cells_of_one_training(both):
    rows = rows_of(both, "both")
    assert {row["decode"] for row in rows} == {"mean", "draw"}
    assert len({row["cell"] for row in rows}) == len({row["model"] for row in rows}) == 2
    study = both / "outputs/both"
    assert [len(list((study / kind).iterdir())) for kind in ("train", "encode", "sample")] == [1, 1, 2]


def test_the_rules_differ_in_x_alone(both):
    values = {
        (row["decode"], row["sampler"], row["measure"], row["space"], row["bound"]): row["value"]
        for row in rows_of(both, "both")
        if not row["unit"]
    }
    of_means = [key for key in values if key[0] == "mean"]
    rates = [key for key in of_means if key[2] == "rate"]
    fids = [key for key in of_means if key[2] == "fid"]
    assert rates and all(values[key] == values["draw", *key[1:]] for key in rates)
    assert fids and all(values[key] != values["draw", *key[1:]] for key in fids)


@pytest.mark.parametrize("rule", ["mean", "draw"])
def test_each_rule_is_the_same_alone(both, rule):
    assert run_tiny(both, *WORDS, f"decode={rule}", study=rule) == 0

    def kept(study: str) -> list[dict[str, str]]:
        names = ("cell", "model", "sampler", "measure", "space", "unit", "bound", "value", "std_error")
        return [{n: row[n] for n in names} for row in rows_of(both, study) if row["decode"] == rule]

    alone = kept(rule)
    assert alone and alone == kept("both")


def test_generate_decodes_as_it_was_measured(both, monkeypatch):
    from tiny_study import invoke

    monkeypatch.chdir(both)
    ids = {row["decode"]: row["model"] for row in rows_of(both, "both")}
    found = {}
    for rule, model_id in ids.items():
        out = both / f"{rule}.npz"
        order = ("study=both", f"model_id={model_id}", "sampler=prior", "n=32", f"out={out}")
        assert invoke("generate", *order) == 0
        found[rule] = np.load(out)["x"]
    # draws of a Bernoulli are black or white
    assert set(np.unique(found["draw"])) <= {0, 255} and len(np.unique(found["mean"])) > 2


def test_the_record_says_the_rule(both):
    (record,) = (both / "outputs/both/cells").glob("*.json")
    content = load_json(record)
    models = content.get("models") or content["content"]["models"]
    assert sorted(model["decode"] for model in models) == ["draw", "mean"]


@pytest.mark.parametrize("value", ["[]", "[mean,mean]", "[mean,mode]", "median"])
def test_other_rules_are_one_line(tmp_path, capsys, value):
    assert run_tiny(tmp_path, f"decode={value}") == 2
    said = capsys.readouterr().err.strip()
    assert "decode=" in said and "mean" in said and len(said.splitlines()) == 1


def test_two_values_are_the_list(tmp_path, capsys):
    assert run_tiny(tmp_path, "decode=mean,draw", "--cfg", "job", command=("run",)) == 0
    assert "decode:\n- mean\n- draw" in capsys.readouterr().out


def test_what_data_suggest_is_no_part_of_a_model(tmp_path, monkeypatch):
    """Tables are drawn unless decode says otherwise; the suggestion itself makes no other cell."""
    from priorgap.pipeline.config.session import Request, Session

    monkeypatch.chdir(tmp_path)

    def composed(*words):
        with Session(Request(words, False, None)) as session:
            return session.cells()[0][0]

    assert composed("data=wage")["decode"] == "draw" and composed("data=digits")["decode"] == "mean"
    assert composed("data=wage", "decode=mean")["decode"] == "mean"
    assert composed("data=wage", "decode=[mean,draw]")["decode"] == ["mean", "draw"]
    assert composed("data=digits", "decode=draw")["decode"] == "draw"
    for words in (("data=wage",), ("data=digits",)):
        assert "decode" not in composed(*words)["data"]

"""A seed that is run again: rows that are equal, rows that moved, and a recommendation that does not stand."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from priorgap.verdict import StudyVerdict, decide_study

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "experiments"))
try:
    from writeup import overview, reruns
    from writeup.published import Published
    from writeup.query import EvidenceError
finally:
    sys.path.remove(str(ROOT / "experiments"))

TRAITS = {"prior": "fixed", "gmm": "none"}
SPREAD = {"prior": (0.0, 0.1, -0.1, 0.05, -0.05), "gmm": (0.05, 0.0, -0.05, 0.1, -0.1)}


def decide(table: pd.DataFrame) -> StudyVerdict:
    return decide_study(table, measure="fid", space="pixels", baseline="prior", level=0.95)


@pytest.fixture
def study(tmp_path: Path) -> Published:
    """Five seeds of a prior and a mixture at two weights, published; its recommendation is the mixture."""
    rows = [
        {"study": "known", "cell": f"c{alpha}", "model": f"m{alpha}{seed}", "seed": seed, "sampler": sampler,
         "role": "candidate", "label_source": "", "measure": "fid", "space": "pixels", "unit": "",
         "value": round(level * alpha * (1 + SPREAD[sampler][seed]), 6), "std_error": 0.125, "n": 500,
         "n_reference": 500, "bound": "point", "traits": TRAITS[sampler],
         "loss.alpha": alpha}
        for seed in range(5)
        for sampler, level in (("prior", 8.0), ("gmm", 2.0))
        for alpha in (1, 10)
    ]  # fmt: skip
    folder = tmp_path / "known"
    folder.mkdir()
    table = pd.DataFrame(rows)
    table.to_csv(folder / "results.csv", index=False)
    (folder / "verdict.json").write_text(json.dumps(decide(table).to_json()), encoding="utf-8")
    (folder / "config.yaml").write_text("# @package _global_\nstudy: known\n", encoding="utf-8")
    (folder / "claim.yaml").write_text("number: 1\nclaim: It is so.\nquestion: is it?\n", encoding="utf-8")
    (folder / "README.md").write_text("# A study\n", encoding="utf-8")
    return Published(folder)


def again(study: Published, scale: float = 1.0, sampler: str = "gmm", drop: int = 0) -> Path:
    """Return the report of a rerun of seed 0 whose values of one sampler are `scale` times those published."""
    table = pd.read_csv(study.folder / "results.csv", keep_default_na=False)
    # other ids and another order: neither says which row it is
    own = table[table["seed"] == 0].assign(cell="other", model="other")[::-1].copy()
    own.loc[own["sampler"] == sampler, "value"] *= scale
    folder = study.folder.parent / "report"
    folder.mkdir(exist_ok=True)
    own.iloc[drop:].to_csv(folder / "results.csv", index=False)
    made = {"commit": "b" * 40, "processor": "Some CPU", "kernels": "ATEN_CPU_CAPABILITY=avx2"}
    (folder / "provenance.json").write_text(json.dumps({"models": made}), encoding="utf-8")
    return folder


def test_equal_rows_are_said_to_be_equal(study: Published) -> None:
    entry = reruns.compared(study, again(study), decide)
    assert (entry["seeds"], entry["rows"], entry["equal"], entry["moved"]) == ([0], 4, 4, {})
    assert reruns.holds(entry) and entry["kernels"] == "ATEN_CPU_CAPABILITY=avx2"
    assert [one["recommended"] for one in entry["cells"]] == [["gmm", "gmm"], ["gmm", "gmm"]]
    assert reruns.lines("known", entry)[0] == "known, seed 0: 4 of 4 rows are equal as text"


def test_moves_are_measured(study: Published) -> None:
    """Of gmm's value at the weight 1, 2.1, a move of 2 % is .042, and .42 at the weight 10 is 3.36 of .125."""
    entry = reruns.compared(study, again(study, 1.02), decide)
    assert (entry["rows"], entry["equal"]) == (4, 2) and reruns.holds(entry)
    assert entry["moved"] == {"fid": {"relative": 0.02, "std_errors": 3.36}}
    effect = entry["cells"][0]["effects"]["gmm"]
    assert effect["seeds"] == [pytest.approx(2.1 / 8), pytest.approx(1.02 * 2.1 / 8)]
    # one of five seeds moved
    assert effect["put"] / effect["published"] == pytest.approx(1.02 ** (1 / 5))
    text = "\n".join(reruns.lines("known", entry))
    assert "fid: moved by at most 0.02 of its value, 3.36 standard errors" in text


@pytest.mark.parametrize(("scale", "sampler"), [(40.0, "gmm"), (1e-3, "prior")])
def test_a_rerun_that_contradicts_the_study_does_not_hold(
    study: Published, scale: float, sampler: str
) -> None:
    entry = reruns.compared(study, again(study, scale, sampler), decide)
    assert not reruns.holds(entry)
    (study.folder / reruns.FILE).write_text(json.dumps([entry]), encoding="utf-8")
    assert "| **another** |" in reruns.table([study])


def test_other_rows_are_no_rerun(study: Published) -> None:
    with pytest.raises(EvidenceError, match="1 rows without a twin; only published: 0"):
        reruns.compared(study, again(study, drop=1), decide)
    folder = again(study)
    table = pd.read_csv(folder / "results.csv", keep_default_na=False)
    pd.concat([table, table[:1]]).to_csv(folder / "results.csv", index=False)
    with pytest.raises(EvidenceError, match="two rows are both 0"):
        reruns.compared(study, folder, decide)
    with pytest.raises(EvidenceError, match=r"no results\.csv; expected the folder of a report"):
        reruns.compared(study, study.folder.parent, decide)
    (study.folder / "verdict.json").unlink()
    with pytest.raises(EvidenceError, match=r"known: no verdict\.json"):
        reruns.compared(Published(study.folder), folder, decide)


def test_the_table_has_one_line_for_each_machine(study: Published) -> None:
    assert reruns.table([study]) == "None yet."
    first = reruns.compared(study, again(study, 1.5), decide)
    found = reruns.with_entry([], first)
    entry = reruns.compared(study, again(study), decide)
    found = reruns.with_entry(found, entry)
    assert found == [entry], "the same seeds on the same machine: the newer one counts"
    found = reruns.with_entry(found, first | {"kernels": ""})
    (study.folder / reruns.FILE).write_text(json.dumps(found), encoding="utf-8")
    table = reruns.table([study])
    assert (
        "| known | 0 | Some CPU, ATEN_CPU_CAPABILITY=avx2 | not recorded | 4 | 4 | 0 % | the same |" in table
    )
    assert "| known | 0 | Some CPU | not recorded | 4 | 2 | 50 % |" in table
    took = json.dumps({"models": {"processor": "Some CPU"}})
    (study.folder / "provenance.json").write_text(took, encoding="utf-8")
    table = reruns.table([Published(study.folder)])
    assert "| Some CPU, ATEN_CPU_CAPABILITY=avx2 | Some CPU | 4 | 4 |" in table
    assert "| Some CPU | the same | 4 | 2 |" in table
    assert "known" in overview.claims([study], study.folder.parent / "README.md")


def accuracies_are_published(study: Path) -> bool:
    measures = pd.read_csv(study / "results.csv", usecols=["measure"])["measure"]
    return bool(measures.str.startswith(("accuracy", "class_")).any())


def test_published_accuracies_name_how_their_classifiers_were_trained() -> None:
    # the defaults may change; what a study of today's folder trains when it is run again must not. The embedded study
    # is what `make run` makes with the defaults of the day.
    studies = [
        p.parent for p in sorted((ROOT / "experiments").glob("*/results.csv")) if p.parent.name != "default"
    ]
    found = [study for study in studies if accuracies_are_published(study)]
    assert len(found) >= 6
    for study in found:
        config = yaml.safe_load((study / "config.yaml").read_text(encoding="utf-8"))
        assert {"passes", "batch_size", "learning_rate"} <= set(config["reference"]["classifier"]), study.name

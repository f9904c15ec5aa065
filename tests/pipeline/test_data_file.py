"""`data=file` end to end: a table with labels, its path and columns as a shell hands them over."""

from pathlib import Path

import numpy as np
import pytest
from tiny_study import TINY, invoke, models

from priorgap.core import artifacts

FEW = tuple(o for o in TINY if not o.startswith(("sampler=", "metric", "reference", "calib")))
SMALL = (
    "sampler=[prior,per_class_gaussian_full]", "metric=[rate,fid]", "reference.n_repeats=3", "features=[pixels]",
    "verdict.space=pixels", "tracking=off", "study=own",
)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4))
    rows = [
        f"{i};{a:.4f};{b:.4f};{c:.4f};{d:.4f};{'größer' if a > 0 else 'kleiner'}"
        for i, (a, b, c, d) in enumerate(x)
    ]
    text = "\n".join(["id;a;b;c;d;my class", *rows]) + "\n"
    (tmp_path / "x (1).csv").write_text(text.replace(".", ","), encoding="utf-8-sig")
    return tmp_path


def test_a_table_of_ones_own(here, capsys):
    order = ("run", "data=file", "data.path=~/x (1).csv", "data.target=my class", *FEW, *SMALL)
    assert invoke(*order) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "column id numbers the rows (0, 1, 2, ...)" in said and said.endswith(
        "data.drop=[id] leaves it out"
    )
    order = (*order, "data.drop=[id]")
    assert invoke(*order) == 0
    results = (here / "outputs/own/report/results.csv").read_text()
    assert ",fid,pixels," in results and "per_class_gaussian_full" in results
    (facts,) = [artifacts.load_json(file) for file in (here / "outputs/data").glob("file-*/dataset.json")]
    provenance = facts["provenance"]
    assert provenance["classes"] == ["größer", "kleiner"] and provenance["columns"] == ["a", "b", "c", "d"]
    assert provenance["reading"] == ["decimal commas"]
    assert provenance["sha256"] == artifacts.file_digest(here / "x (1).csv")
    (found,) = models(here, "own")
    out = ("generate", "study=own", f"model_id={found.id}", "sampler=per_class_gaussian_full", "n=40")
    assert invoke(*out, "class=kleiner", "out=k.parquet") == 0
    # what generate wrote is data again
    assert invoke("prepare", "data=file", "data.path=k.parquet", *FEW, *SMALL) == 0


def test_the_same_path_with_another_content_is_another_data_set(here):
    order = (
        "prepare",
        "data=file",
        "data.path=x (1).csv",
        "data.target=my class",
        "data.drop=id",
        *FEW,
        *SMALL,
    )

    def digest() -> str:
        assert invoke(*order) == 0
        (facts,) = [artifacts.load_json(file) for file in (here / "outputs/data").glob("file-*/dataset.json")]
        return str(facts["provenance"]["sha256"])

    first = digest()
    kept = (here / "x (1).csv").read_bytes()
    (here / "x (1).csv").write_bytes(kept.replace(b";0,", b";1,"))
    assert digest() not in (first, "")
    (here / "x (1).csv").write_bytes(kept)
    assert digest() == first


@pytest.mark.slow
def test_a_finished_study_is_of_what_its_file_held(here, capsys):
    order = ("run", "data=file", "data.path=x (1).csv", "data.target=my class", "data.drop=id", *FEW, *SMALL)

    def said() -> str:
        capsys.readouterr()
        assert invoke(*order) == 0
        return "".join(capsys.readouterr())

    assert "nothing to do" not in said() and "nothing to do" in said()
    kept = (here / "x (1).csv").read_bytes()
    (here / "x (1).csv").write_bytes(kept.replace(b";0,", b";1,"))
    assert "nothing to do" not in said() and "nothing to do" in said()

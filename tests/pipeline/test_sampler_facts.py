"""What samplers say of themselves, from the fit to results.csv, the verdict, the page and generate's choice."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_study import Run, run_tiny

from priorgap.core.sampler_facts import SamplerFacts
from priorgap.pipeline.store import records
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import RecordedStep

RECONSTRUCT = ("posterior", "kde", "vamp", "per_class_posterior")
SETTINGS = (
    "samplers.kde.bandwidths=[1.0]", "metric=[fid,copying]", "features=[pixels]", "verdict.space=pixels",
    "tracking=off", "seed=0,1",
)  # fmt: skip


def study(folder: Path, *samplers: str, command: str = "run") -> int:
    chosen = f"sampler=[{','.join(samplers)}]"
    return run_tiny(folder, chosen, *SETTINGS, command=(command, "-m"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("facts")
    assert study(place, "prior", "gaussian_full", "posterior_mean", *RECONSTRUCT) == 0
    return place


def test_they_are_kept_with_the_draws_and_stand_in_the_results(folder: Path) -> None:
    with (folder / "outputs/tiny/report/results.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0])[-2:] == ["traits", "decode"]
    traits = {row["sampler"]: row["traits"] for row in rows}
    both = "reconstructs needs_training_data"
    assert traits == {"prior": "fixed", "gaussian_full": "none", "posterior_mean": both} | dict.fromkeys(
        RECONSTRUCT, both
    )
    assert {row["decode"] for row in rows} == {"mean"}
    store = Store(folder / "outputs")
    for record in records.records_of(store, "tiny"):
        for model in record.models:
            assert set(model.samples) == set(traits)
            for name, step in model.samples.items():
                facts = SamplerFacts.from_json(store.value(step)["facts"])
                assert facts.traits == traits[name] and facts.cost


def test_the_verdict_calls_none_of_them_clean_and_the_page_says_what_they_are(folder: Path) -> None:
    report = folder / "outputs/tiny/report"
    verdict = json.loads((report / "verdict.json").read_text())
    for name in RECONSTRUCT:
        assert verdict["labels"][name] == ["reconstructive"]
        assert f"use {name}" not in verdict["text"] and f"{name} is the best" not in verdict["text"]
    assert not {"prior", "gaussian_full"} & set(verdict["labels"])
    assert verdict["winner_clean"] not in RECONSTRUCT
    assert verdict["details"]["leader_clean"] in ("prior", "gaussian_full")
    page = (report / "report.html").read_text()
    assert page.count(">reconstructive<") >= len(RECONSTRUCT) + 1  # the control posterior_mean too


def test_generate_takes_a_clean_one_unasked(
    folder: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ("generate", "study=tiny", f"output_root={folder}/outputs", "n=10")
    assert run(*order, "out=clean.npz") == 0
    assert capsys.readouterr().err.startswith(
        ("priorgap: 10 samples of gaussian_full", "priorgap: 10 samples of prior")
    )
    assert run(*order, "out=named.npz", "sampler=kde") == 0
    assert "10 samples of kde" in capsys.readouterr().err
    assert len(np.load("named.npz")["x"]) == 10


def test_generate_takes_none_where_all_reconstruct(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study(tmp_path, *RECONSTRUCT) == 0
    capsys.readouterr()
    assert run("generate", "study=tiny", "n=10", "out=x.npz") == 2
    said = capsys.readouterr().err
    assert (
        said.startswith("priorgap: sampler: every candidate of this study reconstructs")
        and said.count("\n") == 1
    )
    assert "expected sampler= with one of kde, per_class_posterior, posterior, vamp" in said
    assert not Path("x.npz").exists()


def test_a_study_of_an_earlier_version_says_what_to_do(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "outputs/tiny/report/results.csv").read_bytes()
    value = Store.value

    def without_facts(store: Store, step: RecordedStep) -> dict[str, Any]:
        return {key: kept for key, kept in value(store, step).items() if key != "facts"}

    monkeypatch.setattr(Store, "value", without_facts)
    assert study(folder, "prior", "gaussian_full", "posterior_mean", *RECONSTRUCT, command="report") == 2
    said = capsys.readouterr().err
    assert said.startswith("priorgap: study=tiny: the facts of gaussian_full, kde, per_class_posterior")
    assert "are missing" in said and "Run the study again by the command that made it" in said
    assert "Traceback" not in said
    assert (folder / "outputs/tiny/report/results.csv").read_bytes() == before
    order = ("generate", "study=tiny", f"output_root={folder}/outputs", "n=10", "out=old.npz")
    assert run(*order, "sampler=kde") == 2
    assert "sampler=kde: an earlier version drew from it; run the study again" in capsys.readouterr().err

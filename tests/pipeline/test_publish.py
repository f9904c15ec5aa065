"""`priorgap publish`: what stands beside a study afterwards, and what it says the study took."""

import json
import os
from pathlib import Path

import pytest
from tiny_study import TINY, Run, run_tiny

from priorgap.core.processor import processor
from priorgap.pipeline.study_provenance import covered
from priorgap.report.pictures import shows_one_model

STUDY = """# @package _global_
defaults:
  - override /data: digits

study: mini
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      seed: 0,1
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of a study that has run."""
    place = tmp_path / "experiments/mini"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(STUDY, encoding="utf-8")
    assert run_tiny(tmp_path, "experiment=mini", study="mini") == 0
    return place


def test_publish_puts_verdict_and_provenance_beside_the_results(study: Path, run: Run) -> None:
    words = (*TINY, "study=mini", "experiment=mini", "tracking=off")
    assert run("publish", *words) == 0
    report = study.parents[1] / "outputs/mini/report"
    for name in ("results.csv", "verdict.json"):
        assert (study / name).read_bytes() == (report / name).read_bytes()
    found = json.loads((study / "provenance.json").read_text(encoding="utf-8"))
    assert found["command"] == " ".join(["priorgap run", *words[:-1]])
    assert found["seeds"] == [0, 1] and found["models"]["processor"] == processor()
    took = found["took"]
    assert took["results"] > 10 and took["without_cpu_seconds"] == 0
    # no more processor time than all processors have; a half more, because times are rounded
    most = 1.5 * (os.cpu_count() or 1) * took["busy_seconds"]
    assert 0.1 < took["cpu_seconds"] < min(600, most) and took["busy_seconds"] < 600
    assert not any(shows_one_model(one.name) for one in (study / "figures").glob("*"))
    # again: the same
    before = (study / "provenance.json").read_text(encoding="utf-8")
    assert run("publish", *words) == 0
    assert (study / "provenance.json").read_text(encoding="utf-8") == before


def test_results_of_earlier_versions_do_not_say_their_processor_time(study: Path, run: Run) -> None:
    for manifest in (study.parents[1] / "outputs/mini/train").glob("[!.]*/manifest.json"):
        content = json.loads(manifest.read_text(encoding="utf-8"))
        assert content["provenance"].pop("cpu_seconds") > 0
        manifest.write_text(json.dumps(content), encoding="utf-8")
    assert run("publish", *TINY, "study=mini", "experiment=mini", "tracking=off") == 0
    found = json.loads((study / "provenance.json").read_text(encoding="utf-8"))
    assert found["took"]["without_cpu_seconds"] == 2


@pytest.mark.parametrize(
    ("spans", "length"),
    [([], 0), ([(1, 2)], 1), ([(1, 3), (2, 4)], 3), ([(5, 6), (0, 1)], 2), ([(0, 9), (1, 2), (3, 4)], 9)],
)
def test_time_in_which_something_worked(spans: list[tuple[float, float]], length: float) -> None:
    assert covered(spans) == length

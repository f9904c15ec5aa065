"""A metric of torchmetrics by a line of configuration: made in its step, in results.csv, stale with its arguments."""

import csv
import json
from pathlib import Path

import pytest
from image_metrics import (
    KernelInceptionDistance,
    PeakSignalNoiseRatio,
    StructuralSimilarityIndexMeasure,
    torchmetrics,
)
from tiny_study import TINY, invoke

from priorgap.metrics.torchmetrics_image import ImageMetric

METRIC = "metric=[fid,kid,tm_fid,tm_kid,tm_psnr,tm_mifid,tm_inception_score]"
WORDS = (
    *(word for word in TINY if not word.startswith(("metric", "sampler="))),
    "sampler=[prior,posterior]",
    "features=[classifier,pixels]",
    METRIC,
    "metrics.tm_kid.subsets=1",
    "metrics.tm_kid.subset_size=80",
    # a node of the user's own, without a file
    "+metrics.own_ssim._target_=torchmetrics.image.StructuralSimilarityIndexMeasure",
    "+metrics.own_ssim.sigma=0.5",
    "study=tm",
    "tracking=off",
)
OURS = (KernelInceptionDistance, PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure)


@pytest.fixture(scope="module")
def made() -> list[str]:
    return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, made: list[str]) -> Path:
    """The finished study; `made` holds the torchmetrics objects that were made meanwhile, with the stage."""
    folder = tmp_path_factory.mktemp("tm")
    original = torchmetrics.Metric.__init__

    def counted(self, *args, **kwargs):
        if isinstance(self, OURS):
            made.append(type(self).__name__)
        original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(torchmetrics.Metric, "__init__", counted)
        for stage in ("prepare", "reference", "train", "encode", "sample"):
            assert invoke(stage, *WORDS) == 0
            assert made == [], stage
        assert invoke("run", *WORDS) == 0
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "outputs/tm/report/results.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_objects_are_made_in_their_step_and_once_a_step(folder, made):
    # two samplers in two spaces; the model once
    assert sorted(made) == ["KernelInceptionDistance"] * 4 + ["PeakSignalNoiseRatio"] + [
        "StructuralSimilarityIndexMeasure"
    ]


def test_results_hold_it_beside_ours(folder):
    found = {
        (row["measure"], row["sampler"], row["space"]): row for row in rows(folder) if row["bound"] == "point"
    }
    for sampler in ("prior", "posterior"):
        for space in ("classifier", "pixels"):
            ours, peer = found["fid", sampler, space], found["tm_fid", sampler, space]
            assert float(peer["value"]) == pytest.approx(float(ours["value"]), rel=1e-4)
            assert (peer["n"], peer["n_reference"]) == (ours["n"], ours["n_reference"])
            assert found["tm_kid", sampler, space]["n"] == "80"
            assert ("tm_mifid", sampler, space) in found
        assert ("tm_inception_score", sampler, "classifier") in found
        assert ("tm_inception_score", sampler, "pixels") not in found
    for name in ("tm_psnr", "own_ssim"):
        assert found[name, "", "pixels"]["n_reference"] == found[name, "", "pixels"]["n"]
    assert float(found["own_ssim", "", "pixels"]["value"]) <= 1


def test_why_one_is_absent_stands_in_the_report(folder):
    page = (folder / "outputs/tm/report/report.html").read_text()
    assert "tm_inception_score: the feature space pixels scores no classes" in page


def test_an_argument_makes_its_results_stale_and_no_others(folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = {(r["measure"], r["sampler"], r["space"]): r["value"] for r in rows(folder)}
    measured: list[str] = []
    original = ImageMetric.measure

    def counted(self, evidence, *, generator):
        measured.append(self.name)
        return original(self, evidence, generator=generator)

    monkeypatch.setattr(ImageMetric, "measure", counted)
    assert invoke("run", *WORDS, "metrics.tm_kid.subset_size=40") == 0
    assert measured == ["tm_kid"] * 4
    after = {(r["measure"], r["sampler"], r["space"]): r["value"] for r in rows(folder)}
    assert {key for key in before if before[key] != after[key]} == {k for k in before if k[0] == "tm_kid"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("+metrics.tm_kid.feature=64", "metrics.tm_kid.feature=64: not from a configuration"),
        ("metrics.tm_kid.subsets=many", "metrics.tm_kid.subsets=many: expected an integer"),
        ("metrics.tm_kid._target_=torchmetrics.image.PerceptualPathLength", "it would fetch a network"),
        ("metrics.tm_kid._target_=torchmetrics.text.BLEUScore", "expected a name under"),
        ("metrics.fid._target_=torchmetrics.image.FrechetInceptionDistance", "metrics.fid: priorgap has"),
    ],
)
def test_what_a_configuration_cannot_give_is_one_line_before_any_work(
    word, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert invoke("run", *WORDS, word) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0], lines
    assert not (tmp_path / "outputs").exists()


def test_samplers_are_ranked_by_it(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert invoke("run", *WORDS, "verdict.measure=tm_fid") == 0
    verdict = json.loads((folder / "outputs/tm/report/verdict.json").read_text())
    assert verdict["measure"] == "tm_fid"
    values = {
        row["sampler"]: float(row["value"])
        for row in rows(folder)
        if row["measure"] == "tm_fid" and row["space"] == "classifier"
    }
    assert verdict["details"]["leader"] == min(values, key=values.__getitem__)
    assert [c["sampler"] for c in verdict["details"]["candidates"]] == sorted(values, key=values.__getitem__)
    # what describes the model ranks none
    assert invoke("run", *WORDS, "verdict.measure=tm_psnr") == 2
    assert "tm_psnr" in capsys.readouterr().err

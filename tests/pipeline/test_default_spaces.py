"""The feature space where none is chosen: what an option of data says is what the modality of its rows says."""

import csv
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_study import TINY, invoke

from priorgap import compare
from priorgap.data.splits import DataUnavailable, load_dataset
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.model_config import ModelConfig, validate
from priorgap.pipeline.config.session import Request, Session

SINES = ("data=sines", "data.source.n_train=300", "data.source.n_validation=80", "data.source.n_test=100")
FEW = tuple(o for o in TINY if not o.startswith(("sampler=", "metric", "reference.classifier", "calib")))
SMALL = (
    "sampler=[prior,posterior,gaussian_full]",
    "metric=[rate,fid,fid_floor,prdc]",
    "tracking=off",
    "study=own",
)


def one(*words: str) -> ModelConfig:
    with Session(Request(words)) as session:
        (cell,) = [ModelConfig(config, names) for config, names in session.cells()]
    return cell


def spaces(cell: ModelConfig) -> tuple[list[str], str]:
    return list(cell.config["feature_spaces"]), cell.config["verdict"]["space"]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(400, 2)).cumsum(0)
    pd.DataFrame(rows, columns=["a", "b"]).to_csv("s.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("data=digits",),
        ("data=linear_gaussian",),
        ("data=breast_cancer",),
        SINES,
        ("data=windows", "data.path=s.csv", "data.n_past=4", "data.n_future=4"),
        ("data=weather",),
        ("data=vowels",),
    ],
    ids=lambda words: words[0],
)
def test_an_option_of_data_chooses_what_its_modality_says(here, words):
    cell = one(*words)
    validate([cell])
    try:
        dataset = parts.data_source(cell.config).load(root=here, download=False)
    except DataUnavailable as error:
        pytest.skip(str(error))
    usual = dataset.modality.feature_space
    assert spaces(cell) == ([usual], usual)
    assert usual == ("rocket" if dataset.modality.sequences else "classifier")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("data=sines", "features=[classifier]"), (["classifier"], "classifier")),
        (("data=sines", "features=[pixels,rocket]"), (["pixels", "rocket"], "pixels")),
        (
            ("data=sines", "features=[pixels,rocket]", "verdict.space=rocket"),
            (["pixels", "rocket"], "rocket"),
        ),
        (("features=[pixels]",), (["pixels"], "pixels")),
        (("experiment=e12_series",), (["classifier", "pixels"], "classifier")),
        (("experiment=default",), (["classifier", "pixels"], "classifier")),
    ],
    ids=lambda v: " ".join(v) if isinstance(v[0], str) else "",
)
def test_what_is_said_holds_and_the_first_space_ranks(words, expected):
    with Session(Request(words)) as session:
        assert {str(spaces(ModelConfig(config, ()))) for config, _ in session.cells()} == {str(expected)}


def test_no_models_id_depends_on_it():
    ids = {one(*SINES, *words).train_id for words in ((), ("features=[classifier]",), ("features=[pixels]",))}
    assert len(ids) == 1


def test_series_are_ranked_in_it_and_compare_gives_the_same_numbers(here):
    assert invoke("run", *SINES, *FEW, *SMALL, "model=mlp", "seed=3") == 0
    report = here / "outputs/own/report"
    with (report / "results.csv").open(newline="", encoding="utf-8") as handle:
        pipeline = {key(row): row["value"] for row in csv.DictReader(handle)}
    assert {space for _, measure, space, *_ in pipeline if measure in ("fid", "recall")} == {"rocket"}
    # no network is fitted to the real data
    (reference,) = (here / "outputs/reference").iterdir()
    assert [folder.name.partition("-")[0] for folder in reference.iterdir()] == ["rocket"]
    assert '"space": "rocket"' in (report / "verdict.json").read_text(encoding="utf-8")
    assert "FID (rocket)" in (report / "report.html").read_text(encoding="utf-8")
    (folder,), (data,) = (list((here / f"outputs/{own}").iterdir()) for own in ("own/train", "data"))
    model, dataset = models.load(folder), load_dataset(data)
    found = compare(
        model.encode, model.decode, dataset.train, dataset.test, validation=dataset.validation,
        samplers=["prior", "posterior", "gaussian_full"], metrics=["rate", "fid", "fid_floor", "prdc"], n=80, seed=3,
    )  # fmt: skip
    assert found.verdict.space == "rocket"
    library = {key(row): row["value"] for row in found.table.to_dict("records")}
    assert library.keys() == pipeline.keys()
    # floors are of 20 pairs there and of 3 here
    differ = {k for k, v in library.items() if float(f"{v:.10g}") != float(pipeline[k])}
    assert {k[1] for k in differ} <= {"fid_floor"} and all(k[4] != "point" for k in differ)


def key(row):
    return tuple(str(row[c]) for c in ("sampler", "measure", "space", "unit", "bound", "label_source"))


def test_a_report_asked_with_another_rule_keeps_the_studys_space(here):
    assert invoke("run", *SINES, *FEW, *SMALL, "model=mlp") == 0
    assert invoke("report", "study=own", "tracking=off", "verdict.baseline=posterior") == 0
    assert '"space": "rocket"' in (here / "outputs/own/report/verdict.json").read_text(encoding="utf-8")


def test_images_are_refused_in_one_line_before_anything_is_stored(here, capsys):
    assert invoke("run", *FEW, *SMALL, "features=[rocket]") == 2
    said = capsys.readouterr().err.strip()
    assert said.splitlines()[-1].startswith(
        "priorgap: features=rocket: the data are grey images of 8 x 8; expected series"
    )
    assert not (here / "outputs/own/train").exists()


def test_a_file_of_series_is_told_of_it(here, caplog):
    np.save("s.npy", np.random.default_rng(0).normal(size=(200, 12, 2)))
    order = (
        "run",
        "data=file",
        "data.path=s.npy",
        "data.series=true",
        *FEW,
        *SMALL,
        "reference.classifier.epochs=1",
    )
    with caplog.at_level(logging.INFO):
        assert invoke(*order, "likelihood=gaussian") == 0
    assert "sequences of 12 steps of 2 values; features=[rocket] compares them" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert invoke(*order, "likelihood=gaussian", "features=[pixels]", "study=other") == 0
    assert "features=[rocket]" not in caplog.text

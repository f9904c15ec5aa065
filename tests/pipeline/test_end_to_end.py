"""The main job on a tiny real data set: what it writes, what it skips, what stays the same to the bit."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_study import (
    EXTRA,
    TINY,
    content,
    flip,
    invoke,
    measurements,
    model,
    models,
    run_tiny,
    shelf,
    stamps,
    touched,
)

from priorgap.core import artifacts
from priorgap.pipeline import execute
from priorgap.pipeline.desk import Desk
from priorgap.report import charts
from priorgap.verdict import FACT_COLUMNS, RESULT_COLUMNS


@pytest.fixture
def copy(tiny, tmp_path):
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    return tmp_path


def results(folder: Path) -> list[dict[str, str]]:
    with (folder / "outputs/tiny/report/results.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_table_has_the_public_columns_and_measures(tiny):
    rows = results(tiny)
    assert list(rows[0])[: len(RESULT_COLUMNS)] == list(RESULT_COLUMNS)
    assert list(rows[0])[len(RESULT_COLUMNS) :] == ["calibrate", *FACT_COLUMNS]
    measures = {row["measure"] for row in rows}
    assert {
        "rate",
        "marginal_kl",
        "kl_diag",
        "kl_diag_train",
        "kl_corr",
        "elbo",
        "distortion",
        "fid",
    } <= measures
    assert {"near_copy_excess", "train_share", "accuracy_real_to_synthetic"} <= measures
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert all(row["value"] not in ("", "nan") for row in rows)
    fids = [row for row in rows if row["measure"] == "fid"]
    assert all(row["space"] == "classifier" and row["n"] == "80" for row in fids)


def test_calibration_brings_the_diagonal_mismatch_to_zero(tiny):
    values = {
        (row["calibrate"], row["seed"]): float(row["value"])
        for row in results(tiny)
        if row["measure"] == "kl_diag_train"
    }
    for seed in ("0", "1"):
        assert values["False", seed] > 0.01
        # zero but for the debiasing, which is of the order of d / n_train squared, and float32 weights
        assert abs(values["True", seed]) < 1e-4


def test_verdict_has_its_keys_and_is_provisional(tiny):
    verdict = json.loads((tiny / "outputs/tiny/report/verdict.json").read_text())
    keys = ["measure", "space", "winner", "winner_clean", "effect", "interval", "n_seeds", "provisional"]
    keys += ["labels", "disagree", "text"]
    assert set(keys) <= verdict.keys()
    assert verdict["n_seeds"] == 2 and verdict["provisional"]


def test_report_is_one_self_contained_page(tiny):
    page = (tiny / "outputs/tiny/report/report.html").read_text()
    assert "viewport" in page and "data:image/png;base64," in page
    # the script that draws charts is a library's, and stands in the page; ours are the chart and what sorts tables
    own = page.replace(charts.script(), "")
    assert own != page and own.count("<script>") == 3 and "<script " not in own
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", own)
    # what was studied, what samplers with a label lie near, and the plane of two units, from the store alone
    assert "<dt>Data</dt><dd>digits: grey images of 8 x 8; 1,079 for training, 359 for validation" in page
    assert re.search(r"<dt>Measured</dt><dd>\d{4}-\d\d-\d\d</dd>", page)
    assert "Nearest training images" in page and "posterior above the training images nearest" in page
    assert 'class="plane decodes"' in page and page.count('<details class="unit">') >= 3


def test_models_are_plain_files_and_load_without_pickle(tiny):
    (folder, _) = sorted((tiny / "outputs/tiny/train").iterdir())
    assert {p.name for p in folder.iterdir()} == {
        "weights.safetensors", "config.yaml", "curves.csv", "manifest.json"
    }  # fmt: skip
    assert not list((tiny / "outputs").rglob("*.ckpt"))
    assert not list((tiny / "outputs").rglob("*.pkl"))


def test_nothing_partial_is_left(tiny):
    assert not list((tiny / "outputs").rglob(".partial-*"))


def test_rerun_does_no_work_and_says_so(tiny, capsys):
    before = touched(tiny)
    assert run_tiny(tiny, *EXTRA, command=("run", "-m")) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert touched(tiny) == before


@pytest.mark.e2e
def test_same_configuration_gives_the_same_bits_elsewhere_and_in_processes(tiny, tmp_path):
    assert (
        run_tiny(tmp_path, *EXTRA, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", command=("run", "-m"))
        == 0
    )
    assert content(tmp_path) == content(tiny)


def test_an_added_sampler_trains_nothing_and_leaves_the_others_alone(copy):
    before = stamps(copy)
    samplers = "sampler=[prior,posterior,gaussian_full,per_class_gaussian_full,gaussian_diag]"
    assert run_tiny(copy, *EXTRA, samplers, command=("run", "-m")) == 0
    after = stamps(copy)
    changed = {k for k in before if after[k] != before[k]}
    assert changed == {"tiny/report"}
    added = {k for k in after if k not in before}
    assert {k.split("/")[1] for k in added} == {"sample", "measure"}
    assert all(k.split("/")[3] == "gaussian_diag" for k in added)


def test_an_added_metric_samples_nothing(copy):
    before = stamps(copy)
    metrics = next(o for o in TINY if o.startswith("metric=")).replace("rate,", "rate,kid,")
    assert run_tiny(copy, *EXTRA, metrics, command=("run", "-m")) == 0
    after = stamps(copy)
    assert {k for k in before if after[k] != before[k]} == {"tiny/report"}
    added = {k for k in after if k not in before}
    assert added and all(k.endswith("/kid@classifier") for k in added)


def test_classifiers_are_fitted_when_a_metric_asks_for_them(tiny, tmp_path):
    def written():
        return {p.name.rpartition("-")[0] for p in (tmp_path / "outputs/reference").glob("*/*")}

    assert run_tiny(tmp_path, "metric=[fid,copying]", "features=[pixels]", "verdict.space=pixels") == 0
    assert written() == {"pixels"}
    assert run_tiny(tmp_path, "metric=[fid,copying]") == 0
    assert written() == {"pixels", "classifier", "feature_classifier"}
    of_prior = f"tiny/measure/{model(tmp_path).id}/prior"
    before = stamps(tmp_path)[f"{of_prior}/fid@classifier"]
    assert f"{of_prior}/accuracy_real_to_synthetic" not in stamps(tmp_path)
    assert run_tiny(tmp_path) == 0
    assert written() == {"pixels", "classifier", "feature_classifier", "classifiers"}
    # what asks for no classifier has not been measured anew, and is what a command that fits them first gives
    after = stamps(tmp_path)
    assert after[f"{of_prior}/fid@classifier"] == before
    assert f"{of_prior}/accuracy_real_to_synthetic" in after
    here = measurements(tmp_path, model(tmp_path).id, "prior", "fid@classifier")
    assert here == measurements(tiny, model(tiny).id, "prior", "fid@classifier")


def test_samplers_measured_in_processes_give_the_same(copy, monkeypatch):
    reference = content(copy)
    shutil.rmtree(copy / "outputs/tiny/measure")
    # the tiny images would not be worth a process
    monkeypatch.setattr("priorgap.pipeline.execute._LARGE", 1)
    assert run_tiny(copy, *EXTRA, "measure_processes=2", command=("run", "-m")) == 0
    assert content(copy) == reference
    logs = "".join(p.read_text() for p in (copy / "outputs/tiny/logs").rglob("*.log"))
    assert "samplers in 2 processes" in logs
    before = touched(copy)
    assert run_tiny(copy, *EXTRA, "measure_processes=2", command=("measure", "-m")) == 0
    assert touched(copy) == before
    assert run_tiny(copy, *EXTRA, "measure_processes=0", command=("measure", "-m")) == 2


def test_a_process_reads_a_model_once_for_all_its_samplers(copy, monkeypatch):
    reference, n_models = content(copy), len(models(copy))
    shutil.rmtree(copy / "outputs/tiny/measure")
    desks, n_calls = [], []

    def here(calls, workers, threads):
        n_calls.append(len(calls))
        return ((name, call()) for name, call in calls.items())

    class Counted(Desk):
        def __init__(self, store):
            super().__init__(store)
            desks.append(self)

    monkeypatch.setattr(execute, "_LARGE", 1)
    monkeypatch.setattr(execute, "spread", here)
    monkeypatch.setattr(execute, "Desk", Counted)
    assert run_tiny(copy, *EXTRA, "measure_processes=2", command=("run", "-m")) == 0
    assert content(copy) == reference
    assert sum(n_calls) > 2 * n_models
    # none serves another model, or the same one later, when the store may hold something else
    assert len(desks) == len(n_calls) == n_models


def test_a_flipped_byte_is_found_and_only_that_is_made_again(copy, capfd):
    reference = content(copy)
    before = stamps(copy)
    draws = shelf(copy, "sample", model(copy).id)
    span = draws.entries["prior"].span
    flip(draws.folder / span.file, span.offset + span.n_bytes - 1)
    assert run_tiny(copy, *EXTRA, command=("run", "-m")) == 0
    assert "checksum differs" in capfd.readouterr().err
    assert content(copy) == reference
    changed = {k for k, v in stamps(copy).items() if before[k] != v}
    assert changed == {f"tiny/sample/{model(copy).id}/prior", "tiny/report"}


def test_stages_alone_give_what_run_gives(tiny, tmp_path):
    for stage in ("prepare", "reference", "train", "calibrate", "encode", "sample", "measure", "report"):
        assert run_tiny(tmp_path, *EXTRA, command=(stage, "-m")) == 0
    assert content(tmp_path) == content(tiny)
    assert (tmp_path / "outputs/tiny/report/report.html").is_file()


def test_a_stage_without_its_upstream_fails_and_says_what_to_run(tmp_path, capfd):
    assert run_tiny(tmp_path, "seed=0", command=("prepare",)) == 0
    assert run_tiny(tmp_path, "seed=0", command=("encode",)) == 1
    assert "run `priorgap train` first" in capfd.readouterr().err


def test_one_bad_cell_does_not_stop_the_others(tmp_path, capfd):
    # a learning rate of 1e30 is a legal value that gives a loss that is not finite
    sweep = ("trainer.learning_rate=1e30,1e-3", "seed=0")
    assert run_tiny(tmp_path, *sweep, command=("run", "-m")) == 1
    assert "failed: " in capfd.readouterr().err
    assert len(list((tmp_path / "outputs/tiny/failed").glob("*.json"))) == 1
    assert {row["sampler"] for row in results(tmp_path)} >= {"prior", "posterior"}


def test_report_of_a_study_by_its_name_alone(copy, monkeypatch):
    shutil.rmtree(copy / "outputs/tiny/report")
    monkeypatch.chdir(copy)
    assert invoke("report", "study=tiny") == 0
    assert {row["seed"] for row in results(copy)} == {"0", "1"}


@pytest.mark.parametrize("out", ["x.npz", "x.parquet", "pngs"])
def test_generate_writes_labelled_images(copy, monkeypatch, out):
    monkeypatch.chdir(copy)
    order = ("study=tiny", "sampler=per_class_gaussian_full", "n=57", f"out={out}")
    assert invoke("generate", *order) == 0
    if out == "x.npz":
        with np.load(out) as arrays:
            assert arrays["x"].shape == (57, 1, 8, 8) and arrays["x"].dtype == np.uint8
            assert arrays["y"].shape == (57,)
    elif out == "x.parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(out)
        assert table.num_rows == 57 and set(table.column_names) == {"x", "y"}
    else:
        assert len(list(Path(out).rglob("*.png"))) == 57
        assert {p.name for p in Path(out).iterdir()} <= {str(k) for k in range(10)}
    assert invoke("generate", *order) == 2


@pytest.mark.parametrize("asked", ["class=3", "class=three"])
def test_generate_gives_one_class_with_a_card(copy, monkeypatch, capsys, asked):
    monkeypatch.chdir(copy)
    order = ("study=tiny", "sampler=per_class_gaussian_full", "n=57", asked)
    assert invoke("generate", *order, "out=x.csv") == (0 if asked == "class=3" else 2)
    err = capsys.readouterr().err
    if asked == "class=3":
        rows = np.loadtxt("x.csv", delimiter=",", skiprows=1)
        assert rows.shape == (57, 65) and (rows[:, -1] == 3).all()
        card = Path("x.csv.card.md").read_text(encoding="utf-8")
        facts = yaml.safe_load(card.split("---")[1])
        assert facts["class"] == "3" and facts["sampler"] == "per_class_gaussian_full" and facts["n"] == 57
        assert facts["usable"] is True and "FID" in card and "**The verdict:**" in card
        assert "x.csv.card.md says what they are" in err
    else:
        assert err.count("\n") == 1 and "class=three: expected one of 0 to 9" in err
        assert not Path("x.csv").exists()


def test_generate_needs_no_data_of_images(copy, monkeypatch):
    monkeypatch.chdir(copy)
    shutil.rmtree(copy / "outputs/data")
    assert invoke("generate", "study=tiny", "n=3", "out=x.npz", "sampler=prior") == 0


def test_generate_marks_what_health_forbids(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    assert invoke("report", "-m", *TINY, *EXTRA, "study=tiny", "verdict.health.rate=50") == 0
    capsys.readouterr()
    assert invoke("generate", "study=tiny", "n=5", "out=x.npz") == 2
    assert not list(copy.glob("*x.npz*"))
    order = ("sampler=prior", f"model_id={model(copy).id}", "out=x.npz")
    assert invoke("generate", "study=tiny", "n=5", *order) == 0
    assert "WARNING: the verdict recommends no sampler of this model." in capsys.readouterr().err
    card = Path("x.npz.card.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---")[1])["usable"] is False and "**Do not use these data.**" in card


def test_generate_refuses_a_class_of_a_sampler_without_classes(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    assert invoke("generate", "study=tiny", "sampler=prior", "n=5", "class=3", "out=x.npz") == 2
    assert "class=3: the draws of this sampler have no class" in capsys.readouterr().err
    assert not list(copy.glob("*x.npz*"))


def test_generate_takes_the_best_by_default_and_n_only_extends(copy, monkeypatch):
    monkeypatch.chdir(copy)
    assert invoke("generate", "study=tiny", "n=10", "out=a.npz") == 0
    assert invoke("generate", "study=tiny", "n=5000", "out=b.npz") == 0
    with np.load("a.npz") as a, np.load("b.npz") as b:
        assert (b["x"][:10] == a["x"]).all() and len(b["x"]) == 5000


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (("study=tiny", "n=0", "out=x.npz"), "n=0: expected"),
        (("study=tiny", f"n={10**15}", "out=x.npz"), "expected an integer >= 1 and at most 1,000,000,000"),
        (("study=nope", "n=1", "out=x.npz"), "study=nope"),
        (("study=tiny", "n=1", "out=x.npz", "sampler=nope", "model_id=best"), "sampler=nope"),
        (("study=tiny", "n=1", "out=x.npz", "model_id=zzz", "sampler=prior"), "model_id=zzz"),
        (("study=tiny", "n=1", "out=x.xyz"), "out=x.xyz"),
        (("study=tiny", "n=1"), "out: missing"),
        (("study=tiny", "n=1", "out=x.npz", "size=3"), "size=3"),
        (("study=../outputs/tiny", "n=1", "out=x.npz"), "study=../outputs/tiny: no such study"),
        (("study=tiny", "n=1", "out=x.npz", "format="), "format=: expected a value"),
        (("study=tiny", "n=1", "out=/dev/null/x.npz"), "/dev/null is a file; expected a path in a folder"),
    ],
)
def test_generate_refuses_bad_orders_in_one_line(copy, monkeypatch, capsys, order, words):
    monkeypatch.chdir(copy)
    assert invoke("generate", *order) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err
    assert not Path("x.npz").exists()


def test_weights_of_another_shape_are_refused(copy, monkeypatch, capsys):
    monkeypatch.chdir(copy)
    for folder in sorted((copy / "outputs/tiny/train").iterdir()):
        weights = artifacts.load_tensors(folder / "weights.safetensors")
        weights = {k: torch.zeros(*(s + 1 for s in v.shape)) for k, v in weights.items()}
        others = {p.name: p.read_bytes() for p in folder.iterdir() if p.name in ("config.yaml", "curves.csv")}
        # published whole, so that its checksums hold
        with artifacts.publish(folder, "another model's") as directory:
            artifacts.save_tensors(directory / "weights.safetensors", weights)
            for name, content_of_file in others.items():
                artifacts.write_bytes(directory / name, content_of_file)
    assert invoke("generate", "study=tiny", "n=3", "out=y.npz", "sampler=prior") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "shape" in err

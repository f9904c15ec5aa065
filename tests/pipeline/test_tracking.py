"""W&B: what a sweep's runs hold, read back from offline files and from a stand-in of the server."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from crashes import Child
from tiny_study import EXTRA, TINY, model, run_tiny
from wandb_runs import OfflineRun, read_run, read_runs
from wandb_stand_in import online, stand_in

from priorgap.core import artifacts
from priorgap.core.measurement import Measurement
from priorgap.pipeline.tracking.content import sampler_table, summary

SAMPLERS = {"prior", "posterior", "gaussian_full", "per_class_gaussian_full"}


@pytest.fixture(scope="module")
def runs(tracked) -> list[OfflineRun]:
    found = read_runs(tracked / "outputs/tiny/wandb")
    assert [run.exit_code for run in found] == [0] * 5
    return found


def models(runs: list[OfflineRun]) -> list[OfflineRun]:
    return [run for run in runs if run.job_type == "model"]


def results(folder: Path) -> dict[str, dict[str, float]]:
    """The numbers of the whole of each model in results.csv: by model id, by the name that the summary has."""
    found: dict[str, dict[str, float]] = {}
    with (folder / "outputs/tiny/report/results.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            parts = [row["measure"], row["sampler"], row["label_source"]]
            if row["bound"] != "point":
                parts.insert(2, row["bound"])
            name = "/".join(part for part in parts if part)
            if row["unit"] == "":
                found.setdefault(row["model"], {})[name] = float(row["value"])
    return found


def test_a_run_for_each_model_and_one_for_the_study(runs):
    assert sorted(run.job_type for run in runs) == ["model"] * 4 + ["report"]
    assert {run.group for run in runs} == {"tiny"}
    assert len({run.id for run in runs}) == 5
    assert all(run.exit_code == 0 for run in runs)
    for run in models(runs):
        # an id of its own that another run of the same study finds again
        assert run.id == artifacts.digest(["tiny", run.config["model_id"]])[:16]
        assert {"train", "encode", "sample", "measure"} <= set(run.tags)
        assert ("calibrate" in run.tags) == run.config["calibrated"]


def test_config_is_the_composed_one(runs):
    assert sorted(run.config["seed"] for run in models(runs)) == [0, 0, 1, 1]
    for run in models(runs):
        assert run.config["loss"]["alpha"] == 20 and run.config["model"]["latent_dim"] == 3
        assert set(run.config["samplers"]) == SAMPLERS


def test_history_holds_curves_by_epoch(runs, tracked):
    for run in models(runs):
        curves = [row for row in run.history if "train/loss" in row]
        assert [row["epoch"] for row in curves] == [0, 1]
        assert {"train/kl", "train/reconstruction", "validation/loss", "validation/kl"} <= curves[0].keys()
        file = tracked / "outputs/tiny/train" / model(tracked, run.config["seed"]).train_id / "curves.csv"
        with file.open(newline="") as handle:
            written = [float(row["validation_loss"]) for row in csv.DictReader(handle)]
        assert [row["validation/loss"] for row in curves] == written


def test_units_have_a_table_and_a_histogram(runs, tracked):
    for run in models(runs):
        table = run.table("units")
        assert table["columns"] == ["unit", "rate", "marginal_kl"]
        assert [row[0] for row in table["data"]] == [0, 1, 2]
        total = sum(row[1] for row in table["data"])
        assert total == pytest.approx(results(tracked)[run.config["model_id"]]["rate"], rel=1e-6)
        histogram = next(row for row in run.history if "marginal_kl_histogram._type" in row)
        assert sum(histogram["marginal_kl_histogram.values"]) == 3


def test_every_sampler_has_a_grid_beside_real_images_and_reconstructions(runs):
    for run in models(runs):
        # one step for all of them
        (logged,) = [row for row in run.history if any(key.startswith("samples/") for key in row)]
        logged = {key: value for key, value in logged.items() if key.startswith("samples/")}
        expected = {"prior"} if run.config["calibrated"] else SAMPLERS
        expected = expected | {"real", "reconstructions"}
        assert {key.split("/")[1].partition(".")[0] for key in logged} == expected
        for sampler in expected:
            assert (run.folder / "files" / logged[f"samples/{sampler}.path"]).stat().st_size > 0
            # 8 x 8 images of 8 pixels with lines between them, three times as large
            assert logged[f"samples/{sampler}.width"] == logged[f"samples/{sampler}.height"] == 3 * 71


def test_summary_is_flat_and_equals_the_table(runs, tracked):
    table = results(tracked)
    for run in models(runs):
        expected = table[run.config["model_id"]]
        assert {f"fid/{s}" for s in run.config["samplers"]} >= {k for k in expected if k.startswith("fid/")}
        assert {"fid/prior", "near_copy_excess/prior", "elbo", "kl_diag"} <= expected.keys()
        for name, value in expected.items():
            assert run.summary[name] == pytest.approx(value, rel=1e-8), name


def test_the_report_run_holds_table_and_verdict(runs, tracked):
    (report,) = [run for run in runs if run.job_type == "report"]
    verdict = json.loads((tracked / "outputs/tiny/report/verdict.json").read_text())
    assert report.summary["verdict"] == verdict["text"]
    table = report.table("results")
    with (tracked / "outputs/tiny/report/results.csv").open(newline="") as handle:
        written = list(csv.reader(handle))
    assert table["columns"] == written[0] and len(table["data"]) == len(written) - 1


def test_a_changed_study_rewrites_its_runs_and_an_unchanged_one_nothing(tracked, tmp_path):
    shutil.copytree(tracked / "outputs", tmp_path / "outputs", symlinks=True)
    folder = tmp_path / "outputs/tiny/wandb"
    before = {run.folder.name for run in read_runs(folder)}
    # the report alone, so that nothing is skipped before tracking is reached
    assert run_tiny(tmp_path, *EXTRA, "tracking=offline", command=("report", "-m")) == 0
    assert {run.folder.name for run in read_runs(folder)} == before
    # a run that lost its mark is written again, in the place of the one before
    (folder.parent / "tracked/report.json").unlink()
    assert run_tiny(tmp_path, *EXTRA, "tracking=offline", command=("report", "-m")) == 0
    after = read_runs(folder)
    assert sorted(run.job_type for run in after) == ["model"] * 4 + ["report"]
    assert len({run.folder.name for run in after} - before) == 1


def test_samplers_have_a_table_of_the_numbers_that_the_summary_holds(runs):
    for run in models(runs):
        table = run.table("samplers")
        assert table["columns"][0] == "sampler" and "fid" in table["columns"]
        expected = {"prior"} if run.config["calibrated"] else SAMPLERS
        assert {row[0] for row in table["data"]} == expected
        for row in table["data"]:
            for column, value in zip(table["columns"][1:], row[1:], strict=True):
                measure, *rest = column.split("/")
                if value is not None:
                    assert run.summary["/".join([measure, row[0], *rest])] == pytest.approx(value, rel=1e-8)


def test_weights_results_and_page_are_artifacts_of_stable_names(runs):
    for run in models(runs):
        assert run.artifacts[f"weights-{run.config['model_id']}"] == "model"
    (report,) = [run for run in runs if run.job_type == "report"]
    assert report.artifacts["results-tiny"] == "results" and report.artifacts["page-tiny"] == "page"


def test_runs_say_nothing_of_the_machine(runs, tracked):
    private = (str(tracked), str(Path.home()), str(Path.cwd()))
    for run in runs:
        assert run.text and "output_root" not in run.config and "tracking" not in run.config
        files = [file for file in run.folder.rglob("*") if file.is_file() and file.suffix != ".wandb"]
        for text in (run.text, *(file.read_bytes().decode(errors="replace") for file in files)):
            assert not [place for place in private if place in text], text[:500]
    # no log of W&B's own is left either
    assert not list((tracked / "outputs/tiny/wandb").rglob("*.log"))


def test_of_paths_in_a_configuration_the_last_part_is_sent(tmp_path):
    from priorgap.pipeline.tracking.runs import public

    config = {
        "data": {"file": str(tmp_path / "mine.npz"), "root": "~/data"},
        "output_root": "x",
        "n": [1, "a/b"],
    }
    assert public(config) == {"data": {"file": "mine.npz", "root": "data"}, "n": [1, "a/b"]}


def test_a_sampler_without_a_number_has_an_empty_cell():
    def row(measure: str, value: float) -> Measurement:
        return Measurement(measure=measure, value=value, space="classifier", n=10)

    table = sampler_table([("prior", row("fid", 1.0)), ("gmm", row("kid", 2.0)), ("", row("rate", 3.0))])
    assert table.columns == ["sampler", "fid", "kid"]
    assert table.rows == [["prior", 1.0, None], ["gmm", None, 2.0]]


def test_off_writes_nothing(tiny):
    assert (tiny / "outputs/tiny/report/results.csv").is_file()
    assert not list(tiny.rglob("*wandb*")) and not list(tiny.rglob("tracked"))


def test_off_imports_no_wandb(tiny, tmp_path):
    for name in ("data", "reference"):
        shutil.copytree(tiny / "outputs" / name, tmp_path / "outputs" / name)
    order = ["run", *TINY, "study=tiny", "seed=0", "tracking=off"]
    code = (
        "import sys; from priorgap.pipeline import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'wandb' not in sys.modules and 'priorgap.training.fit' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *order], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_online_sends_the_same_numbers(tracked, tmp_path, runs):
    shutil.copytree(tracked / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs/tiny/wandb")
    with stand_in() as received:
        order = ("report", "-m", *TINY, "study=tiny", *EXTRA, "tracking=online")
        child = Child(tmp_path, order, environment=online(tmp_path, received.url))
        assert child.finish() == 0, child.said
    assert set(received.runs) == {run.id for run in runs}
    assert set(received.exit_codes.values()) == {0}
    for run in models(runs):
        sent = received.runs[run.id]
        assert sent["groupName"] == "tiny" and sent["jobType"] == "model"
        numbers = {k: v for k, v in run.summary.items() if "/" in k and isinstance(v, float)}
        assert numbers.items() <= received.summary[run.id].items()
        assert [row["epoch"] for row in received.history[run.id] if "train/loss" in row] == [0, 1]


@pytest.mark.slow
def test_a_server_that_refuses_costs_a_line_and_no_results(tiny, tmp_path):
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    order = ("run", "-m", *TINY, "study=tiny", *EXTRA, "tracking=online")
    with stand_in(refuses=True) as received:
        child = Child(tmp_path, order, environment=online(tmp_path, received.url))
        assert child.finish() == 1, child.said
    assert "Traceback" not in child.said and "results are complete" in child.said
    # not taken for finished: the same command tries again
    assert "nothing to do" not in child.said


@pytest.mark.slow
def test_what_cannot_be_online_is_refused_before_any_work(tmp_path):
    order = ("run", "-m", *TINY, "study=tiny", *EXTRA, "tracking=online")
    away = online(tmp_path, "http://127.0.0.1:9")
    for environment, words in (
        (away, "Failed to authenticate"),
        ({**away, "WANDB_MODE": "offline"}, "WANDB_MODE=offline"),
    ):
        child = Child(tmp_path, order, environment=environment)
        assert child.finish() == 2, child.said
        assert "priorgap: tracking=online: " in child.said and words in child.said
    assert not (tmp_path / "outputs").exists()


def test_names_do_not_change_when_a_space_is_added():
    def fid(space: str, value: float) -> tuple[str, Measurement]:
        return "gmm", Measurement(measure="fid", value=value, space=space, n=10)

    one = summary([fid("classifier", 1.0)], "classifier")
    both = summary([fid("classifier", 1.0), fid("pixels", 2.0)], "classifier")
    assert one == {"fid/gmm": 1.0}
    assert both == {"fid/gmm": 1.0, "fid/gmm/pixels": 2.0}


def test_the_reader_reads_records_that_span_blocks(tmp_path):
    import wandb

    run = wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(console="off", silent=True))
    run.summary["long"] = "x" * 100_000
    run.finish()
    wandb.teardown()
    (file,) = tmp_path.rglob("run-*.wandb")
    assert read_run(file).summary["long"] == "x" * 100_000

"""examples/wandb_workspace.py: its panels show what the runs of a study hold, and it is saved as a view."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wandb_runs import read_runs
from wandb_stand_in import online, stand_in

pytest.importorskip("wandb_workspaces")
PLACE = Path(__file__).parents[2] / "examples/wandb_workspace.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("wandb_workspace", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_panel_shows_what_the_runs_hold(example, tracked):
    study, samplers = example.measured(tracked / "outputs/tiny/report/results.csv")
    assert study == "tiny" and set(samplers["fid"]) >= {"prior", "posterior"}
    training, bars, pictures = example.workspace(study, samplers, "someone", "priorgap").sections
    runs = [run for run in read_runs(tracked / "outputs/tiny/wandb") if run.job_type == "model"]
    logged = {key for run in runs for row in run.history for key in row}
    summary = {key for run in runs for key in run.summary}
    assert {key for panel in training.panels for key in panel.y} <= logged and len(training.panels) == 3
    shown = {metric.name for panel in bars.panels for metric in panel.metrics}
    assert shown and shown <= summary, shown - summary
    assert {f"{key}.path" for key in pictures.panels[0].media_keys} <= logged


def test_the_report_begins_with_the_verdict(example, tracked):
    folder = tracked / "outputs/tiny/report"
    study, samplers = example.measured(folder / "results.csv")
    found = example.report(study, samplers, folder / "verdict.json", "someone", "priorgap")
    headline = json.loads((folder / "verdict.json").read_text())["headline"]
    assert found.blocks[1].text == headline
    grids = [block for block in found.blocks if hasattr(block, "panels")]
    assert len(grids) == 3 and all(grid.panels and grid.runsets[0].project == "priorgap" for grid in grids)


def test_it_is_saved_as_a_view_of_the_project(tracked, tmp_path):
    with stand_in() as received:
        environment = {**os.environ, **online(tmp_path, received.url)}
        done = subprocess.run(
            [sys.executable, str(PLACE), "outputs/tiny/report", "someone", "priorgap"],
            cwd=tracked, env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (view,) = received.views
    assert (view["entityName"], view["projectName"], view["displayName"]) == (
        "someone",
        "priorgap",
        "priorgap tiny",
    )
    assert "fid/prior" in view["spec"] and json.loads(view["spec"])["section"]["runSets"]
    assert "priorgap" in done.stdout

"""examples/wandb_workspace.py: its panels show what the runs of a study hold, and it is saved as a view."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wandb_runs import read_runs
from wandb_stand_in import INTERNAL_ID, online, stand_in

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


def saved(folder: Path, home: Path, project: str, *words: str) -> tuple[list[dict[str, Any]], str]:
    """Run the example as a user does; return the views that the server was sent, and what was printed."""
    with stand_in() as received:
        done = subprocess.run(
            [sys.executable, str(PLACE), "outputs/tiny/report", "someone", project, *words],
            cwd=folder, env={**os.environ, **online(home, received.url)}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # the stand-in knew every question, and no project was made that was there already; W&B's telemetry is no question
    assert not [asked for asked in received.unknown if not asked.startswith("/sdk/otel/")]
    return received.views, done.stdout


def test_it_is_saved_as_a_view_of_the_project(tracked, tmp_path):
    (view,), printed = saved(tracked, tmp_path, "priorgap")
    assert (view["entityName"], view["projectName"], view["displayName"]) == (
        "someone",
        "priorgap",
        "priorgap tiny",
    )
    section = json.loads(view["spec"])["section"]
    (runs,) = section["runSets"]
    asked = {
        (rule["key"]["name"], rule["value"])
        for rule in _leaves(runs["filters"])
        if rule.get("value") is not None
    }
    assert {("group", "tiny"), ("jobType", "model")} <= asked
    training, samplers, pictures = section["panelBankConfig"]["sections"][:3]
    assert [part["name"] for part in (training, samplers, pictures)] == ["Training", "Samplers", "Pictures"]
    assert {name for panel in training["panels"] for name in panel["config"]["metrics"]} == {
        f"{part}/{name}" for part in ("train", "validation") for name in ("loss", "reconstruction", "kl")
    }
    assert "fid/prior" in json.dumps(samplers) and "samples/reconstructions" in json.dumps(pictures)
    assert "someone/priorgap" in printed


def test_the_report_is_saved_as_a_draft_with_its_verdict(tracked, tmp_path):
    (_, view), printed = saved(tracked, tmp_path, "priorgap", "report")
    where = (view["entityName"], view["projectName"], view["displayName"], view["type"])
    assert where == ("someone", "priorgap", "priorgap tiny", "runs/draft")
    blocks = json.loads(view["spec"])["blocks"]
    said = json.loads((tracked / "outputs/tiny/report/verdict.json").read_text())
    texts = [
        "".join(leaf["text"] for leaf in block.get("children", []) if "text" in leaf) for block in blocks
    ]
    # as they are read: what to do, how sure, and only then the panels
    lines = [text for text in texts if text]
    assert lines[:2] == ["Do this", said["headline"]]
    assert ([said["sure"]] if said.get("sure") else []) == lines[2:-3]
    assert lines[-3:] == ["Samplers", "Pictures", "Training"]
    bars, pictures, curves = (block["metadata"] for block in blocks if block["type"] == "panel-grid")
    for grid in (bars, pictures, curves):
        (runs,) = grid["runSets"]
        assert runs["project"]["id"] == INTERNAL_ID and runs["project"]["name"] == "priorgap"
    assert "fid/prior" in json.dumps(bars) and "fid/prior" not in json.dumps(pictures)
    assert "samples/reconstructions" in json.dumps(pictures) and "train/loss" in json.dumps(curves)
    assert "/someone/priorgap/reports/priorgap-tiny--Vmlldzox" in printed


def _leaves(rules: dict[str, Any]) -> list[dict[str, Any]]:
    """The conditions of a tree of filters."""
    inner = rules.get("filters")
    return [leaf for rule in inner for leaf in _leaves(rule)] if inner else [rules]

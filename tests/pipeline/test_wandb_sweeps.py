"""conf/sweeps: `wandb sweep` and `wandb agent` as a user types them, against the stand-in of the server."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_study import TINY, models
from wandb_stand_in import online, stand_in

SWEEPS = Path(__file__).parents[2] / "conf/sweeps"


def values_of(entry: dict[str, object]) -> list[object]:
    """Values that W&B may choose: all, or the ends of a range."""
    found = entry.get("values", [entry.get("min"), entry.get("max")])
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("file", sorted(SWEEPS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_cell_of_a_sweep_can_be_composed(file, run, capsys):
    sweep = yaml.safe_load(file.read_text())
    assert sweep["command"][:4] == ["${env}", "priorgap", "run", "${args_no_hyphens}"]
    own = sweep["command"][4:]
    assert "tracking=online" in own and any(word.startswith("study=") for word in own)
    for cell in itertools.product(*map(values_of, sweep["parameters"].values())):
        chosen = [f"{key}={value}" for key, value in zip(sweep["parameters"], cell, strict=True)]
        assert run("run", *chosen, *own, "--cfg") == 0, capsys.readouterr().err


def test_a_bayesian_sweep_goes_by_validation_rows():
    found = [yaml.safe_load(file.read_text()) for file in SWEEPS.glob("*.yaml")]
    metrics = [sweep["metric"]["name"] for sweep in found if sweep["method"] != "grid"]
    assert metrics and all(name.startswith("validation/") for name in metrics)


@pytest.mark.slow
def test_an_agent_finishes_a_sweep_of_four(tiny, tmp_path):
    for name in ("data", "reference"):
        shutil.copytree(tiny / "outputs" / name, tmp_path / "outputs" / name)
    sweep = yaml.safe_load((SWEEPS / "grid.yaml").read_text())
    sweep["command"] += [
        word for word in TINY if not word.startswith("loss.alpha=") and "copying" not in word
    ]
    sweep["command"] += ["sampler=[prior,posterior]", "metric=[rate,marginal_kl,fid]", "calibrate=both"]
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(sweep))

    def wandb(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    with stand_in() as received:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **online(tmp_path, received.url),
        }
        wandb("sweep", "grid.yaml")
        said = wandb("agent", "someone/priorgap/sweep1")
    assert len(received.ordered) == 4 and len(received.runs) == 4 + 4 + 1, said
    # beside four calibrated models and the report: the trained models, which alone are of the sweep
    assert {name for name, sent in received.runs.items() if sent.get("sweep")} == set(received.ordered)
    for name, cell in received.ordered.items():
        assert received.exit_codes[name] == 0, said
        sent = {key: entry["value"] for key, entry in yaml.safe_load(received.runs[name]["config"]).items()}
        assert (sent["loss"]["alpha"], sent["seed"]) == (cell["loss.alpha"], cell["seed"])
        assert not sent["calibrated"]
        assert [row["epoch"] for row in received.history[name] if "train/loss" in row] == [0, 1]
        assert {"rate", "fid/prior", "validation/loss"} <= received.summary[name].keys()
    assert len(models(tmp_path, "alpha_by_wandb")) == 8

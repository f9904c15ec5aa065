"""features=[onnx] in a study: numbers of its own space, computed again when the file's content is another."""

import csv
from pathlib import Path

import numpy as np
import pytest
from onnx_networks import affine
from tiny_study import invoke

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

WORDS = (
    "run", "data=digits", "model.latent_dim=3", "model.hidden=[16]", "trainer.max_epochs=1",
    "trainer.accelerator=cpu", "sampler=[prior,gaussian_full]", "metric=[fid]",
    "n_samples=60", "reference.n_repeats=3", "tracking=off",
    "study=s", "features=[onnx]", "verdict.space=onnx",
)  # fmt: skip


def fids() -> dict[str, str]:
    with Path("outputs/s/report/results.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["measure"] == "fid"]
    assert {row["space"] for row in rows} == {"onnx"}
    return {row["sampler"]: row["value"] for row in rows}


def test_a_study_in_a_space_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke(*WORDS) == 2
    assert "feature_spaces.onnx.weights" in capsys.readouterr().err.splitlines()[-1]
    file = tmp_path / "net.onnx"
    words = (*WORDS, f"feature_spaces.onnx.weights={file}")
    assert invoke(*words) == 2
    assert "no such file" in capsys.readouterr().err.splitlines()[-1]
    assert not Path("outputs").exists()
    rng = np.random.default_rng(0)
    affine(file, [rng.normal(size=(64, 4))], shape=(1, 8, 8))
    assert invoke(*words) == 0
    first = fids()
    # the same path, another network
    affine(file, [rng.normal(size=(64, 4))], shape=(1, 8, 8))
    assert invoke(*words) == 0
    again = fids()
    assert first.keys() == again.keys() == {"prior", "gaussian_full"}
    assert all(first[name] != again[name] for name in first)

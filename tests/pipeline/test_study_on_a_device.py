"""A study whose model, features and classifiers are on another device has the numbers of the CPU, to the digit."""

import csv
from pathlib import Path

import pytest
from tiny_study import run_tiny

from pretended_device import operations, pretended
from priorgap.pipeline import models

# What shows, by the operations computed there, that classifiers were trained and networks applied on the device.
CASES = {
    "images": (
        (
            "data=digits", "features=[classifier,pixels]", "verdict.space=classifier",
            "metric=[rate,marginal_kl,fid,prdc,class_balance,accuracy_real_to_synthetic,accuracy_synthetic_to_real,copying]",
        ),
        {"convolution", "convolution_backward", "addmm", "sigmoid"},
    ),
    "conditional, drawn": (
        ("data=digits", "model=conditional_mlp", "decode=draw", "metric=[fid,copying]", "features=[classifier]"),
        {"convolution", "convolution_backward", "addmm", "cat"},
    ),
    "convolutions and a learned prior": (
        (
            "data=digits", "model=conv", "model.hidden=4", "prior=mixture", "sampler=[prior,posterior]",
            "metric=[rate,fid,elbo,copying]",
        ),
        {"convolution", "convolution_backward", "addmm", "sigmoid"},
    ),
    "forecasts": (
        (
            "data=sines", "model=forecast_tcn", "model.n_past=12", "model.hidden=4", "features=[rocket]",
            "sampler=[prior,posterior]", "metric=[rate,fid,copying,autocorrelation]", "decode=draw",
        ),
        {"convolution"},
    ),
    "a table": (
        ("data=breast_cancer", "metric=[rate,fid,copying,detection]", "sampler=[prior,gaussian_full]"), {"addmm"},
    ),
    "pseudo-inputs and a learned scale": (
        (
            "data=breast_cancer", "likelihood=learned_gaussian", "prior=vamp", "decode=draw",
            "sampler=[prior,gaussian_full]", "metric=[rate,fid,copying]",
        ),
        {"addmm"},
    ),
}  # fmt: skip


@pytest.mark.e2e
@pytest.mark.parametrize("case", CASES)
def test_a_study_has_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    changes, expected = CASES[case]
    words = ("seed=0", "hydra/launcher=basic", "measure_processes=1", *changes)
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    assert run_tiny(here, *words) == 0
    with pretended() as device:
        monkeypatch.setattr(models, "device_for", lambda accelerator: str(device))
        assert run_tiny(there, *words) == 0
        assert expected <= operations()
    assert rows(there) == rows(here)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "outputs/tiny/report/results.csv").open(newline="", encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]

"""GEMM precision and bfloat16: measured on this machine, refused or said in one line."""

import csv
import logging
from pathlib import Path

import pytest
import torch
from tiny_study import invoke, run_tiny

from priorgap.pipeline import precision


def test_the_error_of_float32_products_is_float32s_and_the_setting_stays():
    before = torch.get_float32_matmul_precision()
    assert 1e-8 < precision.gemm_error("highest", "cpu") < precision.FP32_ERROR
    assert precision.gemm_error("medium", "cpu") > 0
    assert torch.get_float32_matmul_precision() == before
    a, b = precision._factors("cpu")
    rounded = (a.bfloat16().float() @ b.bfloat16().float().T).double()
    exact = a.double() @ b.double().T
    # negative control: factors in bfloat16, as a processor may take them under "medium", are told
    assert float((rounded - exact).norm() / exact.norm()) > 100 * precision.FP32_ERROR


def test_a_setting_that_is_not_float32_here_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(precision, "gemm_error", lambda setting, device: 2e-3)
    assert run_tiny(tmp_path, "numerics.matmul_precision=medium") == 2
    err = capsys.readouterr().err
    line = (
        "numerics.matmul_precision=medium: here its products are off by 2e-03, float32's by less than 2e-06"
    )
    assert err == f"priorgap: {line}; expected highest\n"
    assert not (tmp_path / "outputs").exists()
    precision.check({"numerics": {"matmul_precision": "highest"}, "trainer": {"accelerator": "cpu"}})


@pytest.mark.parametrize(("ratio", "said"), [(3.0, 1), (0.4, 0)])
def test_slow_bf16_is_said(monkeypatch, caplog, ratio, said):
    monkeypatch.setattr(precision, "bf16_seconds_ratio", lambda device: ratio)
    config = {"trainer": {"precision": "bf16", "accelerator": "cpu"}}
    with caplog.at_level(logging.WARNING, "priorgap"):
        precision.advise(config)
        precision.advise({"trainer": {"precision": None, "accelerator": "cpu"}})
    assert len(caplog.records) == said


def test_bf16_end_to_end_beside_float32(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    arguments = (
        "-m",
        "trainer.precision=32-true,bf16",
        "sampler=[prior,posterior]",
        "metric=[rate,fid,copying]",
    )
    assert run_tiny(tmp_path / "x", *arguments, "tracking=off") == 0
    with (tmp_path / "x/outputs/tiny/report/results.csv").open(newline="") as handle:
        rows = [r for r in csv.DictReader(handle) if r["measure"] == "rate" and not r["unit"]]
    values = {r["trainer.precision"]: float(r["value"]) for r in rows}
    assert len(values) == 2 and len({r["cell"] for r in rows}) == 2
    assert len(set(values.values())) == 2


def test_bf16_for_a_gan_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert invoke("run", "model=gan_mlp", "trainer.precision=bf16", "sampler=[prior]") == 2
    assert "trainer.precision=bf16: not for a GAN; expected auto or 32-true" in capsys.readouterr().err

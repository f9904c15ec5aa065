"""Benchmarks that no test machine can run in full still run in small."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_the_gpu_benchmark_runs_on_a_cpu():
    words = ["--device", "cpu", "--models", "3", "--steps", "2", "--rounds", "1", "--batch", "16"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), *words], capture_output=True, text=True, check=True
    )
    assert "| batch of 3 |" in done.stdout and "apart: PASS" in done.stdout
    assert "in sequence over batch" in done.stdout and "| bf16 |" in done.stdout

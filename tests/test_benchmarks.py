"""Benchmarks that no test machine can run in full still run in small."""

import ast
import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.mark.slow
def test_the_gpu_benchmark_runs_on_a_cpu():
    words = ["--device", "cpu", "--models", "3", "--steps", "2", "--rounds", "1", "--batch", "16"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), *words], capture_output=True, text=True, check=True
    )
    assert "| batch of 3 |" in done.stdout and "apart: PASS" in done.stdout
    assert "in sequence over batch" in done.stdout and "| bf16 |" in done.stdout


@pytest.mark.slow
def test_the_commands_of_the_gpu_benchmark_run_on_a_cpu():
    words = [
        "--accelerator",
        "cpu",
        "--data",
        "digits",
        "--models",
        "2",
        "--epochs",
        "1",
        "--spaces",
        "pixels",
    ]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu_commands.py"), *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "2 models over one, wall: " in done.stdout
    assert any(
        line.startswith("| pixels | ") and line.endswith("| 0.0e+00 |") for line in done.stdout.splitlines()
    )


def names_missing(text: str) -> list[str]:
    """Return the names that a script imports from priorgap and that do not exist."""
    missing = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "priorgap":
            module = importlib.import_module(node.module)
            for alias in node.names:
                # a module of a package is no attribute of it before it is imported
                inside = hasattr(module, "__path__") and find_spec(f"{node.module}.{alias.name}")
                if not hasattr(module, alias.name) and not inside:
                    missing.append(f"{node.module}.{alias.name}")
    return missing


def test_every_name_that_a_script_imports_exists():
    scripts = [p for folder in ("benchmarks", "docs", "experiments") for p in (ROOT / folder).glob("*.py")]
    assert len(scripts) > 30
    assert {p.name: found for p in scripts if (found := names_missing(p.read_text()))} == {}
    assert names_missing("from priorgap.core.random import stream, no_such_name") == [
        "priorgap.core.random.no_such_name"
    ]

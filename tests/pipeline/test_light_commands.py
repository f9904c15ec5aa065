"""What commands import: nothing that they do not use, though the same program trains, tracks and plots."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_study import EXTRA, TINY

CODE = """
import json, sys
from priorgap.pipeline import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as end:
    print("\\n" + json.dumps([end.code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
NEVER = {"pytorch_lightning", "lightning_fabric", "wandb", "dvc", "ray", "submitit", "torchmetrics"}
STUDY = ("-m", *TINY, "study=tiny", *EXTRA, "tracking=off")
# command -> what it must do without, beside those
COMMANDS = {
    ("--help",): {"torch", "hydra", "numpy"},
    ("run", "--help"): {"torch", "hydra", "numpy"},
    ("ls",): {"torch", "hydra", "numpy"},
    ("gc", "study=tiny"): {"torch", "hydra"},
    ("verify", "study=tiny"): {"hydra", "sklearn"},
    ("plan", *STUDY): {"sklearn", "matplotlib", "altair", "pandas"},
    ("generate", "study=tiny", "sampler=gaussian_full", "n=20", "out=made.npz"): {
        "hydra",
        "sklearn",
        "matplotlib",
    },
    ("encode", *STUDY): {"sklearn", "matplotlib", "altair", "pandas"},
    ("sample", *STUDY): {"matplotlib", "altair"},
    ("measure", *STUDY): {"matplotlib", "altair"},
    ("report", *STUDY): {"sklearn"},
}


def run(words: tuple[str, ...], folder: Path) -> tuple[int | None, set[str], str]:
    """Run a command; return its status, the packages that it imported, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return code, set(modules), done.stderr


@pytest.mark.e2e
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_command_imports_what_it_uses(words, tiny: Path, tmp_path: Path):
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    code, modules, said = run(words, tmp_path)
    assert code in (0, None), said
    assert not modules & (NEVER | COMMANDS[words])


@pytest.mark.e2e
def test_training_does_import_lightning(tmp_path: Path):
    """The negative control: what the test looks for is seen where it is."""
    run(("prepare", *STUDY), tmp_path)
    _, modules, said = run(("train", *STUDY), tmp_path)
    assert "pytorch_lightning" in modules, said

"""A tiny study, run once for all tests that only read it."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from launching import start
from tiny_study import EXTRA, TINY, Run, invoke, run_tiny


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """Commands in this process log to the error stream that they find, which is the test's and ends with it."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return invoke


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished tiny study: two seeds, plain and calibrated."""
    folder = tmp_path_factory.mktemp("tiny")
    assert run_tiny(folder, *EXTRA, command=("run", "-m")) == 0
    return folder


@pytest.fixture(scope="session")
def tracked(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study with its runs of W&B, offline: of a process that has ended, and with it what writes them."""
    folder = tmp_path_factory.mktemp("tracked")
    shutil.copytree(tiny / "outputs", folder / "outputs", symlinks=True)
    # the service of a process that is gone, as a notebook leaves it to what it starts
    others = {"WANDB_SERVICE": "3-1-unix-/no/such/service"}
    process = start(folder, "run", "-m", *TINY, "study=tiny", *EXTRA, "tracking=offline", env=others)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return folder

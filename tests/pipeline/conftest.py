"""A tiny study, run once for all tests that only read it."""

from pathlib import Path

import pytest
from tiny_study import EXTRA, Run, invoke, run_tiny


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

"""The wheel: vocabulary and studies go with the package, links come from one setting."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[1]
CHILD = {**os.environ, "OMP_NUM_THREADS": "1"}


def built(project: Path, folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        capture_output=True, text=True, cwd=project, env=CHILD,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as an installation has it."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_every_vocabulary_file_and_every_study_is_in_it(installed):
    def files(folder: Path, pattern: str) -> set[str]:
        return {str(p.relative_to(folder)) for p in folder.rglob(pattern) if p.is_file()}

    assert files(ROOT / "conf", "*.yaml") == files(installed / "priorgap/conf", "*.yaml")
    studies = {str(p.relative_to(ROOT / "experiments")) for p in ROOT.glob("experiments/*/config.yaml")}
    assert studies and studies == files(installed / "priorgap/experiments", "*")
    assert files(ROOT / "src", "*.py") == files(installed, "*.py")
    assert (installed / "priorgap/py.typed").is_file()


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "priorgap", *words],
        capture_output=True, text=True, cwd=folder, env={**CHILD, "PYTHONPATH": str(installed)},
    )  # fmt: skip


def test_its_studies_can_be_run_where_there_are_none(installed, tmp_path):
    done = run(installed, tmp_path, "run", "experiment=e01_alpha", "--cfg")
    assert done.returncode == 0, done.stderr
    assert "study: e01_alpha" in done.stdout
    done = run(installed, tmp_path, "run", "experiment=none_such")
    assert done.returncode == 2 and "expected one of default, e01_alpha" in done.stderr


def test_one_s_own_studies_win(installed, tmp_path):
    own = tmp_path / "experiments/mine/config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\nstudy: mine\n")
    done = run(installed, tmp_path, "run", "experiment=mine", "--cfg")
    assert done.returncode == 0 and "study: mine" in done.stdout, done.stderr
    done = run(installed, tmp_path, "run", "experiment=e01_alpha")
    assert done.returncode == 2 and "expected one of mine" in done.stderr


def metadata(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        return archive.read(name).decode().partition("\n\n")[0].splitlines()


def test_links_are_those_of_the_public_address_and_none_without(wheel, tmp_path):
    text = (ROOT / "pyproject.toml").read_text()
    address = tomllib.loads(text)["tool"]["hatch"]["metadata"]["hooks"]["custom"]["address"]
    links = [line for line in metadata(wheel) if line.startswith("Project-URL")]
    assert len(links) == (4 if address else 0)
    project = tmp_path / "project"
    project.mkdir()
    for name in ("src", "conf", "experiments", "hatch_build.py", "README.md", "LICENSE"):
        (project / name).symlink_to(ROOT / name)
    line = f'address = "{address}"'
    assert text.count(line) == 1
    (project / "pyproject.toml").write_text(text.replace(line, 'address = "https://example.org/x/"'))
    (tmp_path / "out").mkdir()
    found = [line for line in metadata(built(project, tmp_path / "out")) if line.startswith("Project-URL")]
    assert "Project-URL: Repository, https://example.org/x" in found
    assert all("https://example.org/x" in line for line in found) and len(found) == 4

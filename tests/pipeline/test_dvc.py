"""dvc.yaml: its dependencies hold all the code that its stages run, and a real repository goes stale when it must."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from priorgap.core.build import configuration_directory, load_option, target_modules
from priorgap.pipeline.config import train_version
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import Closure, Plan, Version, plan_of
from priorgap.pipeline.config.session import Request, Session
from priorgap.pipeline.store import code_digest

ROOT = Path(__file__).parents[2]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())
LISTED = yaml.safe_load((ROOT / "experiments/studies.yaml").read_text())
# of a stage for each data set, what stands under `do`
STAGES = {name: stage.get("do", stage) for name, stage in DVC["stages"].items()}


def selected(group: str) -> str:
    names = sorted(p.stem for p in (configuration_directory() / group).glob("[!_]*.yaml"))
    return f"{group}=[{','.join(name for name in names if name not in ('standard', 'full'))}]"


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Everything that the vocabulary offers, so that every class's code is in it."""
    request = Request((selected("sampler"), selected("metric"), selected("features"), "calibrate=both"))
    with Session(request) as session:
        return plan_of([ModelConfig(config, names) for config, names in session.cells()])


def modules_of(stage: str, plan: Plan) -> list[str]:
    """Return the modules in the closure of what a stage runs, as its results' keys see them."""
    if stage == "report":
        return code_digest.closure(["priorgap.report", "priorgap.verdict"])
    codes = [step.code for step in plan.steps.values() if step.kind == stage]
    modules = {module for code in codes if isinstance(code, Closure) for module in code.modules}
    assert modules or (all(isinstance(code, Version) for code in codes) and stage == "train")
    if stage == "train":
        modules = set(train_version.MODULES)
    if stage == "prepare":
        sources = sorted(p.stem for p in (configuration_directory() / "data").glob("[!_]*.yaml"))
        modules |= {m for name in sources for m in target_modules(load_option("data", name)["source"])}
    return code_digest.closure(sorted(modules))


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_hold_the_import_closure(stage, plan):
    deps = [ROOT / dep for dep in STAGES[stage]["deps"] if "${" not in dep]
    for module in modules_of(stage, plan):
        file = code_digest.module_file(module)
        if file.parent.name == "priorgap" and file.name == "__init__.py":
            continue
        assert any(file == dep or dep in file.parents for dep in deps), f"{stage}: {module} is no dependency"


@pytest.mark.parametrize("stage", STAGES)
def test_vocabulary_is_a_dependency_of_every_stage(stage):
    assert "conf" in STAGES[stage]["deps"]


def test_every_experiment_is_a_study_of_the_matrix():
    found = {p.parent.name for p in (ROOT / "experiments").glob("*/config.yaml")}
    assert set(LISTED["studies"]) == found


def test_every_data_set_has_the_folder_that_is_listed():
    """A folder's hash is of the settings in conf/data: whoever changes them changes it here."""
    for name, folder in LISTED["datasets"].items():
        with Session(Request((f"data={name}",))) as session:
            ((config, names),) = session.cells()
        assert ModelConfig(config, names).data_id == folder


def test_settings_send_nothing_home():
    settings = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in settings and "check_update = false" in settings


TINY_STUDY = """\
# @package _global_
defaults:
  - override /sampler: [prior, gaussian_full]
  - override /metric: [rate, decomposition, fid]
  - override /tracking: "off"
study: mini
model: {latent_dim: 3, hidden: [16]}
trainer: {max_epochs: 1, accelerator: cpu}
n_samples: 60
reference: {n_repeats: 3, classifier: {epochs: 1}}
hydra:
  mode: MULTIRUN
  sweeper:
    params: {seed: "0,1"}
"""


@pytest.fixture
def repository(tmp_path):
    """A repository of its own: our vocabulary, source and dvc.yaml, and one tiny study."""
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "experiments/mini").mkdir(parents=True)
    (tmp_path / "experiments/mini/config.yaml").write_text(TINY_STUDY)
    lists = f"studies: [mini]\ndatasets: {{digits: {LISTED['datasets']['digits']}}}\nspaces: [classifier]\n"
    (tmp_path / "experiments/studies.yaml").write_text(lists)
    text = (
        (tmp_path / "dvc.yaml").read_text().replace("'features=[classifier,pixels]'", "features=[classifier]")
    )
    text = text.replace("cmd: priorgap", f"cmd: PYTHONPATH=src {sys.executable} -m priorgap.pipeline")
    # the reference of a study has its own settings: here the matrix runs the study's
    text = text.replace("reference data=${key}", "reference experiment=mini")
    (tmp_path / "dvc.yaml").write_text(text)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for key in ("analytics", "check_update"):
        subprocess.run(
            [sys.executable, "-m", "dvc", "config", f"core.{key}", "false"], cwd=tmp_path, check=True
        )
    return tmp_path


def repro(folder: Path) -> list[str]:
    """Run `dvc repro` and return the stages that it ran."""
    run = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.splitlines()
    return [line.split("'")[1].partition("@")[0] for line in lines if line.startswith("Running stage")]


@pytest.mark.slow
def test_repro_goes_stale_when_it_must_and_not_else(repository):
    assert repro(repository) == list(STAGES)
    assert repro(repository) == []
    results = repository / "experiments/mini/results.csv"
    first = results.read_text()
    manifests = {p: p.stat().st_mtime_ns for p in repository.glob("outputs/mini/train/*/manifest.json")}

    # an edit of the vocabulary makes every stage look; only what depends on it is made again
    file = repository / "conf/metric/decomposition.yaml"
    file.write_text(file.read_text().replace("n_groups: 20", "n_groups: 10"))
    assert "measure" in repro(repository)
    second = results.read_text()
    assert second != first
    assert {p: p.stat().st_mtime_ns for p in manifests} == manifests

    # an estimator's constant
    file = repository / "src/priorgap/estimators/discrepancy.py"
    text = file.read_text()
    assert "def frechet_distance(" in text
    file.write_text(text.replace("def frechet_distance(", "EDITED = 1\n\n\ndef frechet_distance("))
    ran = repro(repository)
    assert "measure" in ran and "train" not in ran
    assert repro(repository) == []
    assert results.read_text() == second

    # the study's own file: a new seed trains one more model and touches no other
    file = repository / "experiments/mini/config.yaml"
    file.write_text(file.read_text().replace('"0,1"', '"0,1,2"'))
    assert "train" in repro(repository)
    assert {p: p.stat().st_mtime_ns for p in manifests} == manifests
    assert len(list(repository.glob("outputs/mini/train/*/manifest.json"))) == 3

"""dvc.yaml: a stage depends on its part of the plan, and a real repository goes stale when it must."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import KINDS, plan_of
from priorgap.pipeline.config.session import Request, Session
from priorgap.pipeline.plan_files import write_plan
from priorgap.pipeline.store.layout import Store

ROOT = Path(__file__).parents[2]
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())
LISTED = yaml.safe_load((ROOT / "experiments/studies.yaml").read_text())
STUDIES = LISTED["studies"]
STAGES = DVC["stages"]
OWN = "outputs/${item.study}"


def test_a_stage_depends_on_its_part_of_the_plan_and_makes_its_own_results():
    assert list(STAGES) == ["plan", *KINDS, "report"]
    assert STAGES["plan"]["deps"] == ["conf", "src/priorgap"]
    for name, stage in STAGES.items():
        assert stage["cmd"] == f"priorgap {name} experiment=${{item.study}}" and stage["matrix"] == {
            "study": "${studies}"
        }
        if name != "plan":
            assert stage["deps"][0] == f"{OWN}/plan/{name}.json"
            outs = [next(iter(one)) if isinstance(one, dict) else one for one in stage["outs"]]
            assert outs == [f"{OWN}/{name}{'.json' if name in ('prepare', 'reference') else ''}"]


def test_every_experiment_is_a_study_and_has_metrics_and_plots():
    """Those that are made by hand read a file that a script beside them makes first."""
    found = sorted(p.parent.name for p in (ROOT / "experiments").glob("*/config.yaml"))
    assert sorted([*STUDIES, *LISTED["by_hand"]]) == found
    for name in LISTED["by_hand"]:
        assert list((ROOT / "experiments" / name).glob("*.py"))
    assert DVC["metrics"] == [f"outputs/{name}/report/metrics.json" for name in STUDIES]
    plots = [next(iter(one)) for one in DVC["plots"]]
    assert plots == [
        f"outputs/{name}/report/{file}.csv" for name in STUDIES for file in ("quality", "training")
    ]


def plan_files(folder: Path, *overrides: str) -> dict[str, object]:
    with Session(Request(("data=digits", *overrides))) as session:
        plan = plan_of([ModelConfig(config, names) for config, names in session.cells()])
    written = write_plan(plan, Store(folder))
    return {file.stem: json.loads(file.read_text()) for file in written.glob("*.json")}


def test_what_is_set_changes_the_stages_that_use_it_alone(tmp_path):
    first = plan_files(tmp_path)
    assert set(first) == {*KINDS, "report"} and first["calibrate"] == []
    assert first == plan_files(tmp_path)

    def changed(*overrides: str) -> set[str]:
        other = plan_files(tmp_path, *overrides)
        return {name for name in first if other[name] != first[name]}

    assert changed("samplers.gmm.reg_covar=0.002") == {"sample"}
    assert changed("metrics.decomposition.n_groups=7") == {"measure"}
    assert changed("verdict.level=0.9") == {"report"}
    # a training has another id, and all that is made from it another place
    assert changed("loss.alpha=3") == {"train", "encode", "sample", "measure", "report"}
    assert changed("tracking=off") == {"report"}


@pytest.mark.e2e
def test_a_comment_changes_the_stages_whose_code_it_stands_in(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "conf", tmp_path / "conf")

    def planned() -> dict[str, str]:
        command = [sys.executable, "-m", "priorgap", "plan", "data=digits", "study=mini"]
        env = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
        subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
        return {file.stem: file.read_text() for file in (tmp_path / "outputs/mini/plan").glob("*.json")}

    first = planned()
    for file, stages in (
        ("estimators/bracket.py", {"measure"}),
        ("estimators/discrepancy.py", {"measure"}),
        ("samplers/ex_post.py", {"sample"}),
        ("report/page.py", {"report"}),
        ("report/page.js", {"report"}),
    ):
        path = tmp_path / "src/priorgap" / file
        text = path.read_text()
        path.write_text(text + ("// a comment\n" if path.suffix == ".js" else "# a comment\n"))
        second = planned()
        changed = {name for name in first if first[name] != second[name]}
        assert stages <= changed and not changed & {"prepare", "train", "encode"}, (file, changed)
        path.write_text(text)


def test_settings_send_nothing_home():
    settings = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in settings and "check_update = false" in settings


TINY_STUDY = """\
# @package _global_
defaults:
  - override /sampler: [prior, gmm]
  - override /metric: [rate, decomposition, fid]
study: mini
samplers: {gmm: {n_components: 2}}
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
    (tmp_path / "experiments/studies.yaml").write_text("studies: [mini]\n")
    text = (tmp_path / "dvc.yaml").read_text()
    text = text.replace("cmd: priorgap", f"cmd: PYTHONPATH=src {sys.executable} -m priorgap")
    # DVC writes YAML 1.2, in which a quoted "off" loses its quotes: such words stand on the command line
    text = text.replace("experiment=${item.study}", "experiment=${item.study} tracking=off")
    # metrics and plots of the studies that are here
    stages, numbers = text.split("# dvc metrics show")
    kept = yaml.safe_load(numbers.partition("\n")[2].replace("outputs/default/", "outputs/mini/"))
    kept = {key: [one for one in entries if "outputs/mini/" in str(one)] for key, entries in kept.items()}
    text = stages + yaml.safe_dump(kept)
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


def dvc(folder: Path, *words: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.slow
def test_repro_goes_stale_when_it_must_and_not_else(repository):
    assert repro(repository) == list(STAGES)
    assert repro(repository) == []
    assert "up to date" in dvc(repository, "status")
    results = repository / "outputs/mini/report/results.csv"
    first = results.read_text()
    manifests = {p: p.stat().st_mtime_ns for p in repository.glob("outputs/mini/train/*/manifest.json")}

    # an edit of the vocabulary reaches the stages that use it
    file = repository / "conf/metric/decomposition.yaml"
    file.write_text(file.read_text().replace("n_groups: 20", "n_groups: 10"))
    assert repro(repository) == ["plan", "measure", "report"]
    second = results.read_text()
    assert second != first
    file = repository / "conf/sampler/gmm.yaml"
    file.write_text(file.read_text().replace("reg_covar: 1.0e-6", "reg_covar: 0.1"))
    assert repro(repository) == ["plan", "sample", "measure", "report"]
    assert {p: p.stat().st_mtime_ns for p in manifests} == manifests

    # an estimator's comment makes what uses it look, and nothing else
    file = repository / "src/priorgap/estimators/discrepancy.py"
    file.write_text(file.read_text() + "# a comment\n")
    before = results.read_text()
    ran = repro(repository)
    assert "measure" in ran and not {"prepare", "train", "encode"} & set(ran)
    assert repro(repository) == []
    assert results.read_text() == before

    # the study's own file: a new seed trains one more model and touches no other
    file = repository / "experiments/mini/config.yaml"
    file.write_text(file.read_text().replace('"0,1"', '"0,1,2"'))
    assert "train" in repro(repository)
    assert {p: p.stat().st_mtime_ns for p in manifests} == manifests
    assert len(list(repository.glob("outputs/mini/train/*/manifest.json"))) == 3


@pytest.mark.slow
def test_an_experiment_of_dvc_shows_its_numbers(repository):
    repro(repository)
    for command in (
        ["git", "add", "-A"],
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(command, cwd=repository, check=True, capture_output=True)
    dvc(repository, "exp", "run", "-S", "experiments/mini/config.yaml:trainer.max_epochs=2")
    shown = dvc(repository, "exp", "show", "--md")
    assert "trainer.max_epochs" in shown and "fid.prior" in shown
    assert "fid.prior" in dvc(repository, "metrics", "diff")
    assert "index.html" in dvc(repository, "plots", "show")

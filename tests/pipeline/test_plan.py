"""The plan: every place once, the same for any order of configurations, and a run that does what it says, once."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from tiny_study import EXTRA, TINY, content, model, models, run_tiny, shelf, stamps

from priorgap.core import artifacts
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import KINDS, MODEL_KINDS, SHARED_KINDS, Plan, Step, plan_of
from priorgap.pipeline.config.session import Request, Session
from priorgap.pipeline.store import keys, records
from priorgap.pipeline.store.layout import SHELVED, Store

GRID = (
    "seed=0,1", "loss.alpha=1,10", "calibrate=both", "calibrated_samplers=[prior]",
    "sampler=[prior,posterior,gmm,per_class_gaussian_full]", "features=[classifier,pixels]",
)  # fmt: skip


def compose(*overrides: str) -> list[ModelConfig]:
    with Session(Request(overrides, True)) as session:
        return [ModelConfig(config, names) for config, names in session.cells()]


@pytest.fixture(scope="module")
def cells() -> list[ModelConfig]:
    return compose(*GRID)


def facts(step: Step) -> list[Any]:
    """All of a step but what messages call it, which is in the words of the configuration that came first."""
    inputs = [str(needed.path) for needed in step.inputs]
    return [step.kind, str(step.path), step.settings, inputs, step.code, step.seed, step.subject]


def places(plan: Plan, kind: str) -> set[PurePosixPath]:
    return {path for path, step in plan.steps.items() if step.kind == kind}


def described(plan: Plan) -> dict[PurePosixPath, list[Any]]:
    return {path: facts(step) for path, step in plan.steps.items()}


# -- the plan ------------------------------------------------------------------------------------------------------


def test_every_place_is_one_step(cells):
    plan = plan_of(cells)
    for one in plan.models:
        for step in one.steps:
            assert plan.steps[step.path] is step
            assert all(plan.steps[needed.path] is needed for needed in step.inputs)
    assert {step.path for one in plan.models for step in one.steps} == set(plan.steps)
    for path, step in plan.steps.items():
        assert not path.is_absolute() and ".." not in path.parts
        home = {"prepare": ("data",), "reference": ("reference",)}.get(step.kind, (cells[0].study, step.kind))
        assert path.parts[: len(home)] == home and len(path.parts) > len(home), path
    # no place lies within another, but for results on a shelf, which is no result itself
    assert not [path for path in plan.steps if any(parent in plan.steps for parent in path.parents)]
    # two files that differ in case alone are one file on some systems
    assert len({str(path).lower() for path in plan.steps}) == len(plan.steps)


def test_the_models_are_those_of_the_grid(cells):
    plan = plan_of(cells)
    assert len(plan.models) == 8 and len({one.id for one in plan.models}) == 8
    assert [len(one.samples) for one in plan.models] == [4, 1] * 4
    assert len({one.group for one in plan.models}) == 4  # two losses, as trained and calibrated
    for plain, calibrated in zip(plan.models[::2], plan.models[1::2], strict=True):
        assert plain.train is calibrated.train is plain.weights and calibrated.weights.kind == "calibrate"
        assert plain.data is calibrated.data and plain.references["pixels"] == calibrated.references["pixels"]


def test_jobs_do_every_step_in_an_order_that_works(cells):
    plan = plan_of(cells)
    done: set[Step] = set()
    for job in plan.jobs(KINDS):
        for step in job.steps:
            assert all(needed in done for needed in step.inputs), step.path
        done |= set(job.steps)
    assert done == set(plan.steps.values())
    for kind in KINDS:
        assert {step for job in plan.jobs([kind]) for step in job.steps} == {
            step for step in plan.steps.values() if step.kind == kind
        }


def test_one_plan_for_any_order(cells):
    expected = described(plan_of(cells))
    turned = list(cells)
    for seed in range(3):
        random.Random(seed).shuffle(turned)
        assert turned != cells
        assert described(plan_of(turned)) == expected
    # and for a part of them
    (one,) = [cell for cell in cells if cell.seed == 1 and cell.config["loss"]["alpha"] == 10]
    part = described(plan_of([one]))
    assert part == {path: expected[path] for path in part} and len(part) < len(expected)
    assert described(plan_of(cells).of([one])) == part
    # and for the same grid in other words
    assert described(plan_of(compose(*reversed(GRID)))) == expected


def test_places_do_not_depend_on_the_process(cells):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_plan\n"
        "for path in test_plan.plan_of(test_plan.compose(*test_plan.GRID)).steps: print(path)"
    )
    here = str(Path(__file__).parent)
    hashes = {"PYTHONHASHSEED": "12345"}
    found = subprocess.run(
        [sys.executable, "-c", code, here],
        env={**os.environ, **hashes},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split("\n")[:-1] == [str(path) for path in plan_of(cells).steps]


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("seed=0", set()),
        ("trainer.accelerator=cpu", set()),
        ("n_samples=50", {"reference"}),
        ("loss.beta=2", {"train"}),
        ("samplers.gmm.n_components=3", set()),
        ("numerics.encode_batch=7", {"train", "reference"}),
        ("data.source.split_seed=1", {"prepare", "reference", "train"}),
    ],
)
def test_what_is_in_a_place_is_in_its_name(override, changed):
    """Places change with the settings that are theirs: a model's with what it is, the real data's with theirs."""
    before, after = (plan_of(compose("metric=[fid]", *words)) for words in ((), (override,)))
    stages = {"prepare", "reference", "train"}
    unchanged = {kind for kind in stages if places(before, kind) == places(after, kind)}
    assert stages - unchanged == changed
    (one,), (other,) = before.models, after.models
    assert (one.id == other.id) == ("train" not in changed)
    # settings that are in no place are in keys
    if override == "samplers.gmm.n_components=3":
        assert one.samples["gmm"].path == other.samples["gmm"].path
        assert one.samples["gmm"].settings != other.samples["gmm"].settings
        assert one.samples["prior"].settings == other.samples["prior"].settings


def test_a_plan_of_a_study_is_what_its_records_and_manifests_say(tiny, monkeypatch):
    monkeypatch.chdir(tiny)
    plan, store = plan_of(compose(*TINY, *EXTRA, "study=tiny", "tracking=off")), Store(Path("outputs"))
    assert len(plan.steps) > 60
    for step in plan.steps.values():
        known = store.known(step)
        assert known is not None and known.key == keys.key(step, store), step.path
    recorded = {step.path for record in records.records_of(store, "tiny") for step in record.steps}
    assert recorded == set(plan.steps)
    of_one = [step for step in plan.models[0].measures if step.subject.sampler == "gaussian_full"]
    (fid,) = [step for step in of_one if step.subject.metric == "fid"]
    assert {needed.kind for needed in fid.inputs} == {"train", "encode", "prepare", "reference", "sample"}


def test_results_are_found_by_id_without_listing_a_folder(tiny, monkeypatch):
    """No folder is listed but an artifact's own: a store of thousands of models costs as much as one of a few."""
    monkeypatch.chdir(tiny)
    plan = plan_of(compose(*TINY, *EXTRA, "study=tiny", "tracking=off"))
    listed: list[str] = []
    for name in ("listdir", "scandir"):
        original = getattr(os, name)

        def counted(path: Any = ".", *, original: Any = original) -> Any:
            listed.append(os.path.relpath(os.fspath(path)))
            return original(path)

        monkeypatch.setattr(os, name, counted)
    store = Store(Path("outputs"))
    for step in plan.steps.values():
        assert store.is_sound(step, keys.key(step, store))
    own = {f"outputs/{step.path}" for step in plan.steps.values() if step.kind not in SHELVED}
    assert listed and set(listed) <= own


# -- a run ---------------------------------------------------------------------------------------------------------

COUNTED = """
import json, os, sys
from collections import Counter
reads, builds = Counter(), Counter()

def hook(event, args):
    if event == "open" and isinstance(args[0], (str, os.PathLike)) and "w" not in str(args[1]):
        path = os.path.abspath(os.fspath(args[0]))
        if os.path.basename(path) == "manifest.json" and os.path.exists(path):
            reads[os.path.relpath(path)] += 1

from priorgap.core import build as building
build = building.build

def counted(node, expected, *, where, supplied=None):
    builds[where] += 1
    return build(node, expected, where=where, supplied=supplied)

building.build = counted
sys.addaudithook(hook)
from priorgap.pipeline import cli
try:
    cli.main(sys.argv[2:])
except SystemExit as error:
    json.dump({"status": error.code, "reads": reads, "builds": builds}, open(sys.argv[1], "w"))
"""
# the selection of `experiment=default`, which is the vocabulary's own, of a small model and few samples
DEFAULT = (
    "study=default", "seed=0", "model.latent_dim=3", "model.hidden=[16]", "loss.alpha=50", "trainer.max_epochs=2",
    "trainer.accelerator=cpu", "n_samples=80", "reference.classifier.epochs=1", "reference.n_repeats=3",
    "measure_processes=1", "tracking=off",
)  # fmt: skip


@pytest.fixture(scope="module")
def default(tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """One model with the default study's samplers and measures, in one process, and what was counted there."""
    folder: Path = tmp_path_factory.mktemp("default")
    order = [sys.executable, "-c", COUNTED, str(folder / "counts.json"), "run", *DEFAULT]
    done = subprocess.run(order, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "counts.json").read_text())
    assert found["status"] == 0, done.stderr
    return folder, found


def test_twelve_files_a_model_at_most(default):
    folder, _ = default
    (one,) = models(folder, "default")
    study = folder / "outputs/default"
    steps = records.read(study / records.FOLDER / f"{one.id}.json").models[0].steps
    samplers = {step.sampler for step in steps if step.kind == "sample"}
    metrics = {step.metric for step in steps if step.kind == "measure"}
    assert len(samplers) >= 5 and len(metrics) >= 10
    of_model = [p for stage in MODEL_KINDS for p in (study / stage).rglob("*") if p.is_file()]
    of_model += [p for p in (study / records.FOLDER).rglob("*") if p.is_file()]
    assert 0 < len(of_model) <= 12, of_model
    # nothing else in a study grows with its models but logs and what W&B writes
    shared = {f"{kind}.json" for kind in SHARED_KINDS}
    assert {p.name for p in study.iterdir()} <= {*MODEL_KINDS, records.FOLDER, *shared, "report", "logs"}


def test_each_node_is_built_once(default):
    """One model, five samplers or more, five metrics or more, one process."""
    _, found = default
    builds = found["builds"]
    for group in ("samplers", "metrics"):
        assert sum(where.startswith(f"{group}.") and where.count(".") == 1 for where in builds) >= 5
    assert {"data.source", "model", "likelihood", "prior", "loss", "trainer"} <= set(builds)
    assert {where: n for where, n in builds.items() if n > 1} == {}


def test_each_manifest_is_read_twice_at_most(default):
    _, found = default
    read = found["reads"]
    assert len(read) >= 5
    assert {place: n for place, n in read.items() if n > 2} == {}


def test_a_rerun_reads_each_manifest_twice_at_most(default, tmp_path):
    """Nothing is to be made, but the study is not known to be finished."""
    folder, _ = default
    shutil.copytree(folder / "outputs", tmp_path / "outputs")
    shutil.rmtree(tmp_path / "outputs/.finished")
    order = [sys.executable, "-c", COUNTED, str(tmp_path / "counts.json"), "run", *DEFAULT]
    done = subprocess.run(order, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = json.loads((tmp_path / "counts.json").read_text())
    assert found["status"] == 0 and ": trained, " not in done.stderr
    assert len(found["reads"]) >= 8
    assert {place: n for place, n in found["reads"].items() if n > 2} == {}
    assert {where: n for where, n in found["builds"].items() if n > 1} == {}


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs/.finished")
    return tmp_path


def test_a_measure_that_fails_leaves_the_others(copy, tiny, monkeypatch, capfd):
    from priorgap.pipeline.stages import measure

    one = model(copy)
    gone = ["prior/fid@classifier", "posterior/fid@classifier", "posterior/copying", "gaussian_full/copying"]
    shelf(copy, "measure", one.id).remove(gone)
    before = stamps(copy)
    original = measure._measure

    def failing(at_hand: Any, metric: Any, sampler: str, space: str) -> Any:
        if (sampler, metric.name) == ("posterior", "fid"):
            raise RuntimeError("no such luck")
        return original(at_hand, metric, sampler, space)

    with monkeypatch.context() as patch:
        patch.setattr(measure, "_measure", failing)
        assert run_tiny(copy, *EXTRA, "tracking=off", command=("run", "-m")) == 1
    said = capfd.readouterr().err
    assert (
        "failed: " in said and "fid@classifier of posterior" in said and "RuntimeError: no such luck" in said
    )
    failed = artifacts.load_json(copy / f"outputs/tiny/failed/{one.train_id}.json")
    assert "no such luck" in failed["error"] and "no such luck" in failed["traceback"]
    assert [p.stem for p in (copy / "outputs/tiny/failed").glob("*.json")] == [one.train_id]
    after = stamps(copy)
    place = f"tiny/measure/{one.id}"
    assert f"{place}/posterior/fid@classifier" not in after
    made = {f"{place}/{name}" for name in gone if name != "posterior/fid@classifier"}
    assert after.keys() - before.keys() == made
    assert {p for p in before if after[p] != before[p]} == {"tiny/report"}
    # the same command tries it again, and nothing else
    assert run_tiny(copy, *EXTRA, "tracking=off", command=("run", "-m")) == 0
    again = stamps(copy)
    assert again.keys() - after.keys() == {f"{place}/posterior/fid@classifier"}
    assert {p for p in after if again[p] != after[p]} == {"tiny/report"}
    assert content(copy) == content(tiny)
    assert not list((copy / "outputs/tiny/failed").glob("*.json"))

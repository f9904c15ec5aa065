"""Killed, interrupted, run twice at once, out of disk: the same command ends with the same bits."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from crashes import Child, Moment, Trouble
from launching import start, wait
from tiny_study import EXTRA, TINY, content, flip, leftovers, model, models, results

from priorgap.core import artifacts

RENAME = "pathlib:Path.rename"
ONE = ("run", "-m", *TINY, "study=tiny", "seed=0", *EXTRA[1:], "tracking=off")
BOTH = ("run", "-m", *TINY, "study=tiny", *EXTRA, "tracking=off")

REPLACE = "pathlib:Path.replace"
APPEND = "priorgap.core.shelves:Shelf._append"

# in the order in which a run comes by them: each process gets further than the one before
MOMENTS = {
    "data not yet renamed": Moment(RENAME, ("/data/digits",)),
    "an epoch's checkpoint written": Moment(
        "priorgap.training.callbacks:AtomicCheckpointIO.save_checkpoint", after=True
    ),
    "a checkpoint not yet renamed": Moment(REPLACE, ("last.ckpt",)),
    "model not yet renamed": Moment(RENAME, ("tiny/train/",)),
    "model renamed, checkpoint still there": Moment(RENAME, ("tiny/train/",), after=True),
    "posteriors written, no manifest": Moment(
        "priorgap.core.artifacts:save_tensors", ("tiny/encode/", "posteriors.safetensors"), after=True
    ),
    "posteriors not yet renamed": Moment(RENAME, ("tiny/encode/",)),
    "the third draws written, the manifest not": Moment(APPEND, ("tiny/sample/",), after=True, count=3),
    "the fourth draws' manifest not yet renamed": Moment(REPLACE, ("tiny/sample/", "manifest"), count=2),
    "what the picture needs written, the manifest not": Moment(APPEND, ("tiny/measure/",), after=True),
    "measurement not yet written": Moment(
        "priorgap.core.shelves:Shelf.put", ("tiny/measure/", "/fid@classifier")
    ),
    "measurement's manifest not yet renamed": Moment(REPLACE, ("tiny/measure/", "manifest")),
    "measurement's manifest renamed": Moment(REPLACE, ("tiny/measure/", "manifest"), after=True),
    "calibrated model not yet renamed": Moment(RENAME, ("tiny/calibrate/",)),
    "report not yet renamed": Moment(RENAME, ("tiny/report",)),
}
# one of each stage; the others are slow
FEW = (
    "an epoch's checkpoint written", "posteriors written, no manifest", "the third draws written, the manifest not",
    "measurement's manifest not yet renamed", "report not yet renamed",
)  # fmt: skip
REPORTING = {
    "report renamed": Moment(RENAME, ("tiny/report",), after=True),
    "old report moved away": Moment(RENAME, ("-old-report",), after=True),
    "study not yet remembered": Moment("pathlib:Path.replace", (".finished",)),
}


def of_seed_0(tiny: Path) -> dict[str, str]:
    ids = {m.id for m in models(tiny) if m.seed == 0}
    assert len(ids) == 2
    return {name: digest for name, digest in content(tiny).items() if name.split("/")[1] in ids}


@pytest.fixture
def prepared(tiny, tmp_path) -> Path:
    """A folder with the data and the reference alone."""
    for name in ("data", "reference"):
        shutil.copytree(tiny / "outputs" / name, tmp_path / "outputs" / name)
    return tmp_path


@pytest.mark.parametrize(
    "names",
    [pytest.param(FEW, marks=pytest.mark.e2e), pytest.param(tuple(MOMENTS), marks=pytest.mark.slow)],
    ids=["few", "all"],
)
def test_killed_again_and_again_ends_as_if_undisturbed(tiny, tmp_path, names):
    for name in names:
        child = Child(tmp_path, ONE, moment=MOMENTS[name])
        assert child.finish() == -signal.SIGKILL, f"{name}: {child.said}"
    last = Child(tmp_path, ONE)
    assert last.finish() == 0, last.said
    assert content(tmp_path) == of_seed_0(tiny)
    assert (tmp_path / "outputs/tiny/report/report.html").is_file()
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_killed_around_the_report(tiny, prepared):
    for name, moment in REPORTING.items():
        child = Child(prepared, BOTH, moment=moment)
        assert child.finish() == -signal.SIGKILL, f"{name}: {child.said}"
    assert Child(prepared, BOTH).finish() == 0
    results = "outputs/tiny/report/results.csv"
    assert (prepared / results).read_bytes() == (tiny / results).read_bytes()
    assert leftovers(prepared) == []


@pytest.mark.e2e
def test_killed_before_a_replaced_model_is_removed(tiny, tmp_path):
    """A model that was made again, with the damaged one still beside it, is not made a third time."""
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs/.finished")
    trained = tmp_path / "outputs/tiny/train" / model(tiny).id
    flip(trained / "weights.safetensors", 2000)
    # what is left of an earlier replacement is removed first
    moment = Moment("shutil:rmtree", ("-old-", model(tiny).id), count=2)
    child = Child(tmp_path, ONE, moment=moment)
    assert child.finish() == -signal.SIGKILL and child.said.count("damaged, will be made again") == 1, (
        child.said
    )
    assert leftovers(tmp_path) and artifacts.damage(trained) == []
    last = Child(tmp_path, ONE)
    assert last.finish() == 0, last.said
    assert ": trained, " not in last.said
    assert content(tmp_path) == content(tiny)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def test_interrupted_in_training_says_one_line_and_resumes(tiny, prepared, sign):
    longer = tuple(o.replace("max_epochs=2", "max_epochs=100000") for o in ONE)
    child = Child(prepared, longer)
    wait(lambda: list(prepared.rglob("last.ckpt")), child.process.is_alive)
    assert child.process.pid is not None
    os.kill(child.process.pid, sign)
    assert child.finish() == 128 + sign
    plans = ("priorgap: 1 model", "priorgap: 25 measures to take")
    lines = [line for line in child.said.splitlines() if not line.startswith(("[", *plans))]
    assert lines == ["priorgap: interrupted; the same command goes on where it stopped"]
    assert list(prepared.rglob("last.ckpt"))
    assert not list(prepared.rglob(".partial-*"))


@pytest.mark.slow
def test_two_at_once_do_each_piece_of_work_once(tiny, tmp_path):
    children = [Child(tmp_path, (*ONE, "-v")) for _ in range(2)]
    assert [child.finish() for child in children] == [0, 0], [child.said for child in children]
    said = "".join(child.said for child in children)
    assert said.count(": trained, ") == 1
    for sampler in ("posterior", "gaussian_full", "per_class_gaussian_full"):
        assert said.count(f": sampled {sampler}\n") == 1
    assert content(tmp_path) == of_seed_0(tiny)
    assert leftovers(tmp_path) == []


@pytest.mark.e2e
def test_two_sweeps_at_once_in_different_words_train_each_model_once(prepared, tiny):
    """One grid typed in another order and with another selection: a model has one name, so one lock."""
    turned = ("run", "-m", "seed=1,0", *reversed(TINY), *EXTRA[1:], "study=tiny", "tracking=off")
    children = [Child(prepared, (*BOTH, "-v")), Child(prepared, (*turned, "-v"))]
    assert [child.finish() for child in children] == [0, 0], [child.said for child in children]
    said = "".join(child.said for child in children)
    assert said.count(": trained, ") == 2
    assert said.count(": sampled gaussian_full\n") == 2
    for stage in ("train", "encode", "sample", "measure"):
        places = [p.name for p in (prepared / "outputs/tiny" / stage).glob("[!.]*")]
        assert len(places) == len(set(places)) == (2 if stage == "train" else 4)
    assert content(prepared) == content(tiny)
    assert leftovers(prepared) == []


@pytest.mark.e2e
def test_a_full_disk_leaves_nothing_that_counts(tiny, prepared):
    # a real limit first, that posteriors of digits exceed and the model's files do not; then ever later syncs
    for trouble in (Trouble(file_size=25_000), Trouble(syncs=0), Trouble(syncs=7), Trouble(syncs=40)):
        child = Child(prepared, ONE, trouble=trouble)
        assert child.finish() == 1, child.said
        assert "Traceback" not in child.said
        assert "File too large" in child.said or "No space left" in child.said, child.said
        assert set(content(prepared).items()) <= set(content(tiny).items())
        assert not (prepared / "outputs/.finished").exists()
    last = Child(prepared, ONE)
    assert last.finish() == 0, last.said
    assert content(prepared) == of_seed_0(tiny)
    assert leftovers(prepared) == []


# -- the console script as a user starts it, killed from outside -----------------------------------------------


SIGNS = {
    "training": "resume/*/last.ckpt",
    "publishing the model": "train/.partial-*",
    "trained": "train/{id}/manifest.json",
    "encoding": "encode/.partial-*/posteriors.safetensors",
    "encoded": "encode/{id}/manifest.json",
    "sampling": "sample/{id}/tensors-*.pack",
    "sampled": "sample/{id}/manifest.json:posterior",
    "measuring": "measure/*/.partial-*-manifest.json",
    "measured": "measure/{id}/manifest.json:prior/fid@classifier",
    "reporting": ".partial-*-report",
}


def seen(study: Path, pattern: str) -> bool:
    """Whether a file is there; with a name after a colon: whether the shelf holds that result."""
    pattern, _, name = pattern.partition(":")
    return any(not name or name in results(file.parent) for file in study.glob(pattern))


@pytest.mark.slow
def test_killed_from_outside_ends_as_if_undisturbed(tiny, prepared):
    study = prepared / "outputs/tiny"
    hits = []
    for name, sign in SIGNS.items():
        pattern = sign.replace("{id}", model(tiny, 0).id)
        process = start(prepared, *BOTH)
        if wait(lambda pattern=pattern: seen(study, pattern), lambda p=process: p.poll() is None):
            os.killpg(process.pid, signal.SIGKILL)
            hits.append(name)
        process.communicate()
    # a moment may be too short to be seen from outside; most are not
    assert len(hits) >= len(SIGNS) - 2, hits
    process = start(prepared, *BOTH)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert content(prepared) == content(tiny)
    results_csv = "report/results.csv"
    assert (study / results_csv).read_bytes() == (tiny / "outputs/tiny" / results_csv).read_bytes()
    assert leftovers(prepared) == []


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [(), ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")], ids=str)
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def test_interrupted_from_a_terminal(prepared, launcher, sign):
    """Ctrl-C, or the end of a terminal, reaches every process of the group, workers too."""
    longer = tuple(o.replace("max_epochs=2", "max_epochs=100000") for o in BOTH)
    process = start(prepared, *longer, *launcher)
    assert wait(lambda: list(prepared.rglob("last.ckpt")), lambda: process.poll() is None)
    os.killpg(process.pid, sign)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + sign, said
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "priorgap: interrupted; the same command goes on where it stopped"

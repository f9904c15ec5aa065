"""ls, verify, gc and merge, and what a rerun finds by itself."""

import csv
import os
import shutil
from pathlib import Path

import pytest
from tiny_study import EXTRA, TINY, content, flip, leftovers

from priorgap import artifacts
from priorgap.pipeline.store import Store, sealed, unless_in_use

SWEEP = ("run", "-m", *TINY, "study=tiny", *EXTRA, "tracking=off")


@pytest.fixture
def copy(tiny, tmp_path, monkeypatch) -> Path:
    """A finished tiny study of one's own."""
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs/.finished")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


def model(outputs: Path, stage: str, seed: int) -> Path:
    return next((outputs / "tiny" / stage).glob(f"*seed={seed}-*"))


def test_ls_lists_studies_and_models(copy, run, capsys):
    assert run("ls") == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["study", "models", "trained", "failed", "report"]
    assert line.split()[:5] == ["tiny", "2", "2", "0", "yes"]
    shutil.rmtree(model(copy, "measure", 1))
    assert run("ls", "study=tiny") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    # one measure folder of seed 1 (plain or calibrated) is gone
    assert sum(" complete " in line for line in lines) == 3
    assert sum(" incomplete " in line for line in lines) == 1


def test_verify_finds_a_flipped_byte_and_a_rerun_redoes_just_that(copy, run, capsys, tiny):
    assert run("verify", "study=tiny") == 0
    assert "wrong" not in capsys.readouterr().out
    draws = next(model(copy, "sample", 0).glob("gaussian_full/draw.safetensors"))
    flip(draws, 100)
    assert run("verify") == 1
    out = capsys.readouterr().out
    assert f"wrong: {draws.relative_to(copy.parent)}: checksum differs" in out
    assert f"makes {draws.parent.relative_to(copy.parent)} again" in out
    before = {p: p.stat().st_mtime_ns for p in copy.glob("tiny/[es]*/*/**/*.safetensors")}
    assert run(*SWEEP) == 0
    changed = {p.parent for p, t in before.items() if p.stat().st_mtime_ns != t}
    assert changed == {draws.parent}
    assert content(copy.parent) == content(tiny)
    assert run("verify") == 0


def test_a_finished_study_is_recognised_until_a_byte_changes(copy, run, capsys):
    assert run(*SWEEP) == 0
    capsys.readouterr()
    assert run(*SWEEP) == 0
    assert "nothing to do" in capsys.readouterr().err
    # touched, not changed: checksummed once, and known again
    weights = next(model(copy, "train", 0).glob("weights.safetensors"))
    os.utime(weights)
    assert run(*SWEEP) == 0
    assert "nothing to do" in capsys.readouterr().err
    for file in (weights, copy / "tiny/report/report.html", next((copy / ".finished").glob("*.json"))):
        flip(file, 40)
        assert run(*SWEEP) == 0
        assert "nothing to do" not in capsys.readouterr().err, file
        assert run("verify") == 0
        capsys.readouterr()


def test_gc_shows_first_and_removes_only_what_nothing_needs(copy, run, capsys, tiny):
    assert run("gc") == 0
    assert capsys.readouterr().out == "0 things, 0 B to remove\n"
    # a killed writer's leavings, a sampler and a model that no cell names, a checkpoint of a finished training
    (copy / "tiny/encode/.partial-01234567-x").mkdir()
    shutil.copytree(model(copy, "sample", 0) / "prior", model(copy, "sample", 0) / "dropped")
    other = copy / "tiny/train/other-00000000"
    shutil.copytree(model(copy, "train", 0), other)
    resume = copy / "tiny/resume" / f"{model(copy, 'train', 0).name.rpartition('-')[2]}-12345678"
    resume.mkdir(parents=True)
    (resume / "last.ckpt").write_bytes(b"x")
    assert run("gc", "study=tiny", "--dry-run") == 0
    out = capsys.readouterr().out
    assert out.count("would be removed: ") == 4 and "--yes removes them" in out
    assert other.is_dir() and resume.is_dir()
    with artifacts.locked(other, copy / ".locks"):
        assert run("gc", "--yes") == 0
    out = capsys.readouterr().out
    assert out.count("removed: ") == 3 and "in use, left alone: outputs/tiny/train/other" in out
    assert run("gc", "--yes") == 0
    assert content(copy.parent) == content(tiny)
    assert leftovers(copy.parent) == []


def test_gc_refuses_when_a_study_cannot_be_read(copy, run, capsys):
    next((copy / "tiny/cells").glob("*.json")).write_text("{")
    assert run("gc", "--yes") == 2
    assert "cells/ cannot be read" in capsys.readouterr().err
    # the study's command writes the record again
    assert run(*SWEEP) == 0
    assert run("gc") == 0


def rows(outputs: Path) -> list[list[str]]:
    with (outputs / "tiny/report/results.csv").open(newline="") as handle:
        return sorted(csv.reader(handle))


def test_a_record_of_another_version_is_said_and_nothing_is_removed(copy, run, capsys, caplog):
    file = sorted((copy / "tiny/cells").glob("*.json"))[0]
    kept = artifacts.load_json(file)
    old = {
        **kept,
        "config": {
            **kept["config"],
            "metrics": {n: {**m, "gone": 1} for n, m in kept["config"]["metrics"].items()},
        },
    }
    del old["checksum"]
    artifacts.save_json(file, sealed(old))
    assert run("ls", "study=tiny") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("other version" in line for line in lines) == 1 and len(lines) == 4
    assert "was recorded by another version of priorgap" in caplog.text and "gone: unknown key" in caplog.text
    assert run("verify") == 0
    assert "not looked for: study=tiny" in capsys.readouterr().out
    before = content(copy.parent)
    assert run("gc", "--yes") == 2
    assert "was recorded by another version of priorgap" in capsys.readouterr().err
    assert content(copy.parent) == before
    assert run(*SWEEP) == 0
    assert artifacts.load_json(file)["config"]["metrics"] == kept["config"]["metrics"]
    capsys.readouterr()
    assert run("ls", "study=tiny") == 0 and "other version" not in capsys.readouterr().out


def test_a_study_merged_from_two_machines_has_the_numbers_of_one(copy, run, capsys, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(copy, other, symlinks=True)
    for root, seed in ((copy, 1), (other, 0)):
        for folder in root.glob(f"tiny/*/*seed={seed}-*"):
            shutil.rmtree(folder)
        for file in root.glob("tiny/cells/*.json"):
            if artifacts.load_json(file)["config"]["seed"] == seed:
                file.unlink()
    expected = rows(copy)
    shutil.rmtree(copy / "tiny/report")
    assert run("merge", "study=tiny", "from=other") == 0
    assert "2 artifacts" not in capsys.readouterr().out
    assert run("report", "study=tiny", "tracking=off") == 0
    assert rows(copy) == expected
    # everything a run needs came along: nothing is computed again
    capsys.readouterr()
    assert run(*SWEEP) == 0
    assert ": trained, " not in capsys.readouterr().err
    assert run("merge", "study=tiny", "from=other") == 0
    assert ": 0 artifacts and 0 records taken" in capsys.readouterr().out


def test_merge_takes_no_damage_and_replaces_nothing(copy, run, capsys, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(copy, other, symlinks=True)
    shutil.rmtree(model(copy, "train", 0))
    flip(model(other, "train", 0) / "weights.safetensors", 50)
    mine, theirs = (model(root, "sample", 1) / "prior" for root in (copy, other))
    shutil.rmtree(theirs)
    with artifacts.publish(theirs, "key") as directory:
        (directory / "draw.safetensors").write_bytes(b"other bits")
    before = artifacts.content_digest(mine)
    assert run("merge", "study=tiny", "from=other") == 1
    out = capsys.readouterr().out
    assert "wrong: other/tiny/train/" in out and "differs, left alone: outputs/tiny/sample/" in out
    assert artifacts.content_digest(mine) == before
    assert not list(copy.glob("tiny/train/*seed=0-*"))


CASES = {
    "no store": (("ls", "output_root=none"), "output_root=none"),
    "no study": (("ls", "study=none"), "study=none"),
    "no such key": (("verify", "model=1"), "model=1"),
    "no such option": (("gc", "--all"), "--all"),
    "both": (("gc", "--yes", "--dry-run"), "--yes"),
    "merge of nothing": (("merge", "study=tiny"), "from: missing"),
    "merge of what": (("merge", "from=outputs"), "study: missing"),
    "merge from nowhere": (("merge", "study=tiny", "from=none"), "from=none"),
    "merge with itself": (("merge", "study=tiny", "from=outputs"), "same store"),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_refused_in_one_line(copy, run, capsys, case):
    arguments, words = CASES[case]
    assert run(*arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("priorgap: ") and err.count("\n") == 1 and words in err, err


@pytest.mark.parametrize("command", ["ls", "verify", "gc", "merge"])
def test_help(run, capsys, command):
    assert run(command, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: priorgap {command}")


def test_a_lock_is_seen_from_outside(tmp_path):
    store, path = Store(tmp_path), tmp_path / "study/train/x-1"
    with unless_in_use(path, store) as free:
        assert free
    with artifacts.locked(path, store.locks), unless_in_use(path, store) as free:
        assert not free

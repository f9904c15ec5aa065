"""ls, verify, gc and merge, and what a rerun finds by itself."""

import csv
import os
import shutil
from pathlib import Path

import pytest
import torch
from tiny_study import EXTRA, TINY, content, flip, leftovers, model, models, shelf, stamps

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf
from priorgap.pipeline.commands.store_arguments import in_words
from priorgap.pipeline.config.session import Request
from priorgap.pipeline.store.finished import finished
from priorgap.pipeline.store.layout import Store, read_record, sealed, unless_in_use

SWEEP = ("run", "-m", *TINY, "study=tiny", *EXTRA, "tracking=off")


@pytest.fixture
def copy(tiny, tmp_path, monkeypatch) -> Path:
    """A finished tiny study of one's own."""
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs/.finished")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


def of_seed(outputs: Path, stage: str, seed: int) -> Path:
    """The folder of the uncalibrated model of a seed; the study itself is where the test works."""
    return outputs / "tiny" / stage / model(Path(), seed).id


def test_ls_lists_studies_and_models(copy, run, capsys):
    assert run("ls") == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["study", "models", "trained", "failed", "report"]
    assert line.split()[:5] == ["tiny", "2", "2", "0", "yes"]
    shutil.rmtree(of_seed(copy, "measure", 1))
    assert run("ls", "study=tiny") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    # the measurements of one model of seed 1 are gone
    assert sum(" complete " in line for line in lines) == 3
    assert sum(" incomplete " in line for line in lines) == 1


def test_verify_finds_a_flipped_byte_and_a_rerun_redoes_just_that(copy, run, capsys, tiny, tmp_path):
    assert run("verify", "study=tiny") == 0
    assert "wrong" not in capsys.readouterr().out
    draws = shelf(tmp_path, "sample", model(tmp_path).id)
    span = draws.entries["gaussian_full"].span
    flip(draws.folder / span.file, span.offset + 100)
    assert run("verify") == 1
    out = capsys.readouterr().out
    place = draws.folder.relative_to(tmp_path)
    assert f"wrong: {place}: gaussian_full: its tensors' checksum differs" in out
    assert out.count("wrong: ") == 1
    assert f"makes {place} again" in out
    before = stamps(tmp_path)
    assert run(*SWEEP) == 0
    after = stamps(tmp_path)
    changed = {place for place, stamp in before.items() if after[place] != stamp}
    assert changed == {f"tiny/sample/{model(tmp_path).id}/gaussian_full", "tiny/report"}
    assert content(tmp_path) == content(tiny)
    assert run("verify") == 0


def test_a_value_that_was_changed_by_hand_is_damage(copy, run, capsys, tiny, tmp_path):
    """A number of a measurement, which stands in the manifest itself."""
    file = shelf(tmp_path, "measure", model(tmp_path).id).folder / artifacts.MANIFEST
    manifest = artifacts.load_json(file)
    row = manifest["entries"]["prior/fid@classifier"]["value"]["rows"][0]
    row["value"] += 1.0
    artifacts.save_json(file, manifest)
    assert run("verify") == 1
    assert "prior/fid@classifier: its checksum differs from the manifest's" in capsys.readouterr().out
    assert run("report", "study=tiny", "tracking=off") == 2
    assert "prior/fid@classifier" in capsys.readouterr().err
    before = stamps(tmp_path)
    assert run(*SWEEP) == 0
    after = stamps(tmp_path)
    place = f"tiny/measure/{model(tmp_path).id}/prior/fid@classifier"
    assert {place for place, stamp in before.items() if after[place] != stamp} == {place, "tiny/report"}
    assert content(tmp_path) == content(tiny)
    assert run("verify") == 0


def test_a_finished_study_is_recognised_until_a_byte_changes(copy, run, capsys):
    assert run(*SWEEP) == 0
    capsys.readouterr()
    assert run(*SWEEP) == 0
    assert "nothing to do" in capsys.readouterr().err
    # touched, not changed: checksummed once, and known again
    weights = of_seed(copy, "train", 0) / "weights.safetensors"
    measured = of_seed(copy, "measure", 0) / artifacts.MANIFEST
    for file in (weights, measured):
        os.utime(file)
        assert run(*SWEEP) == 0
        assert "nothing to do" in capsys.readouterr().err
    pack = next(of_seed(copy, "sample", 0).glob("*.pack"))
    record = next((copy / ".finished").glob("*.json"))
    request = Request(SWEEP[2:], multirun=True)
    assert finished(request) is not None
    for file in (weights, pack, measured, copy / "tiny/report/report.html", record):
        good = file.read_bytes()
        flip(file, 40)
        assert finished(request) is None, file
        file.write_bytes(good)
        assert finished(request) is not None, file
    for file in (weights, pack, measured, copy / "tiny/report/report.html"):
        flip(file, 40)
    assert run(*SWEEP) == 0
    assert "nothing to do" not in capsys.readouterr().err
    assert run("verify") == 0


def test_gc_shows_first_and_removes_only_what_nothing_needs(copy, run, capsys, tiny, tmp_path):
    assert run("gc") == 0
    assert capsys.readouterr().out == "0 things, 0 B to remove\n"
    # a killed writer's leavings, a sampler and a model that no cell names, a checkpoint of a finished training
    (copy / "tiny/encode/.partial-01234567-x").mkdir()
    draws = shelf(tmp_path, "sample", model(tmp_path).id)
    draws.put("dropped", "key", {}, {"z": torch.zeros(3)}, {})
    n_bytes = draws.entries["dropped"].span.n_bytes
    other = copy / "tiny/train/00000000"
    shutil.copytree(of_seed(copy, "train", 0), other)
    resume = copy / "tiny/resume" / f"{model(tmp_path).train_id}-12345678"
    resume.mkdir(parents=True)
    (resume / "last.ckpt").write_bytes(b"x")
    assert run("gc", "study=tiny", "--dry-run") == 0
    out = capsys.readouterr().out
    assert out.count("would be removed: ") == 4 and "--yes removes them" in out
    assert f"(1 result that no model of the study names: dropped, {in_words(n_bytes)})" in out
    assert other.is_dir() and resume.is_dir() and "dropped" in draws.entries
    with artifacts.locked(other, copy / ".locks"):
        assert run("gc", "--yes") == 0
    out = capsys.readouterr().out
    assert out.count("removed: ") == 3 and "in use, left alone: outputs/tiny/train/00000000" in out
    assert "dropped" not in draws.entries
    assert run("gc", "--yes") == 0
    assert content(copy.parent) == content(tiny)
    assert leftovers(copy.parent) == []


def test_gc_leaves_a_shelf_alone_that_is_worked_on(copy, run, capsys, tmp_path):
    """The measures of one sampler hold a lock of their own."""
    folder = copy / "tiny/measure/00000000"
    shutil.copytree(of_seed(copy, "measure", 0), folder)
    for place in (folder / "prior", folder / artifacts.MANIFEST):
        with artifacts.locked(place, copy / ".locks"):
            assert run("gc", "--yes") == 0
        assert "in use, left alone: outputs/tiny/measure/00000000" in capsys.readouterr().out
        assert folder.is_dir()
    assert run("gc", "--yes") == 0
    assert not folder.exists()


def test_gc_refuses_when_a_study_cannot_be_read(copy, run, capsys):
    next((copy / "tiny/cells").glob("*.json")).write_text("{")
    assert run("gc", "--yes") == 2
    assert "cannot be read, or was changed" in capsys.readouterr().err
    # the study's command writes the record again
    assert run(*SWEEP) == 0
    assert run("gc") == 0


def rows(outputs: Path) -> list[list[str]]:
    with (outputs / "tiny/report/results.csv").open(newline="") as handle:
        return sorted(csv.reader(handle))


def test_a_record_of_another_version_is_said_and_nothing_is_removed(copy, run, capsys, caplog):
    file = sorted((copy / "tiny/cells").glob("*.json"))[0]
    kept = read_record(file)
    artifacts.save_json(file, sealed({**kept, "schema": kept["schema"] + 1}))
    assert run("ls", "study=tiny") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("other version" in line for line in lines) == 1 and len(lines) == 4
    assert "was written by another version of priorgap" in caplog.text
    assert run("verify") == 0
    out = capsys.readouterr().out
    assert f"not looked for: {file.relative_to(copy.parent)}: was written by another version" in out
    before = content(copy.parent)
    assert run("gc", "--yes") == 2
    assert "was written by another version of priorgap" in capsys.readouterr().err
    assert content(copy.parent) == before
    assert run(*SWEEP) == 0
    again = read_record(file)
    assert (again["schema"], again["models"]) == (kept["schema"], kept["models"])
    capsys.readouterr()
    assert run("ls", "study=tiny") == 0 and "other version" not in capsys.readouterr().out


def test_a_study_merged_from_two_machines_has_the_numbers_of_one(copy, run, capsys, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(copy, other, symlinks=True)
    known = models(tmp_path)
    of_one = {place for place in stamps(tmp_path) if place.split("/")[2:3] == [known[0].id]}
    for root, seed in ((copy, 1), (other, 0)):
        for gone in (m for m in known if m.seed == seed):
            for folder in root.glob(f"tiny/*/{gone.id}"):
                shutil.rmtree(folder)
            (root / f"tiny/cells/{gone.train_id}.json").unlink(missing_ok=True)
    expected = rows(copy)
    n_before = len(stamps(tmp_path))
    shutil.rmtree(copy / "tiny/report")
    assert run("merge", "study=tiny", "from=other") == 0
    n_taken = len(stamps(tmp_path)) - n_before + 1  # but for the report
    assert n_taken > len(of_one) > 20
    assert f": {n_taken} results and 1 records taken" in capsys.readouterr().out
    assert run("report", "study=tiny", "tracking=off") == 0
    assert rows(copy) == expected
    # everything a run needs came along: nothing is computed again
    capsys.readouterr()
    assert run(*SWEEP) == 0
    assert ": trained, " not in capsys.readouterr().err
    assert run("merge", "study=tiny", "from=other") == 0
    assert ": 0 results and 0 records taken" in capsys.readouterr().out


def test_merge_takes_no_damage_and_replaces_nothing(copy, run, capsys, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(copy, other, symlinks=True)
    shutil.rmtree(of_seed(copy, "train", 0))
    flip(of_seed(other, "train", 0) / "weights.safetensors", 50)
    mine, theirs = (Shelf(of_seed(root, "sample", 1), root / ".locks") for root in (copy, other))
    theirs.put("prior", "key", {}, {"z": torch.zeros(3)}, {})
    # and a flipped byte in what is wanted from there
    mine.remove(["posterior"])
    span = theirs.entries["posterior"].span
    flip(theirs.folder / span.file, span.offset + 50)
    before = mine.entries["prior"]
    assert run("merge", "study=tiny", "from=other") == 1
    out = capsys.readouterr().out
    assert "wrong: other/tiny/train/" in out
    assert f"differs, left alone: {mine.folder.relative_to(tmp_path)}/prior" in out
    assert f"wrong: {theirs.folder.relative_to(tmp_path)}: posterior: its tensors' checksum" in out
    assert mine.entries["prior"] == before and "posterior" not in mine.entries
    assert not of_seed(copy, "train", 0).exists()


CASES = {
    "no store": (("ls", "output_root=none"), "output_root=none"),
    "no study": (("ls", "study=none"), "study=none"),
    "no such key": (("verify", "model=1"), "model=1"),
    "no such option": (("gc", "--all"), "--all"),
    "a study without a name": (("verify", "study="), "study=: expected a value"),
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

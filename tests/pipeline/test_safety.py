"""Studies that come from elsewhere are data: nothing in them is called, and no path leads out of the store."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_study import EXTRA, TINY, content

from priorgap import artifacts
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.store import Store, read_record, sealed

MODELS = (*TINY, *EXTRA)
STORE_COMMANDS = (
    ("ls",),
    ("ls", "study=tiny"),
    ("verify",),
    ("gc",),
    ("gc", "--yes"),
    ("merge", "study=tiny", "from=theirs"),
)


@pytest.fixture
def copy(tiny, tmp_path, monkeypatch) -> Path:
    """A finished tiny study of one's own."""
    shutil.copytree(tiny / "outputs", tmp_path / "outputs", symlinks=True)
    shutil.rmtree(tmp_path / "outputs/.finished")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


@pytest.fixture
def theirs(copy, tmp_path) -> Path:
    """The same study as another machine's store, to merge from."""
    shutil.copytree(copy, tmp_path / "theirs", symlinks=True)
    return tmp_path / "theirs"


def rewrite(outputs: Path, change: Callable[[dict[str, Any]], None], *, study: str = "tiny") -> list[Path]:
    """Write the records of a study anew as an attacker would, who knows how checksums and ids are made."""
    written = []
    for file in sorted((outputs / study / "cells").glob("*.json")):
        record = read_record(file)
        assert record is not None
        change(record)
        file.unlink()
        place = file.with_stem(Cell(record["config"]).train_id)
        artifacts.save_json(place, sealed(record))
        written.append(place)
    return written


class Evil:
    """Unpickled, it writes a file."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


def put(group: str, name: str, node: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["config"][group][name] = node

    return change


NODES = {
    "pickle": {
        "_target_": "pytorch_lightning.core.saving.pl_load",
        "path_or_url": "evil.ckpt",
        "weights_only": False,
    },
    "deletion": {"_target_": "sklearn.datasets.clear_data_home", "data_home": "precious"},
    "memory": {
        "_target_": "sklearn.pipeline.Pipeline",
        "steps": [],
        "memory": {"_target_": "joblib.Memory", "location": "precious"},
    },
    "shell": {
        "_target_": "priorgap.pipeline.engines.processes.subprocess.call",
        "args": ["mkdir", "unpickled"],
    },
    "process": {"_target_": "priorgap.artifacts.shutil.rmtree", "path": "precious"},
    "nested": {
        "_target_": "priorgap.samplers.per_class.PerClass",
        "base": {"_target_": "sklearn.datasets.clear_data_home", "data_home": "precious"},
    },
}


@pytest.mark.parametrize("node", NODES, ids=str)
@pytest.mark.parametrize("group", ["samplers", "metrics", "feature_spaces", "model", "data"])
def test_no_command_calls_what_a_record_names(copy, theirs, run, node, group, capsys):
    Path("evil.ckpt").write_bytes(pickle.dumps(Evil()))
    Path("precious").mkdir()

    def change(record: dict[str, Any]) -> None:
        config = record["config"]
        if group == "data":
            config["data"]["source"] = NODES[node]
        elif group == "model":
            config["model"] = {**NODES[node], "latent_dim": 3}
        else:
            config[group][next(iter(config[group]))] = NODES[node]

    rewrite(theirs, change)
    rewrite(copy, change)
    before = content(copy.parent)
    for command in STORE_COMMANDS:
        run(*command)
    assert run("report", "study=tiny", "tracking=off") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("priorgap: study=tiny: ")
    assert Path("precious").is_dir() and not Path("unpickled").exists()
    assert content(copy.parent) == before


def test_the_attack_works_where_it_is_not_stopped(tmp_path, monkeypatch):
    """The pickle of the test above is one that does harm."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Evil()))  # noqa: S301
    assert Path("unpickled").is_dir()


@pytest.mark.parametrize("study", ["../../docs", "../docs", "/etc", "data", "other", "", None, 3, ["tiny"]])
def test_a_record_of_another_study_is_damage(copy, run, capsys, caplog, study):
    (copy.parent.parent / "docs").mkdir(exist_ok=True)
    docs = copy.parent / "docs"
    docs.mkdir()
    (docs / "report").mkdir()
    (docs / "report" / "index.md").write_text("precious", encoding="utf-8")
    before = content(copy.parent)

    def change(record: dict[str, Any]) -> None:
        record["config"]["study"] = study

    rewrite(copy, change)
    assert run("ls", "study=tiny") == 0
    assert "damaged, left out: it is of study=" in caplog.text
    # what the study needs cannot be told, so nothing of it is offered
    assert run("gc", "--yes") == 2
    assert "a record in cells/ cannot be read" in capsys.readouterr().err
    assert run("report", "study=tiny", "tracking=off") == 2
    assert "nothing has been run in it" in capsys.readouterr().err
    assert (docs / "report" / "index.md").read_text(encoding="utf-8") == "precious"
    assert content(copy.parent) == before
    # the study's own command writes its records again
    assert run("run", "-m", *MODELS, "study=tiny", "tracking=off") == 0
    assert run("gc") == 0 and "0 things" in capsys.readouterr().out


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "sampler": (
        lambda r: r["config"]["samplers"].update({"../../../docs": {"_target_": "x"}}),
        "'../../../docs' is no name",
    ),
    "metric": (lambda r: r["config"]["metrics"].update({"/etc": {"_target_": "x"}}), "'/etc' is no name"),
    "space": (lambda r: r["config"]["feature_spaces"].update({"a/b": {}}), "'a/b' is no name"),
    "data": (lambda r: r["config"]["data"].update(name="../x"), "'../x' is no name"),
    "no group": (lambda r: r["config"].pop("metrics"), "not whole (KeyError"),
    "a list": (lambda r: r["config"].update(samplers=["prior", "..", 3]), "no name"),
    "a number": (lambda r: r["config"].update(trainer=3), "not whole"),
    "overrides": (lambda r: r.update(overrides=[3]), "no words"),
    "configuration": (lambda r: r.update(config=[]), "no configuration"),
}


@pytest.mark.parametrize("case", CHANGES, ids=str)
def test_names_in_a_record_are_names(copy, theirs, run, capsys, caplog, case):
    change, words = CHANGES[case]
    for outputs in (copy, theirs):
        for file in sorted((outputs / "tiny" / "cells").glob("*.json")):
            record = read_record(file)
            change(record)
            artifacts.save_json(file, sealed(record))
    before = content(copy.parent)
    assert run("ls", "study=tiny") == 0
    assert words in caplog.text
    assert run("verify") == 0
    assert run("gc", "--yes") == 2
    for file in (copy / "tiny" / "cells").glob("*.json"):
        file.unlink()
    assert run("merge", "study=tiny", "from=theirs") == 1
    assert words in capsys.readouterr().out
    assert not list((copy / "tiny" / "cells").glob("*.json"))
    assert content(copy.parent) == before


def test_a_changed_record_is_seen_by_its_checksum(copy, run, caplog):
    file = sorted((copy / "tiny" / "cells").glob("*.json"))[0]
    text = file.read_text(encoding="utf-8")
    assert '"n_samples": 80' in text
    file.write_text(text.replace('"n_samples": 80', '"n_samples": 81'), encoding="utf-8")
    assert run("ls", "study=tiny") == 0
    assert "damaged, left out: it cannot be read" in caplog.text
    # not JSON, not an object
    for text in ("{", "[]", "null", '{"config": NaN}'):
        file.write_text(text, encoding="utf-8")
        assert read_record(file) is None


def test_links_lead_nowhere(copy, theirs, run, capsys, tmp_path):
    """A folder of a store that is a link: not listed, not removed, not copied, not written to."""
    outside = tmp_path / "docs"
    with artifacts.publish(outside / "page", "key") as directory:
        (directory / "a.txt").write_text("precious", encoding="utf-8")
    (outside / ".partial-01234567-x").mkdir()
    for outputs in (copy, theirs):
        (outputs / "tiny" / "extra").symlink_to(outside)
        (outputs / "tiny" / "resume").symlink_to(outside)
        (outputs / "data" / "more").symlink_to(outside)
        (outputs / "linked").symlink_to(outputs / "tiny")
        sample = next((outputs / "tiny" / "sample").glob("*seed=0-*"))
        (sample / "linked").symlink_to(outside / "page")
    assert run("gc", "--yes") == 0
    assert run("verify") == 0
    assert run("ls") == 0
    assert "linked" not in capsys.readouterr().out
    assert run("merge", "study=tiny", "from=theirs") == 0
    assert run("merge", "study=linked", "from=theirs") == 2
    report = copy / "tiny" / "report"
    shutil.rmtree(report)
    report.symlink_to(outside / "page")
    assert run("report", "study=tiny", "tracking=off") == 0
    assert not report.is_symlink() and artifacts.is_complete(report)
    assert run("report", "study=linked", "tracking=off") == 2
    assert "is a link" in capsys.readouterr().err
    assert sorted(p.name for p in outside.iterdir()) == [".partial-01234567-x", "page"]
    assert artifacts.damage(outside / "page") == []


def test_merge_copies_what_a_manifest_lists_and_no_links(copy, theirs, run, capsys, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    stages = {stage: next((theirs / "tiny" / stage).glob("*seed=0-*")) for stage in ("train", "encode")}
    entry = {"sha256": artifacts.file_digest(secret), "bytes": secret.stat().st_size}
    # a link that the manifest lists, one that it does not, and a file that is not listed
    (stages["train"] / "more").symlink_to(secret)
    (stages["train"] / "unlisted.txt").write_text("x", encoding="utf-8")
    linked = stages["encode"] / "linked.txt"
    linked.symlink_to(secret)
    manifest = json.loads((stages["encode"] / artifacts.MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["linked.txt"] = entry
    artifacts.save_json(stages["encode"] / artifacts.MANIFEST, manifest)
    # and a file outside, by its name
    outside = next((theirs / "tiny" / "sample").glob("*seed=0-*")) / "prior"
    manifest = json.loads((outside / artifacts.MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["../../../../../secret"] = entry
    artifacts.save_json(outside / artifacts.MANIFEST, manifest)
    for stage in ("train", "encode", "sample"):
        for folder in (copy / "tiny" / stage).glob("*seed=0-*"):
            shutil.rmtree(folder)
    assert run("merge", "study=tiny", "from=theirs") == 1
    out = capsys.readouterr().out
    assert f"wrong: {linked.relative_to(tmp_path)}: a link" in out
    assert "sample" in out and "no valid manifest" in out
    taken = next((copy / "tiny" / "train").glob("*seed=0-*"))
    assert artifacts.is_complete(taken) and artifacts.damage(taken) == []
    assert sorted(p.name for p in taken.iterdir()) == [
        "config.yaml",
        "curves.csv",
        "manifest.json",
        "weights.safetensors",
    ]
    # the calibrated model's, which is sound, and not the linked one
    assert len(list((copy / "tiny" / "encode").glob("*seed=0-*"))) == 1
    assert not [p for p in copy.rglob("*") if p.is_symlink() and "wandb" not in p.parts]
    assert not [p for p in copy.rglob("*") if p.is_file() and p.read_bytes() == b"secret"]


def test_merge_takes_no_folder_that_no_study_has(copy, theirs, run, capsys):
    """A folder named as a pattern would match a model's folder here and replace it."""
    victim = next((copy / "tiny" / "train").glob("*seed=0-*"))
    theirs_train = theirs / "tiny" / "train"
    for name in ("x-*", "x-[0-9]*", "x-..", "x y-01234567"):
        with artifacts.publish(theirs_train / name, "key") as directory:
            (directory / "weights.safetensors").write_bytes(b"others")
    with artifacts.publish(theirs / "tiny" / "strange" / "x-01234567", "key") as directory:
        (directory / "a").write_bytes(b"others")
    os.remove(victim / "curves.csv")  # damaged: it would be replaced
    assert run("merge", "study=tiny", "from=theirs") == 1
    assert capsys.readouterr().out.count("no artifact of a study") == 5
    assert artifacts.is_complete(victim)
    assert b"others" not in (victim / "weights.safetensors").read_bytes()
    assert not (copy / "tiny" / "strange").exists()


def test_a_record_does_not_say_what_leaves_the_machine(copy, run):
    def change(record: dict[str, Any]) -> None:
        record["config"]["tracking"] = {
            "mode": "online",
            "project": "theirs",
            "entity": "them",
            "group": None,
        }
        record["config"]["output_root"] = "/nowhere"
        record["config"]["data"]["root"] = "/nowhere"
        record["config"]["hydra"] = {"job": {"chdir": True}}

    rewrite(copy, change)
    shutil.rmtree(copy / "tiny" / "report")
    runs = sorted((copy / "tiny").glob("wandb/*"))
    assert run("report", "study=tiny", "tracking=off") == 0
    assert sorted((copy / "tiny").glob("wandb/*")) == runs
    page = (copy / "tiny" / "report" / "report.html").read_text(encoding="utf-8")
    assert "/nowhere" not in page and "theirs" not in page
    assert "data.root" not in (copy / "tiny" / "report" / "results.csv").read_text(encoding="utf-8")


def test_a_store_holds_what_lies_in_it(tmp_path):
    store = Store(tmp_path / "outputs")
    (store.root / "a" / "b").mkdir(parents=True)
    (store.root / "link").symlink_to(tmp_path)
    (store.root / "a" / "file").symlink_to(__file__)
    assert store.holds(store.root / "a" / "b") and store.holds(store.root / "a" / "new")
    assert not store.holds(store.root / "link") and not store.holds(store.root / "link" / "x")
    assert not store.holds(store.root / "a" / "file")
    assert not store.holds(store.root / "a" / ".." / "a") and not store.holds(tmp_path)
    # the store itself may be a link: it is the user's own
    other = tmp_path / "mine"
    other.symlink_to(store.root)
    assert Store(other).holds(other / "a" / "b")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../b", "a//b", "./a", "", ".", "a/", "a\0b"], ids=repr
)
def test_a_manifest_names_files_of_its_own(tmp_path, name):
    with artifacts.publish(tmp_path / "a", "key") as directory:
        (directory / "x").write_bytes(b"x")
    file = tmp_path / "a" / artifacts.MANIFEST
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest["files"][name] = {"sha256": "0", "bytes": 1}
    file.write_text(json.dumps(manifest), encoding="utf-8")
    assert artifacts.read_manifest(tmp_path / "a") is None
    assert not artifacts.is_complete(tmp_path / "a")


def test_configurations_are_read_as_data(tmp_path):
    """A model's config.yaml is read by the loader that makes plain values alone."""
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load("!!python/object/apply:os.mkdir [unpickled]")

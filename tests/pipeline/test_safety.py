"""Studies that come from elsewhere are data: nothing in them is called, and no path leads out of the store."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_study import EXTRA, TINY, content, model, models, results, shelf

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf
from priorgap.pipeline.store.layout import Store, read_record, sealed
from priorgap.pipeline.store.records import FOLDER

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


def rewrite(outputs: Path, change: Callable[[dict[str, Any]], object], *, study: str = "tiny") -> None:
    """Write the records of a study anew as an attacker would, who knows how checksums are made."""
    files = sorted((outputs / study / FOLDER).glob("*.json"))
    assert files
    for file in files:
        record = read_record(file)
        assert record is not None
        change(record)
        artifacts.save_json(file, sealed(record))


class Evil:
    """Unpickled, it writes a file."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


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
        "_target_": "priorgap.pipeline.sweep.engines.processes.subprocess.call",
        "args": ["mkdir", "unpickled"],
    },
    "process": {"_target_": "priorgap.core.artifacts.shutil.rmtree", "path": "precious"},
    "nested": {
        "_target_": "priorgap.samplers.PerClass",
        "base": {"_target_": "sklearn.datasets.clear_data_home", "data_home": "precious"},
    },
}


@pytest.mark.parametrize("node", NODES, ids=str)
def test_no_command_calls_what_a_record_names(copy, theirs, run, node, capsys):
    """In any place of a record: none is refused, so a call from one of them is seen whatever the others hold."""
    Path("evil.ckpt").write_bytes(pickle.dumps(Evil()))
    Path("precious").mkdir()

    def change(record: dict[str, Any]) -> None:
        config = record["config"]
        config["data"]["source"] = NODES[node]
        config["model"] = {**NODES[node], "latent_dim": 3}
        for group in ("samplers", "metrics", "feature_spaces"):
            config[group][next(iter(config[group]))] = NODES[node]

    rewrite(theirs, change)
    rewrite(copy, change)
    before, table = content(copy.parent), (copy / "tiny/report/results.csv").read_bytes()
    for command in STORE_COMMANDS:
        assert run(*command) == 0
    # a report shows the configuration as text, and computes nothing from it
    assert run("report", "study=tiny", "tracking=off") == 0
    assert (copy / "tiny/report/results.csv").read_bytes() == table
    assert Path("precious").is_dir() and not Path("unpickled").exists()
    assert content(copy.parent) == before


@pytest.mark.parametrize("node", NODES, ids=str)
@pytest.mark.parametrize("group", ["model", "likelihood", "prior", "loss"])
def test_generate_calls_nothing_that_a_model_names(copy, run, node, group, capsys):
    """The configuration beside the weights, with a manifest that was made for it."""
    Path("evil.ckpt").write_bytes(pickle.dumps(Evil()))
    Path("precious").mkdir()
    folder = copy / "tiny/train" / model(copy.parent).id
    known = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    known["config"][group] = {**NODES[node], "latent_dim": 3, "hidden": [16]}
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name != artifacts.MANIFEST}
    files["config.yaml"] = yaml.safe_dump(known).encode()
    with artifacts.publish(folder, "key") as directory:
        for name, written in files.items():
            (directory / name).write_bytes(written)
    order = ("study=tiny", f"model_id={model(copy.parent).id}", "sampler=prior", "n=3", "out=x.npz")
    assert run("generate", *order) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and NODES[node]["_target_"] in err, err
    assert Path("precious").is_dir() and not Path("unpickled").exists()


def test_the_attack_works_where_it_is_not_stopped(tmp_path, monkeypatch):
    """The pickle of the test above is one that does harm."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Evil()))  # noqa: S301
    assert Path("unpickled").is_dir()


@pytest.mark.parametrize("study", ["../../docs", "../docs", "/etc", "data", "other", "", None, 3, ["tiny"]])
def test_a_record_of_another_study_is_damage(copy, run, capsys, study):
    (copy.parent.parent / "docs").mkdir(exist_ok=True)
    docs = copy.parent / "docs"
    docs.mkdir()
    (docs / "report").mkdir()
    (docs / "report" / "index.md").write_text("precious", encoding="utf-8")
    before = content(copy.parent)

    def change(record: dict[str, Any]) -> None:
        record["config"]["study"] = study

    def change_all(record: dict[str, Any]) -> None:
        record["study"] = record["config"]["study"] = study

    for made, words in ((change, "its configuration is of study="), (change_all, "")):
        rewrite(copy, made)
        capsys.readouterr()
        assert run("ls", "study=tiny") == 1
        err = capsys.readouterr().err
        assert "left out: the command that made it writes it again" in err and words in err
        assert run("verify") == 1
        capsys.readouterr()
        # what the study needs cannot be told, so nothing of it is offered
        assert run("gc", "--yes") == 2
        err = capsys.readouterr().err
        assert f"priorgap: outputs/tiny/{FOLDER}/" in err and words in err
        assert run("report", "study=tiny", "tracking=off") == 2
        assert "nothing has been run in it" in capsys.readouterr().err
        assert (docs / "report" / "index.md").read_text(encoding="utf-8") == "precious"
        assert content(copy.parent) == before


def test_the_studys_own_command_writes_its_records_again(copy, run, capsys):
    rewrite(copy, lambda record: record["config"].update(study="../docs"))
    assert run("ls", "study=tiny") == 1
    assert run("run", "-m", *MODELS, "study=tiny", "tracking=off") == 0
    capsys.readouterr()
    assert run("gc") == 0 and "0 things" in capsys.readouterr().out


def steps_of(record: dict[str, Any], kind: str) -> list[list[Any]]:
    """The steps of one stage of a record's first model: kind, path, and what they are about."""
    return [step for step in record["models"][0]["steps"] if step[0] == kind]


def moved(kind: str, path: object) -> Callable[[dict[str, Any]], object]:
    """A change of a record: one of its results stands elsewhere."""
    return lambda record: steps_of(record, kind)[0].__setitem__(1, path)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "sampler": (moved("sample", "tiny/sample/00000000/../../../docs"), "not a place of sample in study=tiny"),
    "metric": (moved("measure", "tiny/measure/00000000/prior//etc"), "left out"),
    "outside": (moved("train", "../docs/report"), "../docs/report: not a place of train in study=tiny"),
    "absolute": (moved("train", "/etc/passwd"), "/etc/passwd: not a place of train"),
    "the study": (moved("train", "tiny"), "tiny: not a place of train"),
    "the stage": (moved("train", "tiny/train"), "tiny/train: not a place of train"),
    "another stage": (moved("train", "tiny/encode/00000000"), "not a place of train"),
    "another study": (moved("train", "other/train/00000000"), "not a place of train"),
    "the report": (moved("train", "tiny/report"), "not a place of train"),
    "data": (moved("prepare", "data/../x"), "not a place of prepare"),
    "all data": (moved("prepare", "data"), "data: not a place of prepare"),
    "hidden": (moved("train", "tiny/train/.partial-01234567-x"), "not a place of train"),
    "a pattern": (moved("train", "tiny/train/x-*"), "not a place of train"),
    "a set": (moved("train", "tiny/train/x-[0-9]*"), "not a place of train"),
    "a space": (moved("train", "tiny/train/x y"), "not a place of train"),
    "a number": (moved("train", 3), "not whole"),
    "no stage": (lambda r: r["models"][0]["steps"][0].__setitem__(0, "docs"), "not a place of docs"),
    "a list of a stage": (lambda r: r["models"][0]["steps"][0].__setitem__(0, []), "not whole"),
    "a list of a sampler": (lambda r: steps_of(r, "sample")[0].__setitem__(3, ["x"]), "what it is about is no text"),
    "no steps": (lambda r: r["models"][0].pop("steps"), "not whole (KeyError"),
    "no training": (lambda r: r["models"][0].update(steps=[]), "no training"),
    "no id": (lambda r: r["models"][0].update(id=3), "expected the id"),
    "a text of a seed": (lambda r: r["models"][0].update(seed="0"), "expected whether"),
    "more than a model has": (lambda r: r["models"][0].update(more=3), "not whole (TypeError"),
    "no group": (lambda r: r["config"].pop("verdict"), "not whole (KeyError"),
    "no verdict": (lambda r: r["config"].update(verdict={"measure": "../x"}), "verdict."),
    "a list": (lambda r: r["config"].update(data=["prior", "..", 3]), "data=["),
    "configuration": (lambda r: r.update(config=[]), "no mapping"),
    "another model": (lambda r: r.update(train_id="00000000"), "names study=tiny and model 00000000"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES, ids=str)
def test_names_in_a_record_are_names(copy, theirs, run, capsys, case):
    change, words = CHANGES[case]
    for outputs in (copy, theirs):
        rewrite(outputs, change)
    before = content(copy.parent)
    assert run("ls", "study=tiny") == 1
    err = capsys.readouterr().err
    assert words in err and err.count("left out") == 2
    assert run("verify") == 1
    assert capsys.readouterr().out.count("writes its record again") == 2
    assert run("gc", "--yes") == 2
    for file in (copy / "tiny" / FOLDER).glob("*.json"):
        file.unlink()
    capsys.readouterr()
    assert run("merge", "study=tiny", "from=theirs") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and (words in err or words == "left out")
    assert not list((copy / "tiny" / FOLDER).glob("*.json"))
    assert content(copy.parent) == before


SEEN = """
import json, sys
from priorgap.pipeline import cli
statuses = []
for command in json.loads(sys.argv[1]):
    try:
        cli.main(command)
    except SystemExit as error:
        statuses.append(error.code)
    print("-----")
json.dump({"statuses": statuses, "modules": sorted(sys.modules)}, open(sys.argv[2], "w"))
"""
HEAVY = (
    "torch",
    "sklearn",
    "scipy",
    "pandas",
    "pytorch_lightning",
    "torchmetrics",
    "wandb",
    "hydra",
    "matplotlib",
)


def test_commands_on_a_store_import_neither_torch_nor_what_records_name(copy, theirs, tmp_path):
    """With results to take, damage to find and garbage to remove."""
    one = model(tmp_path)
    shelf(tmp_path, "measure", one.id).remove(["prior/fid@classifier"])
    shelf(tmp_path, "sample", one.id).put("dropped", "key", {}, {"z": torch.zeros(3)}, {})
    for name in ("01234567", "12345678"):
        shutil.copytree(copy / "tiny/train" / one.id, copy / "tiny/train" / name)
    shutil.rmtree(copy / "tiny/encode" / one.id)
    commands = [*STORE_COMMANDS, ("verify", "study=tiny"), ("ls", "study=tiny"), ("ls", "study=nope")]
    order = [sys.executable, "-c", SEEN, json.dumps(commands), "seen.json"]
    done = subprocess.run(order, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads((tmp_path / "seen.json").read_text())
    assert found["statuses"] == [0, 0, 0, 0, 0, 0, 0, 0, 2]
    said = done.stdout.split("-----")
    assert " incomplete " in said[1] and "would be removed: " in said[3] and "\nremoved: " in said[4]
    assert ": 2 results and 0 records taken" in said[5]
    assert " incomplete " not in said[7]
    record = read_record(copy / "tiny" / FOLDER / f"{one.train_id}.json")
    assert record is not None
    named = {target.rpartition(".")[0] for target in targets(record["config"])}
    assert named == {
        f"priorgap.{room}"
        for room in ("data", "features", "metrics", "models", "priors", "samplers", "training")
    }
    modules = set(found["modules"])
    assert not {*HEAVY, *named} & modules
    rooms = (
        "models",
        "metrics",
        "samplers",
        "training",
        "data",
        "priors",
        "estimators",
        "features",
        "plugins",
    )
    assert not [name for name in modules if name.split(".")[:2] in [["priorgap", room] for room in rooms]]


def targets(node: Any) -> Iterator[str]:
    """Every class that a configuration names."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def test_a_changed_record_is_seen_by_its_checksum(copy, run, capsys):
    file = sorted((copy / "tiny" / FOLDER).glob("*.json"))[0]
    text = file.read_text(encoding="utf-8")
    assert '"n_samples": 80' in text
    file.write_text(text.replace('"n_samples": 80', '"n_samples": 81'), encoding="utf-8")
    assert run("ls", "study=tiny") == 1
    assert "cannot be read, or was changed; left out" in capsys.readouterr().err
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
        draws = outputs / "tiny" / "sample"
        (draws / model(copy.parent).id / "linked").symlink_to(outside / "page")
        (draws / "00000000").symlink_to(draws / model(copy.parent).id)
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
    known = model(copy.parent).id
    trained, encoded = (theirs / "tiny" / stage / known for stage in ("train", "encode"))
    entry = {"sha256": artifacts.file_digest(secret), "bytes": secret.stat().st_size}
    # a link that the manifest lists, one that it does not, and a file that is not listed
    (trained / "more").symlink_to(secret)
    (trained / "unlisted.txt").write_text("x", encoding="utf-8")
    linked = encoded / "linked.txt"
    linked.symlink_to(secret)
    manifest = json.loads((encoded / artifacts.MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["linked.txt"] = entry
    artifacts.save_json(encoded / artifacts.MANIFEST, manifest)
    # a shelf whose tensors are a file outside: by its name, and by a link
    span = {"file": "../../../../secret", "offset": 0, "n_bytes": entry["bytes"], "sha256": entry["sha256"]}
    respan(theirs / "tiny/sample" / known, "prior", span)
    other = theirs / "tiny/sample" / model(copy.parent, seed=1).id
    (other / "tensors-01234567.pack").symlink_to(secret)
    respan(other, "prior", {**span, "file": "tensors-01234567.pack"})
    # a folder of results that is a link, and one of a file that a manifest names by its place outside
    calibrated = theirs / "tiny/calibrate" / model(copy.parent, calibrated=True).id
    shutil.move(calibrated, tmp_path / "elsewhere")
    calibrated.symlink_to(tmp_path / "elsewhere")
    outside = theirs / "tiny/train" / model(copy.parent, seed=1).id
    manifest = json.loads((outside / artifacts.MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["../../../../secret"] = entry
    artifacts.save_json(outside / artifacts.MANIFEST, manifest)
    for stage in ("train", "calibrate", "encode", "sample"):
        for one in models(copy.parent):
            if (copy / "tiny" / stage / one.id).is_dir():
                shutil.rmtree(copy / "tiny" / stage / one.id)
    assert run("merge", "study=tiny", "from=theirs") == 1
    out = capsys.readouterr().out
    assert f"wrong: {linked.relative_to(tmp_path)}: a link" in out
    for place in (theirs / "tiny/sample" / known, other):
        assert f"wrong: {place.relative_to(tmp_path)}: prior: " in out
    assert f"left there, it stands behind a link: {calibrated.relative_to(tmp_path)}" in out
    assert f"wrong: {outside.relative_to(tmp_path)}: no valid manifest" in out
    assert "5 results or records are damaged where they come from" in out
    taken = copy / "tiny" / "train" / known
    assert artifacts.is_complete(taken) and artifacts.damage(taken) == []
    assert sorted(p.name for p in taken.iterdir()) == [
        "config.yaml",
        "curves.csv",
        "manifest.json",
        "weights.safetensors",
    ]
    # all others', which are sound, and not the linked one
    assert len(list((copy / "tiny" / "encode").iterdir())) == len(models(copy.parent)) - 1
    for one in (known, other.name):
        here = results(copy / "tiny/sample" / one)
        assert "prior" not in here and "posterior" in here
    assert not [p for p in copy.rglob("*") if p.is_symlink() and "wandb" not in p.parts]
    assert not [p for p in copy.rglob("*") if p.is_file() and b"secret" in p.read_bytes()[-100:]]


def respan(place: Path, name: str, span: dict[str, Any]) -> None:
    """Let a result's tensors stand elsewhere, as an attacker would who knows how checksums are made."""
    file = place / artifacts.MANIFEST
    manifest = artifacts.load_json(file)
    entry = manifest["entries"][name]
    entry["tensors"] = span
    entry["content"] = artifacts.digest([entry["value"], span["sha256"]])
    artifacts.save_json(file, manifest)


def test_nothing_is_written_through_a_link_of_a_shelf(copy, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("precious", encoding="utf-8")
    place = copy / "tiny/sample" / model(copy.parent).id
    span = shelf(copy.parent, "sample", model(copy.parent).id).entries["prior"].span
    (place / span.file).unlink()
    (place / span.file).symlink_to(secret)
    draws = Shelf(place, copy / ".locks")
    assert draws.damage() and not draws.is_sound("prior", draws.entries["prior"].key)
    with pytest.raises(OSError):
        draws.put("more", "key", {}, {"z": torch.zeros(3)}, {})
    assert secret.read_text(encoding="utf-8") == "precious"


def test_merge_takes_no_folder_that_no_study_has(copy, theirs, run, capsys):
    """A folder that no record names is none of the study, whatever its name matches."""
    victim = copy / "tiny" / "train" / model(copy.parent).id
    theirs_train = theirs / "tiny" / "train"
    for name in ("x-*", "x-[0-9]*", "x-..", "x y-01234567", "01234567"):
        with artifacts.publish(theirs_train / name, "key") as directory:
            (directory / "weights.safetensors").write_bytes(b"others")
    with artifacts.publish(theirs / "tiny" / "strange" / "x-01234567", "key") as directory:
        (directory / "a").write_bytes(b"others")
    os.remove(victim / "curves.csv")  # damaged: theirs, which is sound, takes its place
    assert run("merge", "study=tiny", "from=theirs") == 0
    assert ": 1 results and 0 records taken" in capsys.readouterr().out
    assert artifacts.is_complete(victim) and artifacts.damage(victim) == []
    assert b"others" not in (victim / "weights.safetensors").read_bytes()
    assert {p.name for p in (copy / "tiny/train").iterdir()} == {m.train_id for m in models(copy.parent)}
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

"""Shelves: results are whole or absent, one's damage is no other's, and nothing from elsewhere leads out."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf, is_shelf

VALUE = {"rows": [{"measure": "fid", "value": 1.25}], "skipped": None}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A shelf with two results with tensors and one without."""
    shelf = at(tmp_path)
    shelf.put("prior", "k1", VALUE, {"z": torch.arange(6.0).reshape(2, 3)}, {"seconds": 1.0})
    shelf.put("gmm/fid@pixels", "k2", VALUE, {}, {})
    shelf.put("posterior", "k3", None, {"z": torch.ones(4), "label": torch.tensor([1, 2])}, {})
    return shelf


def at(folder: Path) -> Shelf:
    return Shelf(folder / "model", folder / "locks")


def packs(shelf: Shelf) -> list[Path]:
    return sorted(shelf.folder.glob("*.pack"))


def flip(shelf: Shelf, name: str) -> None:
    span = shelf.entries[name].span
    assert span is not None
    with (shelf.folder / span.file).open("r+b") as handle:
        handle.seek(span.offset + span.n_bytes - 1)
        byte = handle.read(1)[0]
        handle.seek(span.offset + span.n_bytes - 1)
        handle.write(bytes([byte ^ 1]))


def edit(shelf: Shelf, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as text, as a disk, a person or another machine may."""
    file = shelf.folder / artifacts.MANIFEST
    manifest = artifacts.load_json(file)
    change(manifest)
    artifacts.write_text(file, json.dumps(manifest))


# -- good ------------------------------------------------------------------------------------------------------


def test_what_was_put_is_read(shelf, tmp_path):
    again = at(tmp_path)
    assert set(again.entries) == {"prior", "posterior", "gmm/fid@pixels"}
    assert again.entries["prior"].value == VALUE and again.entries["posterior"].value is None
    assert torch.equal(again.tensors("prior")["z"], torch.arange(6.0).reshape(2, 3))
    assert set(again.tensors("posterior")) == {"z", "label"} and again.tensors("gmm/fid@pixels") == {}
    assert again.is_sound("prior", "k1") and not again.is_sound("prior", "k2")
    assert not again.is_sound("nothing", "k1")
    assert again.damage() == [] and again.damaged == {}
    assert is_shelf(again.folder)
    assert sorted(p.name for p in again.folder.iterdir()) == sorted(
        [artifacts.MANIFEST, packs(again)[0].name]
    )


def test_content_is_of_value_and_tensors_alone(tmp_path):
    shelf = at(tmp_path)
    shelf.put("a", "k1", {"x": (1, 2)}, {"z": torch.zeros(3)}, {"seconds": 1.0})
    shelf.put("b", "k2", {"x": [1, 2]}, {"z": torch.zeros(3)}, {"seconds": 2.0})
    shelf.put("c", "k1", {"x": [1, 2]}, {"z": torch.ones(3)}, {})
    shelf.put("d", "k1", {"x": [1, 3]}, {"z": torch.zeros(3)}, {})
    content = {name: entry.content for name, entry in shelf.entries.items()}
    assert content["a"] == content["b"] and len(set(content.values())) == 3
    # in the writer's memory as for whoever reads it
    assert shelf.entries["a"] == at(tmp_path).entries["a"]


def test_a_replaced_result_leaves_the_others_alone(shelf, tmp_path):
    before = dict(shelf.entries)
    shelf.put("prior", "k4", {"new": 1}, {"z": torch.full((2,), 7.0)}, {})
    after = at(tmp_path).entries
    assert after["prior"].key == "k4" and torch.equal(shelf.tensors("prior")["z"], torch.full((2,), 7.0))
    assert {n: after[n].content for n in before if n != "prior"} == {
        n: e.content for n, e in before.items() if n != "prior"
    }
    assert at(tmp_path).damage() == []


def test_room_is_used_again(shelf):
    for i in range(50):
        shelf.put("prior", f"k{i}", i, {"z": torch.full((1000,), float(i))}, {})
        (pack,) = packs(shelf)
        # what is live, what the last one replaced, and what the one before that did
        assert pack.stat().st_size < 3 * 4200
    assert torch.equal(shelf.tensors("prior")["z"], torch.full((1000,), 49.0))
    assert shelf.damage() == [] and shelf.entries["posterior"].key == "k3"


def test_what_is_removed_frees_its_room(shelf):
    size = packs(shelf)[0].stat().st_size
    shelf.put("large", "k", None, {"z": torch.zeros(1000)}, {})
    shelf.remove(["large", "unknown"])
    assert "large" not in shelf.entries and packs(shelf)[0].stat().st_size == size
    assert shelf.damage() == []
    shelf.remove(list(shelf.entries))
    assert shelf.entries == {} and packs(shelf) == [] and shelf.damage() == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_tensors_of_any_kind(tmp_path, dtype):
    shelf, tensor = at(tmp_path), torch.ones(3, 4).to(dtype).t()
    shelf.put("a", "k", None, {"t": tensor, "none": torch.zeros(0, 5)}, {})
    found = shelf.tensors("a")
    assert found["t"].dtype == dtype and torch.equal(found["t"], tensor) and found["none"].shape == (0, 5)


# -- degenerate ------------------------------------------------------------------------------------------------


def test_a_shelf_that_is_not_there_is_empty_and_reading_makes_none(tmp_path):
    shelf = at(tmp_path)
    assert shelf.entries == {} and shelf.damaged == {} and shelf.damage() == []
    assert not shelf.is_sound("prior", "k") and not is_shelf(shelf.folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"rows": [float("nan")]}])
def test_no_value_that_json_has_not(shelf, value):
    before = (shelf.folder / artifacts.MANIFEST).read_bytes()
    with pytest.raises(ValueError):
        shelf.put("prior", "k", value, {"z": torch.zeros(3)}, {})
    assert (shelf.folder / artifacts.MANIFEST).read_bytes() == before and shelf.damage() == []


def test_an_artifact_is_no_shelf(tmp_path):
    with artifacts.publish(tmp_path / "model", "key") as directory:
        artifacts.save_json(directory / "a.json", 1)
    assert not is_shelf(tmp_path / "model") and at(tmp_path).entries == {}


def test_a_manifest_is_read_once(shelf, tmp_path, monkeypatch):
    reads: list[str] = []
    original = Path.read_text

    def counted(file: Path, *args: Any, **kwargs: Any) -> str:
        reads.append(file.name)
        return original(file, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", counted)
    for _ in range(3):
        assert set(at(tmp_path).entries) == {"prior", "posterior", "gmm/fid@pixels"}
    assert reads == [artifacts.MANIFEST]
    shelf.put("more", "k", None, {}, {})
    assert "more" in shelf.entries and reads == [artifacts.MANIFEST]  # its writer knows what it wrote
    assert "more" in at(tmp_path).entries and len(reads) == 2  # others see that it has changed


# -- damage ----------------------------------------------------------------------------------------------------


def test_a_flipped_byte_is_one_results_damage(shelf, tmp_path):
    flip(shelf, "prior")
    again = at(tmp_path)
    (line,) = again.damage()
    assert "prior: its tensors' checksum differs" in line
    assert not again.is_sound("prior", "k1") and again.is_sound("posterior", "k3")
    assert again.damage(["posterior", "gmm/fid@pixels"]) == [] and len(again.damage(["prior"])) == 1
    with pytest.raises(ValueError, match="the tensors of prior are damaged"):
        again.tensors("prior")
    # made again, it is as new
    again.put("prior", "k1", VALUE, {"z": torch.arange(6.0).reshape(2, 3)}, {})
    assert again.damage() == [] and again.is_sound("prior", "k1")


def test_a_changed_value_is_one_results_damage(shelf, tmp_path):
    def change(manifest: dict[str, Any]) -> None:
        manifest["entries"]["prior"]["value"]["rows"][0]["value"] = 1.26

    edit(shelf, change)
    again = at(tmp_path)
    assert "prior" not in again.entries and set(again.damaged) == {"prior"}
    assert not again.is_sound("prior", "k1") and again.is_sound("gmm/fid@pixels", "k2")
    assert again.damage(["posterior"]) == [] and len(again.damage(["prior"])) == len(again.damage()) == 1
    again.put("other", "k", None, {}, {})
    assert again.damage() == [] and "prior" not in again.entries


@pytest.mark.parametrize("harm", ["truncate", "empty", "remove"])
def test_tensors_that_lost_their_end(shelf, tmp_path, harm):
    (pack,) = packs(shelf)
    if harm == "remove":
        pack.unlink()
    else:
        pack.write_bytes(pack.read_bytes()[: -7 if harm == "truncate" else 0])
    again = at(tmp_path)
    lost = {"posterior"} if harm == "truncate" else {"posterior", "prior"}
    assert {line.split(": ")[1] for line in again.damage()} == lost
    again.put("new", "k", None, {"z": torch.ones(3)}, {})
    assert torch.equal(again.tensors("new")["z"], torch.ones(3)) and again.is_sound("gmm/fid@pixels", "k2")
    assert not lost & {name for name, e in again.entries.items() if again.is_sound(name, e.key)}
    assert "new" not in str(again.damage())


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 2}', "[" * 100_000, "\xff"])
def test_a_manifest_that_cannot_be_read_is_damage(shelf, tmp_path, text):
    (shelf.folder / artifacts.MANIFEST).write_bytes(text.encode("latin-1"))
    again = at(tmp_path)
    assert again.entries == {} and not is_shelf(again.folder)
    assert again.damage() == again.damage(["prior"]) == [f"{again.folder}: no valid manifest"]
    again.put("prior", "k1", VALUE, {"z": torch.zeros(3)}, {})
    assert set(again.entries) == {"prior"} and again.damage() == [] and len(packs(again)) == 1


SPANS: dict[str, dict[str, Any]] = {
    "a folder above": {"file": "../secret"},
    "an absolute path": {"file": "/etc/passwd"},
    "a path within": {"file": "a/tensors-01234567.pack"},
    "another name": {"file": "manifest.json"},
    "a line more": {"file": "tensors-01234567.pack\n"},
    "no name": {"file": None},
    "before the start": {"offset": -1},
    "a text": {"offset": "0"},
    "a fraction": {"n_bytes": 1.5},
    "a truth": {"n_bytes": True},
    "no checksum": {"sha256": ""},
    "another checksum": {"sha256": "0" * 63 + "G"},
    "more than a span has": {"mode": "w"},
}


@pytest.mark.parametrize("case", SPANS, ids=str)
def test_places_from_elsewhere_are_refused(shelf, tmp_path, case):
    (tmp_path / "secret").write_text("secret")

    def change(manifest: dict[str, Any]) -> None:
        entry = manifest["entries"]["prior"]
        entry["tensors"] |= SPANS[case]
        # whoever makes this knows how checksums are made
        entry["content"] = artifacts.digest([entry["value"], entry["tensors"]["sha256"]])

    edit(shelf, change)
    again = at(tmp_path)
    assert set(again.damaged) == {"prior"} and set(again.entries) == {"posterior", "gmm/fid@pixels"}
    with pytest.raises(ValueError):
        at(tmp_path / "mine").adopt("prior", again)
    assert (tmp_path / "secret").read_text() == "secret"


ENTRIES: dict[str, Any] = {
    "no mapping": 3,
    "a list": [],
    "nothing": {},
    "no provenance": {"key": "k", "value": None, "tensors": None, "content": ""},
    "provenance that is none": {"key": "k", "value": None, "tensors": None, "content": "", "provenance": 3},
    "seconds that are none": {
        "key": "k", "value": None, "tensors": None, "provenance": {"seconds": "x"},
        "content": artifacts.digest([None, None]),
    },
    "a span that is none": {"key": "k", "value": None, "tensors": [1], "content": "", "provenance": {}},
}  # fmt: skip


@pytest.mark.parametrize("case", ENTRIES, ids=str)
def test_results_from_elsewhere_are_checked(shelf, tmp_path, case):
    edit(shelf, lambda manifest: manifest["entries"].update(prior=ENTRIES[case]))
    again = at(tmp_path)
    assert set(again.damaged) == {"prior"} and again.is_sound("posterior", "k3")


def test_links_are_no_results(shelf, tmp_path):
    secret = tmp_path / "secret"
    (pack,) = packs(shelf)
    pack.rename(secret)
    pack.symlink_to(secret)
    before = secret.read_bytes()
    again = at(tmp_path)
    assert len(again.damage()) == 2 and not again.is_sound("prior", "k1")
    with pytest.raises(OSError):  # nothing is written through it either
        again.put("new", "k", None, {"z": torch.ones(3)}, {})
    assert secret.read_bytes() == before
    manifest = again.folder / artifacts.MANIFEST
    manifest.rename(tmp_path / "elsewhere.json")
    manifest.symlink_to(tmp_path / "elsewhere.json")
    assert again.entries == {} and not is_shelf(again.folder)
    assert again.damage() == [f"{again.folder}: no valid manifest"]


def test_a_place_far_beyond_the_end_makes_no_hole(shelf, tmp_path):
    def change(manifest: dict[str, Any]) -> None:
        manifest["entries"]["prior"]["tensors"]["offset"] = 10**15

    edit(shelf, change)
    again = at(tmp_path)
    again.put("new", "k", None, {"z": torch.ones(3)}, {})
    assert sum(pack.stat().st_size for pack in packs(again)) < 10_000
    assert torch.equal(again.tensors("new")["z"], torch.ones(3)) and again.is_sound("posterior", "k3")


# -- another store's ---------------------------------------------------------------------------------------------


def test_adopted_results_are_as_they_were(shelf, tmp_path):
    mine = at(tmp_path / "mine")
    mine.put("own", "k", 1, {"z": torch.ones(2)}, {})
    for name in shelf.entries:
        mine.adopt(name, shelf)
    assert mine.entries["prior"].provenance == {"seconds": 1.0} and mine.is_sound("prior", "k1")
    assert {n: mine.entries[n].content for n in shelf.entries} == {
        n: e.content for n, e in shelf.entries.items()
    }
    assert torch.equal(mine.tensors("posterior")["label"], torch.tensor([1, 2])) and mine.is_sound("own", "k")
    flip(shelf, "prior")
    for name in ("prior", "nothing"):
        with pytest.raises(ValueError, match="not there, or damaged"):
            mine.adopt(name, shelf)
    assert mine.is_sound("prior", "k1") and set(mine.entries) == {*shelf.entries, "own"}


# -- killed, full, at once -----------------------------------------------------------------------------------------


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def half_appended() -> None:
    opened = os.fdopen

    class Half:
        """A file whose writer is killed within a write."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> "Half":
            return self

        def __exit__(self, *_: object) -> None: ...

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, content: bytes) -> None:
            self.file.write(content[:50])
            self.file.flush()
            die()

    os.fdopen = lambda handle, how: opened(handle, how) if how == "rb" else Half(opened(handle, how))  # type: ignore


def before_old_tensors_are_removed() -> None:
    original = Path.unlink
    Path.unlink = lambda file, **how: die() if file.suffix == ".pack" else original(file, **how)  # type: ignore


# what makes a process die at a moment
MOMENTS: dict[str, Callable[[], object]] = {
    "appended, no manifest": lambda: setattr(artifacts, "write_text", die),
    "half appended": half_appended,
    "manifest written, not renamed": lambda: setattr(Path, "replace", die),
    "manifest renamed, old tensors there": before_old_tensors_are_removed,
}


def killed(folder: Path, moment: str, name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Put a result in a process of its own that is killed meanwhile."""

    def work() -> None:
        MOMENTS[moment]()
        at(folder).put(name, "k", 1, tensors, {})

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("moment", [m for m in MOMENTS if "old tensors" not in m])
def test_killed_while_putting(shelf, tmp_path, moment):
    before = {name: entry.content for name, entry in shelf.entries.items()}
    size = packs(shelf)[0].stat().st_size
    killed(tmp_path, moment, "new", {"z": torch.ones(8)})
    again = at(tmp_path)
    assert {name: entry.content for name, entry in again.entries.items()} == before
    assert again.damage() == []
    assert packs(again)[0].stat().st_size > size  # it did leave something
    again.put("new", "k", 1, {"z": torch.ones(8)}, {})
    ends = [e.span.offset + e.span.n_bytes for e in again.entries.values() if e.span is not None]
    assert packs(again)[0].stat().st_size == max(ends) and again.damage() == []
    assert not list(again.folder.glob(".partial-*"))


@pytest.mark.parametrize("moment", ["appended, no manifest", "manifest renamed, old tensors there"])
def test_killed_while_tensors_are_rewritten(shelf, tmp_path, moment):
    shelf.put("large", "k", 0, {"z": torch.zeros(1000)}, {})
    killed(tmp_path, moment, "large", {})
    again = at(tmp_path)
    replaced = moment == "manifest renamed, old tensors there"
    assert again.entries["large"].value == (1 if replaced else 0) and again.damage() == []
    assert len(packs(again)) == 2
    again.put("large", "k", 1, {}, {})
    assert len(packs(again)) == 1 and again.damage() == [] and again.is_sound("posterior", "k3")


def test_a_full_disk_leaves_what_was_there(shelf, tmp_path, monkeypatch):
    before = (shelf.folder / artifacts.MANIFEST).read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for tensors in ({"z": torch.ones(8)}, {}):
            with pytest.raises(OSError, match="No space left"):
                shelf.put("new", "k", 1, tensors, {})
    assert (shelf.folder / artifacts.MANIFEST).read_bytes() == before
    assert "new" not in shelf.entries and shelf.damage() == []
    assert not list(shelf.folder.glob(".partial-*"))
    shelf.put("new", "k", 1, {"z": torch.ones(8)}, {})
    assert shelf.is_sound("new", "k")


def write_many(folder: Path, who: int, n: int) -> None:
    shelf = at(folder)
    for i in range(n):
        shelf.put(f"{who}/{i}", f"{who}", i, {"z": torch.full((50,), float(1000 * who + i))}, {})
        shelf.put(f"{who}/again", f"{who}", i, {"z": torch.full((400,), float(i))}, {})


def test_writers_in_two_processes_lose_nothing_and_readers_see_no_damage(tmp_path):
    n = 25
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path, who, n)) for who in (1, 2)]
    for writer in writers:
        writer.start()
    shelf, reads = at(tmp_path), 0
    # replaced results are rewritten again and again meanwhile
    while any(writer.is_alive() for writer in writers):
        for name in list(shelf.entries):
            tensors = shelf.tensors(name)["z"]
            assert len(set(tensors.tolist())) == 1
            reads += 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert reads > 0 and shelf.damage() == []
    expected = {f"{who}/{i}" for who in (1, 2) for i in (*range(n), "again")}
    assert set(shelf.entries) == expected
    for who in (1, 2):
        for i in range(n):
            assert torch.equal(shelf.tensors(f"{who}/{i}")["z"], torch.full((50,), float(1000 * who + i)))
        assert shelf.entries[f"{who}/again"].value == n - 1
    assert len(packs(shelf)) == 1

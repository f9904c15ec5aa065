"""Errands without a cluster: data come once, a job leaves nothing behind, and what comes back is checked."""

import os
import shutil
from functools import partial
from pathlib import Path

import fake_cells
import pytest
from tiny_study import content, flip

from priorgap.pipeline.store import packs
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.receiving import Refused
from priorgap.pipeline.sweep import node_folder
from priorgap.pipeline.sweep.exchange import exchanging
from priorgap.pipeline.sweep.node_folder import Answer

CELL, OTHER = fake_cells.cells(2, 5_000)


class Wire:
    """Carries bytes as a cluster does, and counts."""

    def __init__(self) -> None:
        self.sent, self.fetched = 0, 0

    def send(self, content: bytes):
        self.sent += 1

        def fetch() -> bytes:
            self.fetched += 1
            return content

        return fetch


def node() -> str:
    return "node0"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    """Jobs move the process about."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path) -> Store:
    return fake_cells.prepare(tmp_path / "apart/outputs")


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def exchange(store, tmp_path, wire):
    (tmp_path / "nodes").mkdir()
    with exchanging(store, wire, node, str(tmp_path / "nodes")) as found:
        yield found


def errand(exchange, cell=CELL, compute=None):
    return exchange.errand(cell.steps(), [fake_cells.DATA], compute or partial(fake_cells.compute, cell=cell))


def held(tmp_path: Path) -> list[str]:
    """What a node's folder holds beside locks, below what was shipped."""
    return sorted(p.name for p in (tmp_path / "nodes").glob("*/*/*") if p.is_dir())


def test_results_are_those_of_one_process_and_the_node_keeps_none(exchange, wire, tmp_path):
    fake_cells.prepare(tmp_path / "alone/outputs")
    for cell in (CELL, OTHER):
        fake_cells.compute(tmp_path / "alone/outputs", cell)
        found = errand(exchange, cell)()
        with exchange.received(found, cell.id, cell.steps()):
            pass
        assert exchange.is_done(cell.id, cell.steps())
    assert content(tmp_path / "apart", "fakes") == content(tmp_path / "alone", "fakes")
    assert (wire.sent, wire.fetched) == (1, 1)
    assert not any(p.name == "weights.bin" for p in (tmp_path / "nodes").rglob("*"))
    assert list((tmp_path / "apart/outputs/.incoming").iterdir()) == []
    node_folder.Tidy(str(tmp_path / "nodes"))(node())
    assert held(tmp_path) == []


def test_what_is_there_goes_along_and_does_not_come_back(exchange, store, tmp_path):
    fake_cells.compute(store.root, CELL)
    before = content(tmp_path / "apart", "fakes")
    place = store.root / "fakes/measure" / CELL.id
    shutil.rmtree(place)

    def compute(root: Path) -> str:
        assert (root / "fakes/train" / CELL.id / "weights.bin").is_file()
        return fake_cells.compute(root, CELL)

    found = errand(exchange, compute=compute)()
    names = packs.unpack(found.pack, tmp_path / "seen", sync=False)
    assert {name.split("/")[1] for name in names} == {"measure"}
    with exchange.received(found, CELL.id, CELL.steps()):
        pass
    assert content(tmp_path / "apart", "fakes") == before


def test_a_damaged_result_is_made_again(exchange, store, tmp_path):
    fake_cells.compute(store.root, CELL)
    before = content(tmp_path / "apart", "fakes")
    flip(store.root / "fakes/train" / CELL.id / "weights.bin", 7)
    assert not exchange.is_done(CELL.id, CELL.steps())
    with exchange.received(errand(exchange)(), CELL.id, CELL.steps()):
        pass
    assert content(tmp_path / "apart", "fakes") == before
    assert exchange.is_done(CELL.id, CELL.steps())


def test_results_of_other_inputs_are_refused(exchange, store):
    def compute(root: Path) -> str:
        return fake_cells.compute(root, CELL)

    found = errand(exchange, compute=compute)()
    # the data of the command changed meanwhile: what was computed has another key than it must have
    data = store.path(fake_cells.DATA)
    shutil.rmtree(data)
    write = fake_cells.Files(lambda folder: (folder / "rows.bin").write_bytes(b"other rows"))
    store.publish(fake_cells.DATA, "other", write, seed=0, seconds=0.0)
    with (
        pytest.raises(Refused, match="other inputs or by other code"),
        exchange.received(found, CELL.id, CELL.steps()),
    ):
        pass
    assert not (store.root / "fakes").exists()


def test_what_was_not_asked_for_is_left(exchange, store):
    def compute(root: Path) -> str:
        fake_cells.compute(root, OTHER)
        return fake_cells.compute(root, CELL)

    found = errand(exchange, compute=compute)()
    both = Answer("", packs_of(found, exchange, store))
    with exchange.received(both, CELL.id, CELL.steps()):
        pass
    assert [p.name for p in (store.root / "fakes/train").iterdir()] == [CELL.id]


def packs_of(found: Answer, exchange, store) -> bytes:
    """A pack that holds another model's results too."""
    root = store.root.parent / "both"
    packs.unpack(found.pack, root, sync=False)
    other = fake_cells.prepare(store.root.parent / "other")
    fake_cells.compute(other.root, OTHER)
    shutil.copytree(other.root / "fakes/train" / OTHER.id, root / "fakes/train" / OTHER.id)
    return packs.pack([p.parent for p in root.rglob("manifest.json")], root)


def test_a_changed_byte_on_the_way_is_found(exchange, store):
    found = errand(exchange)()
    changed = bytearray(found.pack)
    changed[len(changed) // 2] ^= 1
    with pytest.raises(ValueError), exchange.received(Answer("", bytes(changed)), CELL.id, CELL.steps()):
        pass
    assert not (store.root / "fakes").exists()


def test_data_that_change_on_the_way_are_not_used(store, tmp_path):
    class Noisy(Wire):
        def send(self, content: bytes):
            return lambda: content[:-1] + b"x"

    with exchanging(store, Noisy(), node, str(tmp_path)) as exchange:
        job = errand(exchange)
    with pytest.raises(ValueError, match="did not arrive as they were sent"):
        job()


def test_a_job_that_fails_or_is_killed_leaves_room(exchange, tmp_path):
    def fail(root: Path) -> None:
        (root / "half").mkdir()
        raise MemoryError

    with pytest.raises(MemoryError):
        errand(exchange, compute=fail)()
    (jobs,) = (tmp_path / "nodes").glob("*/*/jobs")
    assert list(jobs.iterdir()) == []
    killed = jobs / "999999999"
    (killed / "outputs").mkdir(parents=True)
    errand(exchange)()
    assert list(jobs.iterdir()) == []


def test_a_folder_of_somebody_else_is_refused(exchange, tmp_path):
    place = tmp_path / "nodes" / f"priorgap-{os.getuid()}-node0"
    (tmp_path / "theirs").mkdir()
    place.symlink_to(tmp_path / "theirs")
    with pytest.raises(ValueError, match="a folder of this user's own"):
        errand(exchange)()
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_node_without_a_file_that_it_must_have_says_so(exchange, tmp_path):
    file = tmp_path / "network.onnx"
    file.write_bytes(b"x")
    wanted = {str(file): "0" * 64}
    job = exchange.errand(CELL.steps(), [fake_cells.DATA], partial(fake_cells.compute, cell=CELL), wanted)
    with pytest.raises(ValueError, match=r"network\.onnx: expected the same file on all nodes"):
        job()


def test_files_by_relative_paths_lie_where_the_job_looks(exchange, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/rows.csv").write_text("a,b\n")
    seen = []
    job = exchange.errand(
        CELL.steps(), [fake_cells.DATA], lambda root: seen.append((root.parent / "mine/rows.csv").read_text()),
        {"mine/rows.csv": "0"},
    )  # fmt: skip
    job()
    assert seen == ["a,b\n"]


def test_what_killed_commands_left_in_the_store_is_removed(store, wire):
    left = store.root / ".incoming/elsewhere-1"
    left.mkdir(parents=True)
    with exchanging(store, wire, node, None):
        assert not left.exists()
    with store.locked(left.relative_to(store.root)):
        left.mkdir(parents=True)
        with exchanging(store, wire, node, None):
            assert left.exists()

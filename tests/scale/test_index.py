"""The index is a cache: whatever is wrong with it, no result is hidden and none invented."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import fake_cells
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_study import flip

from priorgap.pipeline.commands import ls
from priorgap.pipeline.store import index, records
from priorgap.pipeline.store.index import Index, Row
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.sweep import exchange as exchanges
from priorgap.pipeline.sweep.exchange import Exchange

CELLS = fake_cells.cells(4, 4_000)


@pytest.fixture(autouse=True)
def small_studies_have_one(monkeypatch) -> None:
    monkeypatch.setattr(exchanges, "Index", partial(Index, least=1))


@pytest.fixture
def store(tmp_path) -> Store:
    """A store with an index of three cells that are done and one that is not."""
    store = fake_cells.prepare(tmp_path / "outputs")
    for cell in CELLS:
        records.write(cell.record(), store)
    for cell in CELLS[:3]:
        fake_cells.compute(store.root, cell)
    assert done(store) == [True, True, True, False]
    return store


def done(store: Store) -> list[bool]:
    """What a new command finds to be there; it writes the index."""
    exchange = Exchange(Store(store.root), None, None, None, store.root / ".incoming/x")  # type: ignore[arg-type]
    found = [exchange.is_done(cell.id, cell.steps()) for cell in CELLS]
    exchange.write_indexes()
    return found


def file_of(store: Store) -> Path:
    return store.study(fake_cells.STUDY) / index.FILE


def place(store: Store, stage: str = "train", cell: int = 0) -> Path:
    return store.study(fake_cells.STUDY) / stage / CELLS[cell].id


def test_what_it_knows_is_not_read_again(store, monkeypatch):
    asked = []
    monkeypatch.setattr(Store, "is_sound", lambda self, step, key: asked.append(step.path.parts[2]) or False)
    assert done(store) == [True, True, True, False]
    assert set(asked) == {CELLS[3].id}


CHANGES: dict[str, Callable[[Store], object]] = {
    "a byte": lambda store: flip(place(store) / "weights.bin", 3),
    "a file is gone": lambda store: (place(store) / "weights.bin").unlink(),
    "a file is cut": lambda store: os.truncate(place(store) / "weights.bin", 10),
    "a folder is gone": lambda store: shutil.rmtree(place(store)),
    "a manifest is gone": lambda store: (place(store, "measure") / "manifest.json").unlink(),
    "tensors are gone": lambda store: next(place(store, "sample").glob("*.pack")).unlink(),
    "the data are gone": lambda store: shutil.rmtree(store.path(fake_cells.DATA)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_result_that_has_changed_is_looked_at(what, store):
    CHANGES[what](store)
    all_of_them = what == "the data are gone"
    assert done(store) == [False, not all_of_them, not all_of_them, False]


def test_a_result_that_has_come_is_found(store):
    fake_cells.compute(store.root, CELLS[3])
    assert done(store) == [True, True, True, True]
    assert done(store) == [True, True, True, True]


def lying(store: Store) -> None:
    """All that anybody could write into a row without looking at files: its checksum is right."""
    rows = pq.read_table(file_of(store)).to_pylist()
    sound = Row.from_parquet(rows[0])
    assert sound is not None
    lies = [
        Row(CELLS[0].id, sound.stamps, "another"),
        Row(CELLS[3].id, {}, sound.signature, (("invented",),)),
        Row(CELLS[2].id, sound.stamps, sound.signature),
    ]
    table = [row.to_parquet() for row in lies]
    pq.write_table(pa.Table.from_pylist(table), file_of(store))


def other_columns(store: Store) -> None:
    pq.write_table(pa.table({"train_id": [1, 2]}), file_of(store))


def other_types(store: Store) -> None:
    names = ("train_id", "signature", "stamps", "lines", "checksum")
    pq.write_table(pa.table({name: pa.array([1, None]) for name in names}), file_of(store))


def linked(store: Store) -> None:
    file = file_of(store)
    file.rename(store.root / "elsewhere")
    file.symlink_to(store.root / "elsewhere")


WRONGS: dict[str, Callable[[Store], object]] = {
    "missing": lambda store: file_of(store).unlink(),
    "empty": lambda store: file_of(store).write_bytes(b""),
    "no Parquet": lambda store: file_of(store).write_text("train_id,signature\n"),
    "cut": lambda store: os.truncate(file_of(store), file_of(store).stat().st_size // 2),
    "a flipped byte": lambda store: flip(file_of(store), file_of(store).stat().st_size // 3),
    "other columns": other_columns,
    "other types": other_types,
    "rows that lie": lying,
    "a link": linked,
}


@pytest.mark.parametrize("what", WRONGS)
def test_a_wrong_index_neither_hides_nor_invents(what, store):
    WRONGS[what](store)
    assert done(store) == [True, True, True, False]
    # and it is made anew
    assert not file_of(store).is_symlink()
    assert len(pq.read_table(file_of(store))) >= 3


def test_the_index_of_another_store_is_none(store, tmp_path):
    other = fake_cells.prepare(tmp_path / "other")
    for cell in CELLS:
        records.write(cell.record(), other)
    shutil.copy(file_of(store), file_of(other))
    assert done(other) == [False] * 4


def test_a_small_study_has_none(store, monkeypatch):
    file_of(store).unlink()
    monkeypatch.setattr(exchanges, "Index", Index)
    assert done(store) == [True, True, True, False]
    assert not file_of(store).exists()


def listed(store: Store, capsys) -> list[str]:
    """What `priorgap ls study=` says of each model."""
    assert ls.main([f"study={fake_cells.STUDY}", f"output_root={store.root}"]) == 0
    return capsys.readouterr().out.splitlines()[1:]


def test_ls_reads_the_index_and_says_what_it_says_without(store, monkeypatch, capsys):
    without = listed(store, capsys)
    assert [line.split()[5] for line in without] == ["complete"] * 3 + ["incomplete"]
    monkeypatch.setattr(ls, "Index", partial(Index, least=1))
    assert listed(store, capsys) == without
    with monkeypatch.context() as patch:
        patch.setattr(ls, "_model", lambda *_: pytest.fail("looked at a model that the index knows"))
        assert listed(store, capsys) == without
    fake_cells.compute(store.root, CELLS[3])
    (place(store, "measure", cell=1) / "manifest.json").unlink()
    assert [line.split()[5] for line in listed(store, capsys)] == ["complete", "incomplete"] + [
        "complete"
    ] * 2
    # what a resume knows is not lost by it
    assert done(store) == [True, False, True, True]


def test_ls_names_a_record_that_cannot_be_read_whatever_the_index_knows(store, monkeypatch, capsys):
    monkeypatch.setattr(ls, "Index", partial(Index, least=1))
    listed(store, capsys)
    flip(records.record_file(store, fake_cells.STUDY, CELLS[1].id), 40)
    assert ls.main([f"study={fake_cells.STUDY}", f"output_root={store.root}"]) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4
    assert CELLS[1].id in said.err

"""`priorgap gc`: what no cell of a study needs, shown first, removed when told to; never what a sweep works on."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from priorgap import artifacts
from priorgap.pipeline import records
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.cli import refusing
from priorgap.pipeline.store import Store, read_record, unless_in_use
from priorgap.pipeline.store_commands import Order, artifacts_under, expected_of, in_words, parse, size

FLAGS = ("--dry-run", "--yes")
_STAGES = ("train", "calibrate", "encode", "sample", "measure")
_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Garbage:
    """Something that nothing needs.

    Attributes:
        path: what it is.
        why: in a few words.
        owner: the artifact or record whose lock its writer would hold.
    """

    path: Path
    why: str
    owner: Path


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        order = parse(arguments, flags=FLAGS)
        if {"--dry-run", "--yes"} <= order.flags:
            raise ValueError("--dry-run --yes: expected one of the two")
        found = list(garbage(order))
    remove = "--yes" in order.flags
    n_bytes, count = 0, 0
    for thing in found:
        if not order.store.holds(thing.path):
            continue  # a link: what it leads to is nobody's here
        with unless_in_use(thing.owner, order.store) as free:
            if not thing.path.exists():
                continue  # its writer has just ended
            measured = size(thing.path) if thing.path.is_dir() else thing.path.stat().st_size
            state = "in use, left alone" if not free else "removed" if remove else "would be removed"
            sys.stdout.write(f"{state}: {thing.path} ({thing.why}, {in_words(measured)})\n")
            count, n_bytes = count + free, n_bytes + measured * free
            if free and remove:
                _remove(thing.path, order.store.root)
    said = "removed" if remove else "to remove; --yes removes them" if count else "to remove"
    sys.stdout.write(f"{count} things, {in_words(n_bytes)} {said}\n")
    return 0


def garbage(order: Order) -> Iterator[Garbage]:
    """Yield what nothing needs: of one study; of all of them, also what no study's data and commands need.

    Raises:
        ValueError: what a study needs cannot be told.
    """
    store = order.store
    shared: set[Path] = set()
    for study in order.studies:
        cells = _cells(store, study)
        needed = {path for cell in cells for path in expected_of(cell, store)}
        shared |= needed
        yield from _of_study(store, study, cells, needed)
    if order.study is None:
        for folder in (store.root / "data", store.root / "reference"):
            yield from _leftovers(folder)
            for path in artifacts_under(folder, store):
                if path not in shared:
                    yield Garbage(path, "no study needs it", path)
        yield from _leftovers(store.root / ".finished")
        for file in sorted((store.root / ".finished").glob("[!.]*.json")):
            known = read_record(file)
            if known is None or not all(Path(path).is_dir() for path in known.get("artifacts", ("",))):
                yield Garbage(file, "a command whose results are gone", file)


def _cells(store: Store, study: str) -> list[Cell]:
    cells = list(records.cells_of(store, study))
    if len(cells) < len(records.cell_files(store, study)):
        raise ValueError(
            f"study={study}: a record in cells/ cannot be read; run the study's command again first, or remove it"
        )
    return cells


def _of_study(store: Store, study: str, cells: Sequence[Cell], needed: set[Path]) -> Iterator[Garbage]:
    folder = store.study(study)
    trained = {c.train_id: store.model(study, "train", c.train_id, c.label) for c in cells}
    for stage in _STAGES:
        yield from _leftovers(folder / stage)
        for path in artifacts_under(folder / stage, store):
            if path not in needed:
                yield Garbage(path, "no cell of the study names it", path)
    for place in sorted((folder / "resume").glob("*")):
        owner = trained.get(place.name.partition("-")[0])
        if owner is None or artifacts.is_complete(owner):
            yield Garbage(place, "a checkpoint of no training that goes on", owner or place)
    for file in sorted((folder / "failed").glob("[!.]*.json")):
        if file.stem not in trained:
            yield Garbage(file, "a failure of no cell of the study", file)
    for place in (folder, folder / "cells", folder / "failed"):
        yield from _leftovers(place, deep=False)
    yield from _leftovers(folder / "tracked", owner=folder / "report")


def _leftovers(folder: Path, *, owner: Path | None = None, deep: bool = True) -> Iterator[Garbage]:
    """Yield what killed writers left; the part of the name after the random one is its artifact's."""
    for place, folders, names in os.walk(folder):
        for name in sorted((*folders, *names)):
            if name.startswith(_PARTIAL):
                published = name[len(_PARTIAL) + 9 :].removeprefix("old-")
                yield Garbage(
                    Path(place) / name, "left by a killed process", owner or Path(place) / published
                )
        folders[:] = [n for n in folders if deep and not n.startswith(_PARTIAL)]


def _remove(path: Path, root: Path) -> None:
    """Remove, and the folders that are then empty."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    for parent in path.parents:
        if parent == root or parent.parent == root or any(parent.iterdir()):
            return
        parent.rmdir()

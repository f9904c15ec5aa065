"""`priorgap gc`: what no cell of a study needs, shown first, removed when told to; never what a sweep works on."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from priorgap import artifacts
from priorgap.core.errors import refusing
from priorgap.core.shelves import Shelf, is_shelf
from priorgap.pipeline.store import records
from priorgap.pipeline.store.folders import count_of, folder_of, results_under
from priorgap.pipeline.store.layout import Store, read_record, unless_in_use
from priorgap.pipeline.store.records import Record
from priorgap.pipeline.store_commands import STAGES, Order, in_words, parse, size

FLAGS = ("--dry-run", "--yes")
_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Garbage:
    """Something that nothing needs.

    Attributes:
        path: what it is.
        why: in a few words.
        owner: the artifact or record whose lock its writer would hold.
        names: of a shelf, the results that are meant; () for all that is there.
    """

    path: Path
    why: str
    owner: Path
    names: tuple[str, ...] = ()


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
            measured = _size(thing, order.store)
            state = "in use, left alone" if not free else "removed" if remove else "would be removed"
            sys.stdout.write(f"{state}: {thing.path} ({thing.why}, {in_words(measured)})\n")
            count, n_bytes = count + free, n_bytes + measured * free
        if free and remove:
            _remove(thing, order.store)
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
        known = [records.read(file) for file in records.files_of(store, study)]
        needed = {step.path: step for record in known for step in record.steps}
        shared |= {folder_of(step, store) for step in needed.values()}
        yield from _of_study(store, study, known, set(needed))
    if order.study is None:
        for folder in (store.root / "data", store.root / "reference"):
            yield from _leftovers(folder)
            for path in results_under(folder, store):
                if path not in shared:
                    yield Garbage(path, "no study needs it", path)
        yield from _leftovers(store.root / ".finished")
        for file in sorted((store.root / ".finished").glob("[!.]*.json")):
            content = read_record(file)
            if content is None or not all(Path(path).is_dir() for path in content.get("artifacts", ("",))):
                yield Garbage(file, "a command whose results are gone", file)


def _of_study(
    store: Store, study: str, known: Sequence[Record], needed: set[PurePosixPath]
) -> Iterator[Garbage]:
    folder = store.study(study)
    trained = {record.train_id: folder / "train" / record.train_id for record in known}
    for stage in STAGES:
        yield from _leftovers(folder / stage)
        for path in results_under(folder / stage, store):
            step_path = PurePosixPath(path.relative_to(store.root).as_posix())
            if step_path in needed:
                continue
            names = [name for name in Shelf(path, store.locks).entries if step_path / name not in needed]
            if not is_shelf(path) or len(names) == count_of(path):
                yield Garbage(path, "no model of the study names it", path)
            elif names:
                yield Garbage(
                    path, f"{len(names)} results that no model of the study names", path, tuple(names)
                )
    for place in sorted((folder / "resume").glob("*")):
        owner = trained.get(place.name.partition("-")[0])
        if owner is None or artifacts.is_complete(owner):
            yield Garbage(place, "a checkpoint of no training that goes on", owner or place)
    for file in sorted((folder / records.FAILED).glob("[!.]*.json")):
        if file.stem not in trained:
            yield Garbage(file, "a failure of no model of the study", file)
    for place in (folder, folder / records.FOLDER, folder / records.FAILED):
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


def _size(thing: Garbage, store: Store) -> int:
    if not thing.names:
        return size(thing.path) if thing.path.is_dir() else thing.path.stat().st_size
    entries = Shelf(thing.path, store.locks).entries
    spans = [entries[name].span for name in thing.names if name in entries]
    return sum(span.n_bytes for span in spans if span is not None)


def _remove(thing: Garbage, store: Store) -> None:
    """Remove, and the folders that are then empty."""
    path, root = thing.path, store.root
    if thing.names:
        Shelf(path, store.locks).remove(thing.names)
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    for parent in path.parents:
        if parent == root or parent.parent == root or any(parent.iterdir()):
            return
        parent.rmdir()

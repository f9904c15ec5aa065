"""`priorgap gc`: lists results that no cell of a study needs, removes them on request, and spares running sweeps."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from priorgap.core import artifacts
from priorgap.core.errors import refusing
from priorgap.core.shelves import Shelf
from priorgap.pipeline.commands.store_arguments import STAGES, Order, in_words, parse, size
from priorgap.pipeline.store import records
from priorgap.pipeline.store.folders import folder_of, results_under
from priorgap.pipeline.store.layout import Store, read_record, unless_in_use
from priorgap.pipeline.store.records import Record

FLAGS = ("--dry-run", "--yes")
_PARTIAL = ".partial-"
# A line names at most this many results.
_SHOWN = 6


@dataclass(frozen=True)
class Garbage:
    """A path that nothing needs.

    Attributes:
        path: the path.
        why: the reason, in a few words.
        owners: the artifacts, records or jobs whose locks would be held by writers of the path.
        names: for a shelf, the names of the results; () for everything at the path.
    """

    path: Path
    why: str
    owners: tuple[Path, ...]
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
            continue  # A link is skipped, because its target may belong to somebody else.
        with _unless_any_in_use(thing.owners, order.store) as free:
            if not thing.path.exists():
                continue  # Its writer has just finished.
            measured = _size(thing, order.store)
            state = "in use, left alone" if not free else "removed" if remove else "would be removed"
            sys.stdout.write(f"{state}: {thing.path} ({thing.why}, {in_words(measured)})\n")
            count, n_bytes = count + free, n_bytes + measured * free
            if free and remove:
                _remove(thing, order.store)
    said = "removed" if remove else "to remove; --yes removes them" if count else "to remove"
    sys.stdout.write(f"{count} things, {in_words(n_bytes)} {said}\n")
    return 0


@contextmanager
def _unless_any_in_use(owners: Sequence[Path], store: Store) -> Iterator[bool]:
    with ExitStack() as held:
        # The lock of each owner is taken in turn, up to the first that is in use.
        yield all(held.enter_context(unless_in_use(owner, store)) for owner in owners)


def garbage(order: Order) -> Iterator[Garbage]:
    """Yield what nothing needs in one study; over all studies also unused shared data and records of commands.

    Raises:
        ValueError: the needs of a study cannot be determined.
    """
    store = order.store
    shared: set[Path] = set()
    for study in order.studies:
        known = [records.read(file) for file in records.files_of(store, study)]
        steps = {step.path: step for record in known for step in record.steps}
        shared |= {folder_of(step, store) for step in steps.values()}
        needed = {place for path in steps for place in (path, *path.parents)}
        yield from _of_study(store, study, known, needed)
    if order.study is None:
        for folder in (store.root / "data", store.root / "reference"):
            yield from _leftovers(folder)
            for path in results_under(folder, store):
                if path not in shared:
                    yield Garbage(path, "no study needs it", (path,))
        yield from _leftovers(store.root / ".finished")
        for file in sorted((store.root / ".finished").glob("[!.]*.json")):
            content = read_record(file)
            if content is None or not all(Path(path).is_dir() for path in content.get("artifacts", ("",))):
                yield Garbage(file, "a command whose results are gone", (file,))


def _of_study(
    store: Store, study: str, known: Sequence[Record], needed: set[PurePosixPath]
) -> Iterator[Garbage]:
    folder = store.study(study)
    trained = {record.train_id: folder / "train" / record.train_id for record in known}
    for stage in STAGES:
        yield from _leftovers(folder / stage)
        for path in results_under(folder / stage, store):
            yield from _unnamed(path, store, needed)
    for place in sorted((folder / "resume").glob("*")):
        owner = trained.get(place.name.partition("-")[0])
        if owner is None or artifacts.is_complete(owner):
            yield Garbage(place, "a checkpoint of no training that goes on", (owner or place,))
    for file in sorted((folder / records.FAILED).glob("[!.]*.json")):
        if file.stem not in trained:
            yield Garbage(file, "a failure of no model of the study", (file,))
    for place in (folder, folder / records.FOLDER, folder / records.FAILED):
        yield from _leftovers(place, deep=False)
    yield from _leftovers(folder / "tracked", owner=folder / "report")


def _unnamed(path: Path, store: Store, needed: set[PurePosixPath]) -> Iterator[Garbage]:
    """Yield a folder of results that no model names, or those results in it that no model names."""
    place = PurePosixPath(path.relative_to(store.root).as_posix())
    if place not in needed:
        # A job holds the lock of the folder or of its own part of it, and the shelf's lock while it publishes.
        entries = Shelf(path, store.locks).entries
        jobs = dict.fromkeys(path / name.partition("/")[0] for name in entries)
        yield Garbage(path, "no model of the study names it", (path, *jobs, path / artifacts.MANIFEST))
        return
    names = [name for name in Shelf(path, store.locks).entries if place / name not in needed]
    if names:
        what = "1 result" if len(names) == 1 else f"{len(names)} results"
        shown = ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])
        jobs = dict.fromkeys(path / name.partition("/")[0] for name in names)
        yield Garbage(path, f"{what} that no model of the study names: {shown}", (path, *jobs), tuple(names))


def _leftovers(folder: Path, *, owner: Path | None = None, deep: bool = True) -> Iterator[Garbage]:
    """Yield what killed writers left; the artifact's name follows the random part of the file name."""
    for place, folders, names in os.walk(folder):
        for name in sorted((*folders, *names)):
            if name.startswith(_PARTIAL):
                published = name[len(_PARTIAL) + 9 :].removeprefix("old-")
                yield Garbage(
                    Path(place) / name, "left by a killed process", (owner or Path(place) / published,)
                )
        folders[:] = [n for n in folders if deep and not n.startswith(_PARTIAL)]


def _size(thing: Garbage, store: Store) -> int:
    if not thing.names:
        return size(thing.path) if thing.path.is_dir() else thing.path.stat().st_size
    entries = Shelf(thing.path, store.locks).entries
    spans = [entries[name].span for name in thing.names if name in entries]
    return sum(span.n_bytes for span in spans if span is not None)


def _remove(thing: Garbage, store: Store) -> None:
    """Remove a path, and folders that become empty."""
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

"""The store: every result by its step, whether in a folder of its own or on a shelf of its model."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf
from priorgap.pipeline.store.provenance import environment

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
# Kinds with many small results, which are stored on a shelf of the model.
SHELVED = ("sample", "measure")
# The path of a shelf's folder has three parts: study, stage, model.
_DEPTH = 3
_CHECKSUM = "checksum"


class Placed(Protocol):
    """A step, or the part of one that a record keeps."""

    @property
    def kind(self) -> str:
        """The stage that makes it."""
        ...

    @property
    def path(self) -> PurePosixPath:
        """Its path under the store."""
        ...


@dataclass(frozen=True)
class Files:
    """A result that is a folder of files; `write` fills a folder that is published as a whole.

    Attributes:
        write: fills the folder.
        provenance: provenance in addition to versions and times.
    """

    write: Callable[[Path], None]
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """A result that is a JSON value with tensors, for a shelf."""

    value: Any
    tensors: "Mapping[str, Tensor]" = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """The facts about a result in its manifest, without reading its files.

    Attributes:
        key: the digest of what it was computed from.
        content: the digest of its content.
        n_bytes: its size, without the manifest.
        provenance: versions, seconds, time of completion.
    """

    key: str
    content: str
    n_bytes: int
    provenance: Mapping[str, Any]


@dataclass(eq=False)
class Store:
    """The output root.

    Attributes:
        root: the folder.
    """

    root: Path
    _shelves: dict[Path, Shelf] = field(default_factory=dict, repr=False)
    _verified: dict[Path, tuple[str, object]] = field(default_factory=dict, repr=False)
    _said: set[str] = field(default_factory=set, repr=False)

    @property
    def locks(self) -> Path:
        """The folder of lock files, which lies outside of all results."""
        return self.root / ".locks"

    def study(self, name: str) -> Path:
        """Return a study's folder."""
        return self.root / name

    def holds(self, path: Path) -> bool:
        """Whether a path is in the store, and neither it nor a folder on the way from the root is a link."""
        try:
            parts = path.relative_to(self.root).parts
        except ValueError:
            return False
        places = (self.root.joinpath(*parts[: i + 1]) for i in range(len(parts)))
        return ".." not in parts and not any(place.is_symlink() for place in places)

    def path(self, step: Placed) -> Path:
        """Return where a result is stored: a folder, or a name on a shelf."""
        return self.root / step.path

    def shelf(self, step: Placed) -> tuple[Shelf, str]:
        """Return the shelf of a result and its name there."""
        parts = step.path.parts
        folder = self.root.joinpath(*parts[:_DEPTH])
        if folder not in self._shelves:
            self._shelves[folder] = Shelf(folder, self.locks)
        return self._shelves[folder], "/".join(parts[_DEPTH:])

    def known(self, step: Placed) -> Known | None:
        """Return the manifest's facts about a result; None where it, or one of its files, is missing."""
        if step.kind in SHELVED:
            shelf, name = self.shelf(step)
            entry = shelf.entries.get(name)
            if entry is None:
                return None
            n_bytes = 0 if entry.span is None else entry.span.n_bytes
            return Known(entry.key, entry.content, n_bytes, entry.provenance)
        path = self.path(step)
        manifest = artifacts.read_manifest(path)
        if manifest is None or not artifacts.is_complete(path):
            return None
        n_bytes = sum(entry["bytes"] for entry in manifest["files"].values())
        return Known(manifest["key"], artifacts.content_digest(path), n_bytes, manifest["provenance"])

    def is_complete(self, step: Placed, key: str | None = None) -> bool:
        """Whether a result (with this key, when given) exists, judged by its manifest and file sizes."""
        known = self.known(step)
        return known is not None and key in (None, known.key)

    def is_sound(self, step: Placed, key: str) -> bool:
        """Whether a result with this key exists and its checksums match; a process reads it only once."""
        if step.kind in SHELVED:
            shelf, name = self.shelf(step)
            entry = shelf.entries.get(name)
            state: object = entry
            if entry is None or entry.key != key:
                for line in shelf.damage([name]) if name in shelf.damaged else ():
                    self._say(line)
                return False
        else:
            path = self.path(step)
            # A writer killed between its two last steps leaves a sound artifact beside the one that it replaced.
            if os.path.lexists(artifacts.replaced(path)):
                return False
            if not artifacts.is_complete(path, key):
                for line in artifacts.damage(path) if artifacts.read_manifest(path) is not None else ():
                    self._say(line)
                return False
            state = stamps(path)
        found = self._found_wrong(step, (key, state))
        for line in found:
            self._say(line)
        return not found

    def _say(self, line: str) -> None:
        """Log a damaged result once, because it is checked before its lock is taken and again under the lock."""
        if line not in self._said:
            self._said.add(line)
            log.warning("damaged, will be made again: %s", line)

    def _found_wrong(self, step: Placed, state: tuple[str, object]) -> list[str]:
        """Return what is wrong with a result's content, read once per process and again when it was touched."""
        place = self.path(step)
        if self._verified.get(place) == state:
            return []
        found = self.damage(step)
        if not found:
            self._verified[place] = state
        return found

    def damage(self, step: Placed) -> list[str]:
        """Return one line for each file of a result that is missing or has a wrong checksum."""
        if step.kind in SHELVED:
            shelf, name = self.shelf(step)
            return shelf.damage([name])
        return artifacts.damage(self.path(step))

    def folder(self, step: Placed) -> Path:
        """Return the folder of a result, once its checksums are verified.

        Raises:
            Damaged: a checksum is wrong, or the result is missing.
        """
        path = self.path(step)
        known = self.known(step)
        if known is None or self._found_wrong(step, (known.key, stamps(path))):
            raise self._damaged(step)
        return path

    def value(self, step: Placed) -> Any:
        """Return the JSON value of a result on a shelf; raises as `folder` does."""
        shelf, name = self.shelf(step)
        entry = shelf.entries.get(name)
        if entry is None:
            raise self._damaged(step)
        return entry.value

    def tensors(self, step: Placed) -> "dict[str, Tensor]":
        """Return the tensors of a result on a shelf; raises as `folder` does."""
        self.value(step)
        shelf, name = self.shelf(step)
        try:
            return shelf.tensors(name)
        except ValueError as error:
            raise self._damaged(step) from error

    def _damaged(self, step: Placed) -> artifacts.Damaged:
        found = self.damage(step) or [f"{self.path(step)}: missing"]
        return artifacts.Damaged(
            f"damaged: {found[0]}; the command that made it makes it again, "
            f"and `priorgap {step.kind}` makes it again alone"
        )

    def publish(
        self,
        step: Placed,
        key: str,
        result: Files | Values,
        *,
        seed: int,
        seconds: float,
        cpu_seconds: float | None = None,
    ) -> None:
        """Store a result, completely or not at all.

        Args:
            step: the step, which gives its place.
            key: the digest of what it was computed from.
            result: the result.
            seed: the seed of everything random in it.
            seconds: the seconds that it took.
            cpu_seconds: the processor time of its process over all threads; None where not known.
        """
        provenance = {
            **environment(),
            "seed": seed,
            "seconds": round(seconds, 2),
            "cpu_seconds": None if cpu_seconds is None else round(cpu_seconds, 2),
            # with fractions, because many results take less than a second
            "finished": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            **(result.provenance if isinstance(result, Files) else {}),
        }
        if isinstance(result, Values):
            shelf, name = self.shelf(step)
            shelf.put(name, key, result.value, result.tensors, provenance)
            return
        path = self.path(step)
        artifacts.sweep_partial(path)
        with artifacts.publish(path, key, provenance=provenance) as directory:
            result.write(directory)
        self._verified[path] = (key, stamps(path))

    def sweep(self, step: Placed) -> None:
        """Remove what killed writers of a result left beside it; the caller must hold the lock of its job."""
        if step.kind not in SHELVED:
            artifacts.sweep_partial(self.path(step))

    @contextmanager
    def locked(self, path: PurePosixPath) -> Iterator[None]:
        """Hold the lock of a place, so that processes that share a store do each piece of work once."""
        with artifacts.locked(self.root / path, self.locks):
            yield


Stamps = dict[str, list[int]]


def stamps(path: Path) -> Stamps:
    """Return size and modification times of an artifact's files, which change whenever it is written to."""
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return {name: stamp(f"{path}/{name}") for name in names}


def stamp(file: str) -> list[int]:
    """Return size and modification times of a file."""
    found = os.stat(file)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a small record as it is written: its content, with a checksum that reveals accidental changes."""
    return {**content, _CHECKSUM: artifacts.digest(dict(content))}


def read_record(file: Path) -> dict[str, Any] | None:
    """Return the content of a small record; None where it is missing or has changed."""
    try:
        found = artifacts.load_json(file)
        if file.is_symlink() or not isinstance(found, dict):
            return None
        checksum = found.pop(_CHECKSUM, None)
        return found if checksum == artifacts.digest(found) else None
    except (OSError, ValueError):
        return None


def keep(store: Store, file: Path, content: Mapping[str, Any]) -> None:
    """Write a small record (no artifact) unless it is unchanged, and remove what killed writers left."""
    if read_record(file) == content:
        return
    with artifacts.locked(file, store.locks):
        artifacts.sweep_partial(file)
        artifacts.save_json(file, sealed(content))


def forget(store: Store, file: Path) -> None:
    """Remove a small record, and what killed writers of it left."""
    if file.parent.is_dir():
        with artifacts.locked(file, store.locks):
            artifacts.sweep_partial(file)
            file.unlink(missing_ok=True)


@contextmanager
def unless_in_use(path: Path, store: Store) -> Iterator[bool]:
    """Hold an artifact's lock if no other process does; yield whether it is held."""
    from filelock import FileLock, Timeout

    store.locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(artifacts.lock_file(path, store.locks))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()

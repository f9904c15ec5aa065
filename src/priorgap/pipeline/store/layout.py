"""The store: every result by its step, whether it stands in a folder of its own or on a shelf of its model."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf
from priorgap.pipeline.store.provenance import environment

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
# kinds whose results are many and small: they stand on a shelf of the model
SHELVED = ("sample", "measure")
# study, stage, model: the folder of a shelf
_DEPTH = 3
_CHECKSUM = "checksum"


class Placed(Protocol):
    """A step, or what a record keeps of one."""

    @property
    def kind(self) -> str:
        """The stage that makes it."""
        ...

    @property
    def path(self) -> PurePosixPath:
        """Its place under the store."""
        ...


@dataclass(frozen=True)
class Files:
    """A result that is a folder of files; `write` fills a folder that is published whole.

    Attributes:
        write: fills the folder.
        provenance: what its provenance says beside versions and times.
    """

    write: Callable[[Path], None]
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Values:
    """A result that is a JSON value and tensors, for a shelf."""

    value: Any
    tensors: "Mapping[str, Tensor]" = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """What a manifest says of a result, without a look at its files' contents.

    Attributes:
        key: what it was computed from.
        content: the digest of what it holds.
        n_bytes: its size, without the manifest.
        provenance: versions, seconds, when it ended.
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
        """The folder of lock files, beside the results and never inside one."""
        return self.root / ".locks"

    def study(self, name: str) -> Path:
        """Return a study's folder."""
        return self.root / name

    def holds(self, path: Path) -> bool:
        """Whether a path lies in the store, and neither it nor a folder on the way from the root is a link."""
        try:
            parts = path.relative_to(self.root).parts
        except ValueError:
            return False
        places = (self.root.joinpath(*parts[: i + 1]) for i in range(len(parts)))
        return ".." not in parts and not any(place.is_symlink() for place in places)

    def path(self, step: Placed) -> Path:
        """Return where a result stands: a folder, or a name on a shelf."""
        return self.root / step.path

    def shelf(self, step: Placed) -> tuple[Shelf, str]:
        """Return the shelf of a result and its name there."""
        parts = step.path.parts
        folder = self.root.joinpath(*parts[:_DEPTH])
        if folder not in self._shelves:
            self._shelves[folder] = Shelf(folder, self.locks)
        return self._shelves[folder], "/".join(parts[_DEPTH:])

    def known(self, step: Placed) -> Known | None:
        """Return what the manifest says of a result; None where there is none, or a file of it is missing."""
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
        """Whether a result (of this key, when given) is there, by its manifest and sizes."""
        known = self.known(step)
        return known is not None and key in (None, known.key)

    def is_sound(self, step: Placed, key: str) -> bool:
        """Whether a result of this key is there and its checksums hold; a process reads it once."""
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
            # a writer killed between its two last steps leaves a sound artifact beside the one it replaced
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
        """Say once that a result is damaged: it is looked at before its lock is taken, and again with it."""
        if line not in self._said:
            self._said.add(line)
            log.warning("damaged, will be made again: %s", line)

    def _found_wrong(self, step: Placed, state: tuple[str, object]) -> list[str]:
        """Return what is wrong with a result's contents, read once a process, and again when it was touched."""
        place = self.path(step)
        if self._verified.get(place) == state:
            return []
        found = self.damage(step)
        if not found:
            self._verified[place] = state
        return found

    def damage(self, step: Placed) -> list[str]:
        """Return one line for each file of a result that is missing or whose checksum is wrong."""
        if step.kind in SHELVED:
            shelf, name = self.shelf(step)
            return shelf.damage([name])
        return artifacts.damage(self.path(step))

    def folder(self, step: Placed) -> Path:
        """Return the folder of a result, whose checksums hold.

        Raises:
            Damaged: they do not, or it is not there.
        """
        path = self.path(step)
        known = self.known(step)
        if known is None or self._found_wrong(step, (known.key, stamps(path))):
            raise self._damaged(step)
        return path

    def value(self, step: Placed) -> Any:
        """Return the JSON value of a result on a shelf; raises as `folder`."""
        shelf, name = self.shelf(step)
        entry = shelf.entries.get(name)
        if entry is None:
            raise self._damaged(step)
        return entry.value

    def tensors(self, step: Placed) -> "dict[str, Tensor]":
        """Return the tensors of a result on a shelf; raises as `folder`."""
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
        """Keep a result: whole or not at all.

        Args:
            step: its place.
            key: what it was computed from.
            result: what it is.
            seed: of what is random in it.
            seconds: what it took.
            cpu_seconds: the processor time of its process, of all threads; None where that is not known.
        """
        provenance = {
            **environment(),
            "seed": seed,
            "seconds": round(seconds, 2),
            "cpu_seconds": None if cpu_seconds is None else round(cpu_seconds, 2),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
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
        """Remove what killed writers of a result left beside it; call it holding the lock of its job."""
        if step.kind not in SHELVED:
            artifacts.sweep_partial(self.path(step))

    @contextmanager
    def locked(self, path: PurePosixPath) -> Iterator[None]:
        """Hold the lock of a place, so that two processes that share a store do each piece of work once."""
        with artifacts.locked(self.root / path, self.locks):
            yield


Stamps = dict[str, list[int]]


def stamps(path: Path) -> Stamps:
    """Return size and times of change of an artifact's files: as long as they hold, nobody wrote to it."""
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return {name: stamp(f"{path}/{name}") for name in names}


def stamp(file: str) -> list[int]:
    """Return size and times of change of a file."""
    found = os.stat(file)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a small record as it is written: its content, and the checksum by which accidents are found."""
    return {**content, _CHECKSUM: artifacts.digest(dict(content))}


def read_record(file: Path) -> dict[str, Any] | None:
    """Return what a small record says; None where there is none, or none that is as it was written."""
    try:
        found = artifacts.load_json(file)
        if file.is_symlink() or not isinstance(found, dict):
            return None
        checksum = found.pop(_CHECKSUM, None)
        return found if checksum == artifacts.digest(found) else None
    except (OSError, ValueError):
        return None


def keep(store: Store, file: Path, content: Mapping[str, Any]) -> None:
    """Write a small record (no artifact) unless it says the same already; what killed writers left is removed."""
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
    """Hold an artifact's lock if nobody else does; say whether it is held."""
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

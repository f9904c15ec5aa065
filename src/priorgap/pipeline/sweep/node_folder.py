"""A node that shares no disk with the command: a folder of its own, into which data come once and where jobs work."""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from priorgap.core import artifacts
from priorgap.pipeline.store import packs

# the store of a job, in its folder
STORE = "outputs"
# files beside the results that travel with them; no study can have this name
PLAIN = ".plain"
_JOBS = "jobs"


@dataclass(frozen=True)
class Shipment:
    """The results that jobs build on, as they lie in the cluster's object store.

    Attributes:
        digest: the SHA-256 of the pack.
        fetch: returns the pack; called once a node.
        expected: files that a node must have itself, with their digests.
    """

    digest: str
    fetch: Callable[[], bytes | memoryview]
    expected: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What a job sends back.

    Attributes:
        returned: what its call returned: a few words.
        pack: its results, and plain files under `PLAIN`.
    """

    returned: Any
    pack: bytes


@dataclass(frozen=True)
class Errand:
    """A job for such a node; called there.

    Attributes:
        shipment: what it builds on.
        given: a pack of those of its own results that are there already; empty where there are none.
        results: the folders of all its results, under the store.
        compute: makes them in a store at the place that it is given; what it leaves under `PLAIN` comes back too.
        node: returns the id of the node.
        base: where the node's folder is made; None: where temporary files are.
    """

    shipment: Shipment
    given: bytes
    results: tuple[str, ...]
    compute: Callable[[Path], Any]
    node: Callable[[], str]
    base: str | None

    def __call__(self) -> Answer:
        """Make the results in a folder that is removed afterwards, and return them."""
        home = _home(self.base, self.node())
        with _in_use(home, self.shipment.digest):
            shipped = _arrived(home, self.shipment)
            # of this process: the next job's files have the same names, and nothing that remembers files grows
            place = shipped / _JOBS / str(os.getpid())
            _clear(place.parent)
            try:
                root = _laid_out(place, shipped / STORE)
                if self.given:
                    packs.unpack(self.given, root, sync=False)
                before = {name: _written(root / name) for name in self.results}
                returned = self.compute(root)
                made = [name for name, known in before.items() if _written(root / name) not in (None, known)]
                return Answer(returned, _packed(root, made))
            finally:
                os.chdir(home)
                shutil.rmtree(place, ignore_errors=True)


def _packed(root: Path, made: list[str]) -> bytes:
    plain = {
        file.relative_to(root).as_posix(): file
        for file in sorted((root / PLAIN).rglob("*"))
        if file.is_file() and not file.is_symlink()
    }
    return packs.pack([root / name for name in made], root, plain)


def _written(folder: Path) -> tuple[int, int] | None:
    """Return what changes whenever a result's manifest is written: a damaged one is made again with the same text."""
    try:
        found = (folder / artifacts.MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _home(base: str | None, node: str) -> Path:
    """Return the folder of this user on a node, made when it is not there.

    Raises:
        ValueError: somebody else's, or a link, stands there.
    """
    home = Path(base or tempfile.gettempdir()) / f"priorgap-{os.getuid()}-{node[:16]}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ValueError(f"{home}: expected a folder of this user's own (hydra.launcher.node_folder)")
    return home.resolve()


@contextmanager
def _in_use(home: Path, digest: str) -> Iterator[None]:
    """Keep what came with a shipment from being removed, as long as this process works with it."""
    with (home / f"{digest[:24]}.used").open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def _arrived(home: Path, shipment: Shipment) -> Path:
    """Return the folder of a shipment, unpacked by the first job that needs it.

    Raises:
        ValueError: it did not arrive as it was sent, or the node lacks a file.
    """
    folder = home / shipment.digest[:24]
    with artifacts.locked(folder, home):
        if not folder.is_dir():
            # of a process that was killed: nobody else unpacks while this lock is held
            partial = home / f".partial-{folder.name}"
            shutil.rmtree(partial, ignore_errors=True)
            remove_unused(home)
            for file, digest in shipment.expected.items():
                if not Path(file).is_file() or artifacts.file_digest(Path(file)) != digest:
                    raise ValueError(f"{file}: expected the same file on all nodes")
            content = shipment.fetch()
            if hashlib.sha256(content).hexdigest() != shipment.digest:
                raise ValueError("data and references did not arrive as they were sent")
            packs.unpack(content, partial / STORE, sync=False)
            partial.rename(folder)
    return folder


def _laid_out(place: Path, shipped: Path) -> Path:
    """Make a job's store of what was shipped: links to it, for no job writes there."""
    root = place / STORE
    root.mkdir(parents=True)
    for entry in shipped.iterdir():
        if entry.name != PLAIN:
            (root / entry.name).symlink_to(entry)
    # files that the command names by relative paths lie where the job looks for them
    for file in (shipped / PLAIN).rglob("*"):
        if file.is_file():
            own = place / file.relative_to(shipped / PLAIN)
            own.parent.mkdir(parents=True, exist_ok=True)
            own.symlink_to(file)
    return root


def _clear(jobs: Path) -> None:
    """Remove the folders of jobs whose processes have ended, and of an earlier job of this one."""
    jobs.mkdir(exist_ok=True)
    for folder in jobs.iterdir():
        if int(folder.name) == os.getpid() or not _lives(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove_unused(home: Path) -> None:
    """Remove all that came to a node and that no process works with."""
    for mark in home.glob("*.used"):
        with mark.open("wb") as handle, suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(home / mark.stem, ignore_errors=True)


@dataclass(frozen=True)
class Tidy:
    """Called on a node when a sweep has ended: removes what no process works with; files that are locks stay.

    Attributes:
        base: as of the errands.
    """

    base: str | None

    def __call__(self, node: str) -> None:
        """Remove it from a node of this id."""
        remove_unused(_home(self.base, node))

"""A node that shares no disk with the command: its own folder, to which inputs are sent once and where jobs work."""

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

# The name of a job's store, in the job's folder.
STORE = "outputs"
# The folder of files that travel with results; no study can have this name.
PLAIN = ".plain"
_JOBS = "jobs"


@dataclass(frozen=True)
class Shipment:
    """The inputs of jobs, in the cluster's object store.

    Attributes:
        digest: the SHA-256 of the pack.
        fetch: returns the pack; called once on each node.
        expected: files that must exist on a node already, with their digests.
    """

    digest: str
    fetch: Callable[[], bytes | memoryview]
    expected: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """The message that a job sends back.

    Attributes:
        returned: the short result of its call.
        pack: its results, and plain files under `PLAIN`.
    """

    returned: Any
    pack: bytes


@dataclass(frozen=True)
class Errand:
    """A job for such a node, which is called there.

    Attributes:
        shipment: the inputs.
        given: a pack of its own results that exist already; empty where there are none.
        results: the folders of all its results, under the store.
        compute: makes the results in a store at a given path; files that it leaves under `PLAIN` are returned, too.
        node: returns the id of the node.
        base: the folder in which the node's folder is created; None: that of temporary files.
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
            # Named by the process id, so that the next job's files have the same names and caches of files do not
            # grow.
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
    """Return a stamp that changes whenever a result's manifest is written, even with the same text."""
    try:
        found = (folder / artifacts.MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _home(base: str | None, node: str) -> Path:
    """Return the folder of this user on a node, created if it is missing.

    Raises:
        ValueError: the path is a link or belongs to another user.
    """
    home = Path(base or tempfile.gettempdir()) / f"priorgap-{os.getuid()}-{node[:16]}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ValueError(f"{home}: expected a folder of this user's own (hydra.launcher.node_folder)")
    return home.resolve()


@contextmanager
def _in_use(home: Path, digest: str) -> Iterator[None]:
    """Protect a shipment's files from removal as long as this process uses them."""
    with (home / f"{digest[:24]}.used").open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def _arrived(home: Path, shipment: Shipment) -> Path:
    """Return the folder of a shipment, which the first job that needs it unpacks.

    Raises:
        ValueError: the shipment was changed on the way, or the node lacks a file.
    """
    folder = home / shipment.digest[:24]
    with artifacts.locked(folder, home):
        if not folder.is_dir():
            # A killed process left this folder; no other process unpacks while this lock is held.
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
    """Make a job's store from a shipment, with links to it, because jobs do not write there."""
    root = place / STORE
    root.mkdir(parents=True)
    for entry in shipped.iterdir():
        if entry.name != PLAIN:
            (root / entry.name).symlink_to(entry)
    # Files with relative paths are linked to where the job looks for them.
    for file in (shipped / PLAIN).rglob("*"):
        if file.is_file():
            own = place / file.relative_to(shipped / PLAIN)
            own.parent.mkdir(parents=True, exist_ok=True)
            own.symlink_to(file)
    return root


def _clear(jobs: Path) -> None:
    """Remove the folders of jobs whose processes have ended, and that of an earlier job of this process."""
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
    """Remove all shipments on a node that no process uses."""
    for mark in home.glob("*.used"):
        with mark.open("wb") as handle, suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(home / mark.stem, ignore_errors=True)


@dataclass(frozen=True)
class Tidy:
    """Called on a node when a sweep has ended: removes what no process uses; lock files stay.

    Attributes:
        base: as in the errands.
    """

    base: str | None

    def __call__(self, node: str) -> None:
        """Remove unused files from the node with this id."""
        remove_unused(_home(self.base, node))

"""Where results stand on disk, what key each has, and how a piece of work is done exactly once."""

import glob
import logging
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from priorgap import artifacts
from priorgap.pipeline.cells import Cell

log = logging.getLogger(__name__)
_CHECKSUM = "checksum"
_PACKAGES = ("priorgap", "torch", "numpy", "scikit-learn", "scipy", "pytorch-lightning", "torchvision")


@dataclass(frozen=True)
class Store:
    """The output root and its layout: outputs/<study>/<stage>/<label>-<model id>/..."""

    root: Path

    @classmethod
    def of(cls, cell: Cell) -> "Store":
        """Return the store that a cell's configuration names."""
        return cls(Path(str(cell.config["output_root"])))

    @property
    def locks(self) -> Path:
        """The folder of lock files, beside the artifacts and never inside one."""
        return self.root / ".locks"

    def data(self, cell: Cell) -> Path:
        """The prepared data set, shared by all studies."""
        return self.root / "data" / str(cell.config["data"]["name"]) / cell.data_id

    def reference(self, cell: Cell, what: str) -> Path:
        """What is known of the real data alone (classifiers, floors of a feature space), shared by all studies."""
        return self.root / "reference" / str(cell.config["data"]["name"]) / cell.data_id / what

    def study(self, name: str) -> Path:
        """A study's folder."""
        return self.root / name

    def holds(self, path: Path) -> bool:
        """Whether a path lies in the store, and neither it nor a folder on the way from the root is a link."""
        try:
            parts = path.relative_to(self.root).parts
        except ValueError:
            return False
        places = (self.root.joinpath(*parts[: i + 1]) for i in range(len(parts)))
        return ".." not in parts and not any(place.is_symlink() for place in places)

    def model(self, study: str, stage: str, model_id: str, label: str) -> Path:
        """A model's folder in a stage; the label is cosmetic, an existing folder of this id is found by its id."""
        folder = self.root / study / stage
        # pathlib's * matches a leading dot too: what a writer has not published is no model
        existing = sorted(folder.glob(f"[!.]*-{model_id}")) if folder.is_dir() else []
        return existing[0] if existing else folder / f"{label}-{model_id}"


@cache
def _environment() -> dict[str, Any]:
    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    def commit() -> str | None:
        here = Path(__file__).parent
        try:
            run = subprocess.run(
                ["git", "rev-parse", "HEAD"],
                cwd=here,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=5,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return run.stdout.strip() or None

    return {
        "packages": {name: installed(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "hardware": f"{platform.system()} {platform.machine()}",
        "commit": commit(),
    }


def ensure(
    store: Store,
    path: Path,
    key: str,
    work: Callable[[Path], None],
    *,
    seed: int | None = None,
) -> bool:
    """Do a piece of work unless a sound artifact of this key is there; return whether it was done.

    Two processes that share a store do it once: the second waits for the lock and finds it done. An artifact
    of the same key with a missing or changed file is reported and made again.
    """
    # a writer killed between its two last steps leaves a sound artifact beside the one that it replaced
    if _sound(path, key) and not any(path.parent.glob(f".partial-*-{glob.escape(path.name)}")):
        return False
    with artifacts.locked(path, store.locks):
        artifacts.sweep_partial(path)
        if _sound(path, key):
            return False
        started = time.perf_counter()
        provenance = {**_environment(), "seed": seed}
        with artifacts.publish(path, key, provenance=provenance) as directory:
            work(directory)
            provenance["seconds"] = round(time.perf_counter() - started, 2)
            provenance["finished"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    _VERIFIED[path.absolute()] = (key, stamps(path))
    return True


Stamps = dict[str, list[int]]
_VERIFIED: dict[Path, tuple[str, Stamps]] = {}


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
    # the name that artifacts.locked gives it
    lock = FileLock(store.locks / f"{artifacts.digest(str(path.absolute()))[:24]}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def stamps(path: Path) -> Stamps:
    """Return size and times of change of an artifact's files: as long as they hold, nobody wrote to it."""
    manifest = artifacts.read_manifest(path)
    names = () if manifest is None else manifest["files"]
    return {name: stamp(f"{path}/{name}") for name in (artifacts.MANIFEST, *names)}


def stamp(file: str) -> list[int]:
    """Return size and times of change of a file."""
    found = os.stat(file)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _sound(path: Path, key: str) -> bool:
    """Whether the artifact has this key and its checksums hold."""
    if artifacts.is_complete(path, key):
        found = _damage(path)
    elif artifacts.read_manifest(path) is not None:
        found = artifacts.damage(path)
    else:
        return False
    for line in found:
        log.warning("damaged, will be made again: %s", line)
    return not found and artifacts.is_complete(path, key)


def require(path: Path, stage: str, cell: Cell) -> Path:
    """Return a path that an earlier stage must have made, its checksums verified once a process.

    Raises:
        ValueError: it has not.
        Damaged: it is not what it was.
    """
    if not artifacts.is_complete(path):
        raise ValueError(
            f"{stage}: no complete result for {cell.label} in study={cell.study}; run `priorgap {stage}` first"
        )
    found = _damage(path)
    if found:
        raise artifacts.Damaged(f"damaged: {found[0]}; `priorgap {stage}` makes it again")
    return path


def _damage(path: Path) -> list[str]:
    """Return what is wrong with a complete artifact: a process reads it once, and again when it was touched."""
    manifest = artifacts.read_manifest(path)
    state = None if manifest is None else (manifest["key"], stamps(path))
    if state is not None and _VERIFIED.get(path.absolute()) == state:
        return []
    found = artifacts.damage(path)
    if not found and state is not None:
        _VERIFIED[path.absolute()] = state
    return found


def upstream(paths: Sequence[Path]) -> list[str]:
    """Return the content digests of the artifacts that a piece of work reads."""
    return [artifacts.content_digest(path) for path in paths]

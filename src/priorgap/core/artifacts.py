"""Atomic, checksummed directories of tensors and JSON.

An artifact is written to a temporary sibling, synced, given a manifest (schema, key, checksums, provenance)
as its last file, and renamed into place. A directory without a valid manifest does not exist.
"""

import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from priorgap.core.interrupts import put_off

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
SCHEMA = 1
MANIFEST = "manifest.json"
_PARTIAL = ".partial-"
# The number of manifests that a process keeps in memory.
_KEPT = 4096


class Damaged(ValueError):  # noqa: N818
    """A stored file differs from its manifest; the message is one line, with the remedy."""


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON-able value, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: temporary name, sync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, handle = _begun(path, lambda place: place.open("xb"))
    try:
        with handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _begun(path: Path, make: Callable[[Path], T]) -> tuple[Path, T]:
    """Create the temporary sibling of a file or folder; return its path, and the result of `make`.

    Its name follows from `path`, so that what a killed writer left is found without listing a folder of ten thousand
    names. Where that name is taken by another writer, the sibling gets a random name.
    """
    try:
        place = _first_partial(path)
        return place, make(place)
    except FileExistsError:
        place = path.with_name(f"{_PARTIAL}{uuid.uuid4().hex[:8]}-{path.name}")
        return place, make(place)


def _first_partial(path: Path) -> Path:
    return path.with_name(f"{_PARTIAL}{'0' * 7}1-{path.name}")


def write_text(path: Path, content: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def save_json(path: Path, value: object) -> None:
    """Write a value as readable JSON; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def load_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def save_tensors(path: Path, tensors: "Mapping[str, Tensor]") -> None:
    """Write named tensors as safetensors."""
    write_bytes(path, tensor_bytes(tensors))


def tensor_bytes(tensors: "Mapping[str, Tensor]") -> bytes:
    """Return named tensors in safetensors' format."""
    from safetensors.torch import save

    given = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    with put_off():
        content: bytes = save(given)
    return content


def load_tensors(path: Path) -> "dict[str, Tensor]":
    """Read named tensors; safetensors never executes what it reads."""
    from safetensors.torch import load_file

    with put_off():
        return load_file(path)


def tensors_of(content: bytes) -> "dict[str, Tensor]":
    """Return the named tensors of bytes in safetensors' format."""
    from safetensors.torch import load

    with put_off():
        return load(content)


def _files(directory: Path) -> list[Path]:
    return sorted(p for p in directory.rglob("*") if p.is_file() and p.name != MANIFEST)


def _sync(directory: Path) -> None:
    """Force a folder's file names to disk; on file systems that cannot, the rename alone must do."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def publish(path: Path, key: str, *, provenance: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """Yield a temporary directory to fill; on a clean exit it becomes `path`, with a manifest.

    What stood at `path` (another key, or a broken artifact) is replaced. On an exception nothing changes.

    Args:
        path: where the artifact will be.
        key: a digest of what the artifact was computed from; `is_complete` compares it.
        provenance: JSON-able facts to keep beside the checksums (versions, hardware, seed, ...).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, _ = _begun(path, Path.mkdir)
    try:
        yield partial
        files = {
            str(p.relative_to(partial)): {"sha256": file_digest(p), "bytes": p.stat().st_size}
            for p in _files(partial)
        }
        manifest = {"schema": SCHEMA, "key": key, "files": files, "provenance": dict(provenance or {})}
        save_json(partial / MANIFEST, manifest)
        _put(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put(partial: Path, path: Path) -> None:
    """Rename a finished folder to its final path, replacing what was there."""
    _sync(partial)
    discarded = replaced(path)
    if path.is_symlink():
        path.unlink()  # Only the link is removed: the folder that it points to may belong to somebody else.
    elif path.exists():
        shutil.rmtree(discarded, ignore_errors=True)
        path.rename(discarded)
    partial.rename(path)
    _sync(path.parent)
    shutil.rmtree(discarded, ignore_errors=True)


_MANIFESTS: dict[Path, tuple[tuple[int, int, int], dict[str, Any] | None]] = {}


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Return an artifact's manifest, or None where it is missing, unreadable or names files outside the folder.

    It is read again only when it has changed. Artifacts may come from other machines, so a manifest that names a file
    outside its folder counts as invalid.
    """
    file = path / MANIFEST
    try:
        found = file.stat()
        stamp = (found.st_size, found.st_mtime_ns, found.st_ino)
        known = _MANIFESTS.get(file)
        if known is None or known[0] != stamp:
            known = stamp, _manifest(file)
            if len(_MANIFESTS) >= _KEPT:
                _MANIFESTS.pop(next(iter(_MANIFESTS)), None)
            _MANIFESTS[file] = known
    except OSError:
        return None
    return known[1]


def _manifest(file: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return manifest if _is_manifest(manifest) else None


def _is_manifest(found: object) -> bool:
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("key"), str):
        return False
    files, provenance = found.get("files"), found.get("provenance")
    if not isinstance(files, dict) or not isinstance(provenance, dict):
        return False
    if not isinstance(provenance.get("seconds", 0.0), int | float):
        return False
    return all(
        is_plain_path(name)
        and isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("bytes"), int)
        for name, entry in files.items()
    )


def is_plain_path(name: str) -> bool:
    """Whether a name is a normalised relative path: no `..`, no root, no other spelling of itself."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and ".." not in path.parts and str(path) == name != "."
    return plain and "\0" not in name


def has_link(path: Path, name: str) -> bool:
    """Whether a file of an artifact, or a folder on the way to it, is a symbolic link."""
    parts = PurePosixPath(name).parts
    return any(path.joinpath(*parts[: i + 1]).is_symlink() for i in range(len(parts)))


def content_digest(path: Path) -> str:
    """Return the digest of an artifact's checksums, without its provenance; the keys of later stages depend on it.

    Raises:
        FileNotFoundError: there is no valid artifact at `path`.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise FileNotFoundError(f"{path}: no complete artifact")
    return digest({name: entry["sha256"] for name, entry in manifest["files"].items()})


def is_complete(path: Path, key: str | None = None) -> bool:
    """Whether a valid artifact (with this key, when given) is at `path`, all files in their recorded sizes."""
    manifest = read_manifest(path)
    if manifest is None or (key is not None and manifest["key"] != key):
        return False
    for name, entry in manifest["files"].items():
        try:
            found = os.lstat(path / name)
            if found.st_size != entry["bytes"] or not stat.S_ISREG(found.st_mode):
                return False
        except OSError:
            return False
    return True


def check(path: Path, *names: str) -> None:
    """Verify the named files of an artifact, or all of them, before they are used.

    Raises:
        Damaged: one of them is missing, or not what the manifest says.
    """
    found = damage(path, *names)
    if found:
        raise Damaged(
            f"damaged: {found[0]}; the command that made it makes it again (`priorgap verify` lists all damage)"
        )


def damage(path: Path, *names: str) -> list[str]:
    """Return one line for each file of an artifact (the named ones, or all) that is missing or has changed."""
    manifest = read_manifest(path)
    if manifest is None:
        return [f"{path}: no valid manifest"]
    found = []
    for name in names or manifest["files"]:
        entry = manifest["files"].get(name, {"sha256": ""})
        file = path / name
        if has_link(path, name):
            found.append(f"{file}: a link, not a file of the artifact")
        elif not file.is_file():
            found.append(f"{file}: missing")
        elif file_digest(file) != entry["sha256"]:
            found.append(f"{file}: checksum differs from the manifest's")
    return found


def copy(source: Path, path: Path) -> None:
    """Copy an artifact's manifest and the files that it lists to `path`: written in full, synced, then renamed.

    Raises:
        ValueError: a file is a link, or not what the manifest says.
    """
    manifest = read_manifest(source)
    if manifest is None:
        raise ValueError(f"{source}: no complete artifact")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, _ = _begun(path, Path.mkdir)
    try:
        for name, entry in manifest["files"].items():
            if has_link(source, name):
                raise ValueError(f"{source / name}: a link, not a file of the artifact")
            write_bytes(partial / name, (source / name).read_bytes())
            if file_digest(partial / name) != entry["sha256"]:
                raise ValueError(f"{source / name}: changed while it was copied")
        save_json(partial / MANIFEST, manifest)
        _put(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def move(source: Path, path: Path) -> None:
    """Rename a folder of results to `path`, replacing what was there; its files are synced and checked already.

    Args:
        source: on the same file system.
        path: where it will be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _put(source, path)


@contextmanager
def locked(path: Path, locks: Path) -> Iterator[None]:
    """Hold an artifact's lock, so that two processes that share a store do each piece of work once.

    Args:
        path: the artifact's place.
        locks: the folder of lock files; it lies outside the artifacts' folders, whose contents are checksummed.
    """
    from filelock import FileLock

    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(lock_file(path, locks)):
        yield


def lock_file(path: Path, locks: Path) -> Path:
    """Return the path of an artifact's lock file."""
    return locks / f"{digest(str(path.absolute()))[:24]}.lock"


def replaced(path: Path) -> Path:
    """Return the path to which a replaced artifact is moved before it is removed; it follows from `path` alone."""
    return path.with_name(f"{_PARTIAL}{'0' * 8}-old-{path.name}")


def leftovers(path: Path) -> list[Path]:
    """Return what writers of the artifact at `path` left beside it, killed or running, without listing the folder.

    Left-overs with random names (of a writer that met another one's) are not found here; `priorgap gc` finds them.
    """
    return [place for place in (_first_partial(path), replaced(path)) if os.path.lexists(place)]


def sweep_partial(path: Path) -> list[Path]:
    """Remove what killed writers of the artifact at `path` left beside it; the caller must hold its lock."""
    found = leftovers(path)
    for leftover in found:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    return found

"""Packs: published results, and plain files beside them, as the bytes of one tar file.

A pack is sent over a network between machines that share no disk. It holds only regular files, its first member lists
all others with size and checksum, and reading it writes nothing outside of the given folder.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from priorgap.core import artifacts
from priorgap.core.shelves import Shelf, is_shelf

SCHEMA = 1
LIST = "pack.json"
# A limit for the list, which takes about a megabyte for a pack of 10,000 files.
_LONGEST_LIST = 64 * 2**20


def pack(folders: Iterable[Path], root: Path, plain: Mapping[str, Path] | None = None) -> bytes:
    """Return a pack of results under a folder.

    Args:
        folders: published results (artifacts and shelves), of which only files in the manifest are packed.
        root: the folder to which names in the pack are relative.
        plain: additional single files, by their names in the pack.

    Raises:
        ValueError: a folder is no published result, or a file of it is a link.
        OSError: a file cannot be read.
    """
    results = [folder / name for folder in folders for name in published(folder)]
    files = {file.relative_to(root).as_posix(): file for file in results} | dict(plain or {})
    contents = {name: file.read_bytes() for name, file in files.items()}
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        _add(tar, LIST, artifacts.canonical_json({"schema": SCHEMA, "files": listed}).encode())
        for name, content in contents.items():
            _add(tar, name, content)
    return target.getvalue()


def published(folder: Path) -> list[str]:
    """Return the names of the files in a manifest, and last that of the manifest.

    Raises:
        ValueError: there is no valid manifest, or a file is a link.
    """
    if is_shelf(folder):
        spans = [entry.span for entry in Shelf(folder, folder).entries.values()]
        names = sorted({span.file for span in spans if span is not None})
    else:
        manifest = artifacts.read_manifest(folder)
        if manifest is None:
            raise ValueError(f"{folder}: no complete result")
        names = sorted(manifest["files"])
    names.append(artifacts.MANIFEST)
    for name in names:
        if artifacts.has_link(folder, name):
            raise ValueError(f"{folder / name}: a link, not a file of the result")
    return names


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def unpack(content: bytes | memoryview, root: Path, *, sync: bool) -> list[str]:
    """Write the files of a pack into a folder, each after its checksum was verified.

    Args:
        content: the pack.
        root: the target folder; existing files are not overwritten.
        sync: whether files are forced to disk, as is needed for results that are renamed into a store.

    Returns:
        The names of the files, in the pack's order.

    Raises:
        ValueError: the pack is incomplete, or holds anything other than the regular files in its list; one line.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:", encoding="utf-8") as tar:
            members = iter(tar)
            listed = _listed(tar, next(members, None))
            names = [_write(tar, member, listed, root) for member in members]
    except (tarfile.TarError, EOFError, KeyError, TypeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"no whole pack of results ({type(error).__name__}: {error})") from error
    if listed:
        raise ValueError(f"no whole pack of results: {next(iter(listed))} is missing")
    # All files are written before any is synced, because the first sync takes most of the others to disk, too.
    for name in names if sync else ():
        with (root / name).open("rb") as handle:
            os.fsync(handle.fileno())
    return names


def _listed(tar: tarfile.TarFile, first: tarfile.TarInfo | None) -> dict[str, Any]:
    if first is None or first.name != LIST or not first.isreg() or first.size > _LONGEST_LIST:
        raise ValueError("no pack of results: it does not begin with a list of its files")
    found = json.loads(b"".join(_chunks(tar, first)))
    files = found.get("files") if isinstance(found, dict) and found.get("schema") == SCHEMA else None
    if not isinstance(files, dict) or not all(artifacts.is_plain_path(name) for name in files):
        raise ValueError("no pack of results: its list names no files, or some outside a folder")
    return files


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, listed: dict[str, Any], root: Path) -> str:
    entry = listed.pop(member.name, None)
    if entry is None or not member.isreg():
        raise ValueError(f"a pack holds {member.name!r}, which it does not list as a file")
    if member.size != entry["bytes"]:
        raise ValueError(f"{member.name}: {member.size} bytes in a pack that lists {entry['bytes']}")
    content = b"".join(_chunks(tar, member))
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ValueError(f"{member.name}: its checksum differs from the pack's list")
    file = root / member.name
    file.parent.mkdir(parents=True, exist_ok=True)
    # Mode "x" makes sure that the file is new and no link.
    with file.open("xb") as handle:
        handle.write(content)
    return member.name


def _chunks(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    handle = tar.extractfile(member)
    assert handle is not None  # A regular file always has a handle.
    while chunk := handle.read(2**24):
        yield chunk

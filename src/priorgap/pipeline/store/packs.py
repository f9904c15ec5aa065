"""Packs: some published results, and plain files beside them, as the bytes of one tar file.

A pack crosses a network between machines that share no disk. It is data: it holds regular files alone, its first
member lists every other one with size and checksum, and reading it writes nothing outside the folder that is given.
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
# the list of a pack of 10,000 files is about a megabyte
_LONGEST_LIST = 64 * 2**20


def pack(folders: Iterable[Path], root: Path, plain: Mapping[str, Path] | None = None) -> bytes:
    """Return a pack of results under a folder.

    Args:
        folders: published results: artifacts and shelves, each with what its manifest lists and nothing else.
        root: where the names of their files in the pack begin.
        plain: single files that come along, by their names in the pack.

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
    """Return the names of the files that a manifest lists, and the manifest's last.

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
    """Write the files of a pack under a folder, each after its checksum was found to hold.

    Args:
        content: the pack.
        root: a folder of its own; what is there already is not written over.
        sync: whether files are forced to disk, for results that are renamed into a store.

    Returns:
        The names of the files, in the pack's order.

    Raises:
        ValueError: it is no whole pack, or holds anything but the regular files that it lists; one line.
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
    # all are written first: what forces the first to disk takes most of the others along
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
    # "x": what a name of the pack leads to is new, and no link
    with file.open("xb") as handle:
        handle.write(content)
    return member.name


def _chunks(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    handle = tar.extractfile(member)
    assert handle is not None  # of a regular file there is one
    while chunk := handle.read(2**24):
        yield chunk

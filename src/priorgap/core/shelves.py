"""Shelves: many small results of one model in two files, each published on its own.

A shelf is a folder with `manifest.json`, which holds each result's key, JSON value, checksums and provenance, and one
file of tensors. Tensors are appended and synced first; then the manifest is replaced by rename. What a killed writer
appended is not in the manifest, so the next writer overwrites it. A replaced result stays in the file of tensors
until half of the file is unused; then the file is rewritten.
"""

import hashlib
import json
import math
import os
import re
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from priorgap.core import artifacts

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 2
_FILE = re.compile(r"tensors-[0-9a-f]{8}\.pack")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The number of manifests that a process keeps in memory.
_KEPT = 256
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Span:
    """The place of a result's tensors: a range of bytes in one file, in safetensors' format."""

    file: str
    offset: int
    n_bytes: int
    sha256: str

    @classmethod
    def from_json(cls, record: Any) -> "Span":
        """Rebuild and check; raises ValueError for what no shelf writes (a manifest may come from elsewhere)."""
        span = cls(**record)
        sound = _FILE.fullmatch(span.file) and _SHA256.fullmatch(span.sha256)
        if not sound or not all(type(n) is int and n >= 0 for n in (span.offset, span.n_bytes)):
            raise ValueError("not the place of tensors")
        return span


@dataclass(frozen=True)
class Entry:
    """One result of a shelf.

    Attributes:
        key: a digest of what it was computed from.
        value: plain JSON.
        span: where its tensors are; None where it has none.
        provenance: versions, hardware, seconds.
    """

    key: str
    value: Any
    span: Span | None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def content(self) -> str:
        """The digest of value and tensors; the keys of later results depend on it."""
        return artifacts.digest([self.value, None if self.span is None else self.span.sha256])

    @cached_property
    def text(self) -> str:
        """The entry as the manifest holds it, with a checksum of its own."""
        span = None if self.span is None else vars(self.span)
        record = {
            "key": self.key,
            "value": self.value,
            "tensors": span,
            "content": self.content,
            "provenance": dict(self.provenance),
        }
        return json.dumps(record, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, record: Any) -> "Entry":
        """Rebuild and check; raises ValueError where the checksum of value and tensors does not hold."""
        try:
            span = None if record["tensors"] is None else Span.from_json(record["tensors"])
            entry = cls(str(record["key"]), record["value"], span, dict(record["provenance"]))
            seconds = entry.provenance.get("seconds", 0.0)
        except (KeyError, TypeError) as error:
            raise ValueError("not a result of a shelf") from error
        if not isinstance(seconds, int | float) or not math.isfinite(seconds):
            raise ValueError("not a result of a shelf")
        if entry.content != record["content"]:
            raise ValueError("its checksum differs from the manifest's")
        return entry


@dataclass(frozen=True)
class _Contents:
    """A manifest's content: sound results, why others are damaged; `readable`: whether it is a shelf's."""

    entries: Mapping[str, Entry]
    damaged: Mapping[str, str]
    readable: bool


_NOTHING = _Contents({}, {}, False)


class Shelf:
    """The results in one folder, read at first use and again when another process has changed them.

    Args:
        folder: where the shelf is, or will be.
        locks: the folder of lock files.
    """

    def __init__(self, folder: Path, locks: Path) -> None:
        self.folder, self._locks = folder, locks
        self._stamp: Stamp | None = None
        self._contents = _NOTHING

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The sound results, by name."""
        return self._read().entries

    @property
    def damaged(self) -> Mapping[str, str]:
        """Why results that the manifest names cannot be read, by name."""
        return self._read().damaged

    def _read(self) -> _Contents:
        file = self.folder / artifacts.MANIFEST
        stamp = _stamp(file)
        if stamp != self._stamp:
            self._stamp, self._contents = stamp, _NOTHING if stamp is None else _contents(file, stamp)
        return self._contents

    def tensors(self, name: str) -> "dict[str, Tensor]":
        """Return a result's tensors; {} for a result without tensors.

        Raises:
            ValueError: their checksum does not match; one line with the remedy.
        """
        if self.entries[name].span is None:
            return {}
        content = self._content(name)
        if content is None:
            raise ValueError(
                f"{self.folder}: the tensors of {name} are damaged; the command that made them makes them again"
            )
        return artifacts.tensors_of(content)

    def _content(self, name: str) -> bytes | None:
        """Return the bytes of a result's tensors; None where it has none, or they are missing or changed."""
        # Try twice: another process may rewrite the file between our reading of the manifest and of the file.
        for _ in range(2):
            entry = self.entries.get(name)
            content = None if entry is None or entry.span is None else self._bytes(entry.span)
            if content is not None:
                return content
        return None

    def _bytes(self, span: Span) -> bytes | None:
        try:
            with _opened(self.folder / span.file, os.O_RDONLY) as handle:
                handle.seek(span.offset)
                content = handle.read(span.n_bytes)
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == span.sha256 else None

    def damage(self, names: Sequence[str] | None = None) -> list[str]:
        """Return one line for each result (of these names) that is damaged."""
        if os.path.lexists(self.folder / artifacts.MANIFEST) and not self._read().readable:
            return [f"{self.folder}: no valid manifest"]
        reasons = dict(self.damaged)
        for name, entry in self.entries.items():
            if (names is None or name in names) and entry.span is not None and self._content(name) is None:
                reasons[name] = "its tensors' checksum differs from the manifest's"
        return [
            f"{self.folder}: {name}: {why}" for name, why in reasons.items() if names is None or name in names
        ]

    def is_sound(self, name: str, key: str) -> bool:
        """Whether a result with this key exists and its checksums match."""
        entry = self.entries.get(name)
        if entry is None or entry.key != key:
            return False
        return entry.span is None or self._content(name) is not None

    def put(
        self,
        name: str,
        key: str,
        value: Any,
        tensors: "Mapping[str, Tensor]",
        provenance: Mapping[str, Any],
    ) -> None:
        """Publish a result; it replaces one of the same name, and the others stay.

        Raises:
            ValueError: the value holds NaN or infinity.
        """
        value = json.loads(json.dumps(value, allow_nan=False))
        with self._writing() as entries:
            span = self._append(artifacts.tensor_bytes(tensors), entries) if tensors else None
            entries[name] = Entry(key, value, span, provenance)

    def adopt(self, name: str, source: "Shelf") -> None:
        """Copy a result of another shelf into this one, unchanged.

        Raises:
            ValueError: it is not there, or damaged.
        """
        content = source._content(name)
        entry = source.entries.get(name)
        if entry is None or (entry.span is not None and content is None):
            raise ValueError(f"{source.folder}: {name}: not there, or damaged")
        with self._writing() as entries:
            span = None if content is None else self._append(content, entries)
            entries[name] = replace(entry, span=span)

    def move(self, source: Path) -> bool:
        """Rename another shelf's folder to this place, unless this shelf exists already.

        Args:
            source: on the same file system; its files were synced and checked before.

        Returns:
            Whether it was moved.
        """
        manifest = self.folder / artifacts.MANIFEST
        with artifacts.locked(manifest, self._locks):
            free = not os.path.lexists(manifest)
            if free:
                artifacts.move(source, self.folder)
        return free

    def remove(self, names: Sequence[str]) -> None:
        """Remove results, and free the space of these and of replaced ones."""
        with self._writing(slack=1) as entries:
            for name in names:
                entries.pop(name, None)

    @contextmanager
    def _writing(self, slack: int = 2) -> Iterator[dict[str, Entry]]:
        with artifacts.locked(self.folder / artifacts.MANIFEST, self._locks):
            self.folder.mkdir(parents=True, exist_ok=True)
            artifacts.sweep_partial(self.folder / artifacts.MANIFEST)
            entries = dict(self.entries)
            yield entries
            old = self._compact(entries, slack)
            manifest = self.folder / artifacts.MANIFEST
            artifacts.write_text(manifest, _manifest(entries))
            self._stamp, self._contents = _stamp(manifest), _Contents(entries, {}, True)
            for file in old:
                file.unlink(missing_ok=True)

    def _append(self, content: bytes, entries: Mapping[str, Entry]) -> Span:
        """Write tensors after the last ones that the manifest knows, and sync them."""
        spans = [e.span for e in entries.values() if e.span is not None]
        file = spans[0].file if spans else f"tensors-{uuid.uuid4().hex[:8]}.pack"
        end = max((s.offset + s.n_bytes for s in spans), default=0)
        with _opened(self.folder / file, os.O_RDWR | os.O_CREAT) as handle:
            # The file may be shorter than the manifest says; writing at its true end leaves no gap of zeros.
            end = min(end, handle.seek(0, os.SEEK_END))
            handle.truncate(end)
            handle.seek(end)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        return Span(file, end, len(content), hashlib.sha256(content).hexdigest())

    def _compact(self, entries: dict[str, Entry], slack: int) -> list[Path]:
        """Rewrite tensors that take more than `slack` times the space they need; return the files to remove."""
        spans = {name: e.span for name, e in entries.items() if e.span is not None}
        files = {self.folder / s.file for s in spans.values()}
        there = [p for p in self.folder.glob("tensors-*.pack") if p not in files]
        size = sum(p.stat().st_size for p in files if p.is_file())
        if size <= slack * sum(s.n_bytes for s in spans.values()):
            return there
        file, offset = f"tensors-{uuid.uuid4().hex[:8]}.pack", 0
        with (self.folder / file).open("wb") as handle:
            for name, span in spans.items():
                content = self._bytes(span)
                if content is None:  # A damaged result is dropped, so that it is computed again.
                    del entries[name]
                    continue
                handle.write(content)
                entries[name] = replace(entries[name], span=replace(span, file=file, offset=offset))
                offset += span.n_bytes
            handle.flush()
            os.fsync(handle.fileno())
        return [*there, *files]


def is_shelf(folder: Path) -> bool:
    """Whether a folder is a shelf; an artifact's manifest lists files instead."""
    stamp = _stamp(folder / artifacts.MANIFEST)
    return stamp is not None and _contents(folder / artifacts.MANIFEST, stamp).readable


def _stamp(file: Path) -> Stamp | None:
    """Return a stamp that changes whenever a manifest is replaced; None where there is no manifest, or a link."""
    try:
        found = file.lstat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if stat.S_ISREG(found.st_mode) else None


@lru_cache(maxsize=_KEPT)
def _contents(file: Path, stamp: Stamp) -> _Contents:
    """Read a manifest, once per process as long as its stamp stays the same."""
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return _NOTHING
    known = isinstance(manifest, dict) and manifest.get("schema") == SCHEMA
    records = manifest.get("entries") if known else None
    if not isinstance(records, dict):
        return _NOTHING
    entries, damaged = {}, {}
    for name, record in records.items():
        try:
            entries[name] = Entry.from_json(record)
        except ValueError as error:
            damaged[name] = str(error)
    return _Contents(entries, damaged, True)


def _manifest(entries: Mapping[str, Entry]) -> str:
    """Return the text of a manifest, with one line for each result."""
    lines = ",\n".join(f"{json.dumps(name)}: {entries[name].text}" for name in sorted(entries))
    return f'{{"schema": {SCHEMA}, "entries": {{\n{lines}\n}}}}\n'


def _opened(path: Path, how: int) -> BinaryIO:
    """Open a file of tensors for reading, or reading and writing; symbolic links are refused."""
    handle = os.open(path, how | os.O_NOFOLLOW, 0o666)
    return os.fdopen(handle, "rb" if how == os.O_RDONLY else "r+b")

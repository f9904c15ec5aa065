"""Reads W&B's offline run files back: LevelDB log framing around protobuf records."""

import json
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FILE_HEADER = 7
_BLOCK = 32768
_CHUNK_HEADER = struct.Struct("<IHB")  # checksum, length, kind
_WHOLE, _LAST = 1, 4


@dataclass
class OfflineRun:
    """What one run recorded."""

    folder: Path
    id: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    artifacts: dict[str, str] = field(default_factory=dict)
    text: str = ""

    def table(self, key: str) -> dict[str, Any]:
        """Return a logged table: columns and data."""
        for row in self.history:
            if f"{key}.path" in row:
                content: dict[str, Any] = json.loads((self.folder / "files" / row[f"{key}.path"]).read_text())
                return content
        raise KeyError(key)


def read_runs(folder: Path) -> list[OfflineRun]:
    """Read every offline run below a folder, oldest first."""
    import wandb

    wandb.teardown()  # W&B's own process writes behind `finish`; this waits for it
    return [
        read_run(place / f"run-{place.name[-16:]}.wandb") for place in sorted(folder.glob("offline-run-*"))
    ]


def read_run(file: Path, patience: float = 30.0) -> OfflineRun:
    """Read one offline run, once W&B's own process, which writes behind `finish`, has written its end."""
    end = time.monotonic() + patience
    while (run := _read(file)).exit_code is None and time.monotonic() < end:
        time.sleep(0.1)
    return run


def _read(file: Path) -> OfflineRun:
    from wandb.proto.wandb_internal_pb2 import Record

    run = OfflineRun(file.parent)
    if not file.is_file():
        return run
    for payload in _payloads(file.read_bytes()):
        record = Record()
        record.ParseFromString(payload)
        if record.WhichOneof("record_type") == "artifact":
            run.artifacts[record.artifact.name] = record.artifact.type
            for entry in record.artifact.manifest.contents:
                # where W&B finds the file on this machine when it is synced; it is not sent
                entry.local_path = ""
        run.text += str(record)
        match record.WhichOneof("record_type"):
            case "run":
                sent = record.run
                run.id, run.name, run.group = sent.run_id, sent.display_name, sent.run_group
                run.job_type, run.tags = sent.job_type, list(sent.tags)
                run.config |= _values(sent.config.update)
            case "config":
                run.config |= _values(record.config.update)
            case "history":
                run.history.append(_values(record.history.item))
            case "summary":
                run.summary |= _values(record.summary.update)
            case "exit":
                run.exit_code = record.exit.exit_code
    return run


def _payloads(data: bytes) -> Iterator[bytes]:
    assert data[:4] in (b":W&B", b"")
    position, payload = _FILE_HEADER, b""
    while position + _CHUNK_HEADER.size <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _CHUNK_HEADER.size:
            position += left
            continue
        _, length, kind = _CHUNK_HEADER.unpack_from(data, position)
        position += _CHUNK_HEADER.size
        if position + length > len(data):
            return  # still being written
        payload += data[position : position + length]
        position += length
        if kind in (_WHOLE, _LAST):
            yield payload
            payload = b""


def _values(items: Iterable[Any]) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}

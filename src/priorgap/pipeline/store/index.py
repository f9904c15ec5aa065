"""An index of a study's trainings in Parquet: what was found of each, as long as no file of its has changed since.

It is a cache: records and manifests stay the truth. A row is used where size and times of change of every file that
it was made of are as they were, and no file has come that was not there; else it is as if there were none. So an
index that is missing, old or broken costs time, and neither hides nor invents a result. pyarrow writes and reads it:
the commands' extra has it already, ten thousand rows are read in a tenth of a second, and pandas and DuckDB read the
file as it is.
"""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from priorgap.core import artifacts
from priorgap.pipeline.store import packs, records
from priorgap.pipeline.store.layout import Store

FILE = "index.parquet"
# below, to look is as fast as to read an index, and pyarrow need not be imported
LEAST = 500
_COLUMNS = ("train_id", "signature", "stamps", "lines", "checksum")
# of each file its size and times of change; None: it is not there
Stamps = Mapping[str, list[int] | None]


@dataclass(frozen=True)
class Row:
    """What is known of a training and of all that stands on it.

    Attributes:
        train_id: its id.
        stamps: of all files that this was read from, by their place under the store.
        signature: what its results are computed from, where all of them were found sound; else "".
        lines: what `ls` says of its models; () where nobody asked.
    """

    train_id: str
    stamps: Stamps
    signature: str = ""
    lines: tuple[tuple[str, ...], ...] = ()

    def to_parquet(self) -> dict[str, str]:
        """Return its columns."""
        found = {
            "train_id": self.train_id,
            "signature": self.signature,
            "stamps": json.dumps(self.stamps),
            "lines": json.dumps(self.lines),
        }
        return {**found, "checksum": artifacts.digest(found)}

    @classmethod
    def from_parquet(cls, found: Mapping[str, Any]) -> "Row | None":
        """Rebuild; None for what is not as it was written."""
        content = {key: value for key, value in found.items() if key != "checksum"}
        if artifacts.digest(content) != found["checksum"]:
            return None
        lines = tuple(tuple(line) for line in json.loads(content["lines"]))
        return cls(content["train_id"], json.loads(content["stamps"]), content["signature"], lines)

    def covers(self, folders: Iterable[Path], root: Path) -> bool:
        """Whether it was read from these folders, and all of them were there."""
        manifests = (folder / artifacts.MANIFEST for folder in folders)
        return all(self.stamps.get(file.relative_to(root).as_posix()) is not None for file in manifests)

    def holds(self, root: Path) -> bool:
        """Whether every file is as it was."""
        return all(_stamp(f"{root}/{name}") == known for name, known in self.stamps.items())


class Index:
    """The index of one study, read when it is first asked.

    Args:
        store: the store.
        study: the study's name.
        least: trainings from which on there is an index.
    """

    def __init__(self, store: Store, study: str, least: int = LEAST) -> None:
        self._store, self._study = store, study
        self._file = store.study(study) / FILE
        self._rows: dict[str, Row] = {}
        self._changed = False
        folder = store.study(study) / records.FOLDER
        self._used = folder.is_dir() and len(os.listdir(folder)) >= least
        if self._used:
            self._rows = _read(self._file)

    def row(self, train_id: str) -> Row | None:
        """Return what is known of a training, None where there is nothing that still holds."""
        found = self._rows.get(train_id)
        return found if found is not None and found.holds(self._store.root) else None

    def stamps(self, train_id: str, folders: Iterable[Path]) -> Stamps:
        """Return the stamps of a training's files; taken before its results are looked at.

        Args:
            train_id: its id.
            folders: those of all its results, there or not.
        """
        if not self._used:
            return {}
        files = [
            records.record_file(self._store, self._study, train_id),
            records.failure_file(self._store, self._study, train_id),
        ]
        for folder in folders:
            files += [folder / name for name in _names(folder)]
        root = self._store.root
        return {file.relative_to(root).as_posix(): _stamp(str(file)) for file in files}

    def keep(
        self,
        train_id: str,
        stamps: Stamps,
        *,
        signature: str | None = None,
        lines: tuple[tuple[str, ...], ...] | None = None,
    ) -> None:
        """Remember what was found; of a row of the same stamps the rest stays.

        Args:
            train_id: of the training.
            stamps: taken before.
            signature: where all results were found sound.
            lines: of `ls`.
        """
        if not self._used:
            return
        known = self._rows.get(train_id)
        row = known if known is not None and known.stamps == stamps else Row(train_id, stamps)
        if signature is not None:
            row = replace(row, signature=signature)
        if lines is not None:
            row = replace(row, lines=lines)
        self._changed |= row != known
        self._rows[train_id] = row

    def write(self) -> None:
        """Write the index, where it has changed; the last of several writers counts, for all have looked."""
        if not self._changed:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [row.to_parquet() for row in self._rows.values()]
        table = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in _COLUMNS})
        target = pa.BufferOutputStream()
        pq.write_table(table, target, compression="zstd")
        artifacts.write_bytes(self._file, target.getvalue().to_pybytes())
        self._changed = False


def _read(file: Path) -> dict[str, Row]:
    if not file.is_file() or file.is_symlink():
        return {}
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, columns=list(_COLUMNS)).to_pylist()
        found = [Row.from_parquet(row) for row in table]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return {}  # a cache that cannot be read is none
    return {row.train_id: row for row in found if row is not None}


def _names(folder: Path) -> list[str]:
    try:
        return packs.published(folder)
    except ValueError:
        return [artifacts.MANIFEST]


def _stamp(file: str) -> list[int] | None:
    try:
        found = os.lstat(file)
    except OSError:
        return None
    # what is no file has no size that tells anything
    return [found.st_size if stat.S_ISREG(found.st_mode) else -1, found.st_mtime_ns, found.st_ctime_ns]

"""An index of a study's trainings in Parquet: findings on each, valid as long as none of its files has changed.

It is a cache: records and manifests remain authoritative. A row is used only if size and modification times of every
file that it was made from are unchanged, and no file was added. So an index that is missing, old or broken costs
time, but neither hides nor invents a result. It is written by pyarrow, which the commands' extra includes already:
ten thousand rows are read in a tenth of a second, and pandas and DuckDB can read the file.
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
# Below this number of trainings reading the files is as fast as reading an index, and pyarrow need not be imported.
LEAST = 500
_COLUMNS = ("train_id", "signature", "stamps", "lines", "checksum")
# Maps each file to its size and modification times; None for a file that does not exist.
Stamps = Mapping[str, list[int] | None]


@dataclass(frozen=True)
class Row:
    """The findings on a training and on all results that depend on it.

    Attributes:
        train_id: its id.
        stamps: the stamps of all files that were read, by their path under the store.
        signature: the digest of what its results are computed from, if all of them were sound; else "".
        lines: the lines of `ls` on its models; () where `ls` was not run.
    """

    train_id: str
    stamps: Stamps
    signature: str = ""
    lines: tuple[tuple[str, ...], ...] = ()

    def to_parquet(self) -> dict[str, str]:
        """Return the row's columns."""
        found = {
            "train_id": self.train_id,
            "signature": self.signature,
            "stamps": json.dumps(self.stamps),
            "lines": json.dumps(self.lines),
        }
        return {**found, "checksum": artifacts.digest(found)}

    @classmethod
    def from_parquet(cls, found: Mapping[str, Any]) -> "Row | None":
        """Rebuild a row; None where it differs from what was written."""
        content = {key: value for key, value in found.items() if key != "checksum"}
        if artifacts.digest(content) != found["checksum"]:
            return None
        lines = tuple(tuple(line) for line in json.loads(content["lines"]))
        return cls(content["train_id"], json.loads(content["stamps"]), content["signature"], lines)

    def covers(self, folders: Iterable[Path], root: Path) -> bool:
        """Whether the row was read from these folders, all of which existed."""
        manifests = (folder / artifacts.MANIFEST for folder in folders)
        return all(self.stamps.get(file.relative_to(root).as_posix()) is not None for file in manifests)

    def holds(self, root: Path) -> bool:
        """Whether every file is unchanged."""
        return all(_stamp(f"{root}/{name}") == known for name, known in self.stamps.items())


class Index:
    """The index of one study, read at first use.

    Args:
        store: the store.
        study: the study's name.
        least: the least number of trainings for which there is an index.
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
        """Return the findings on a training; None where there are none that are still valid."""
        found = self._rows.get(train_id)
        return found if found is not None and found.holds(self._store.root) else None

    def stamps(self, train_id: str, folders: Iterable[Path]) -> Stamps:
        """Return the stamps of a training's files, to be taken before its results are read.

        Args:
            train_id: its id.
            folders: the folders of all its results, existing or not.
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
        """Store findings; other fields of an existing row with the same stamps are kept.

        Args:
            train_id: the training's id.
            stamps: the stamps taken before.
            signature: the signature, if all results were sound.
            lines: the lines of `ls`.
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
        """Write the index if it has changed; of several writers the last one wins: all have read the files."""
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
        return {}  # A cache that cannot be read counts as empty.
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
    # Only regular files have a meaningful size.
    return [found.st_size if stat.S_ISREG(found.st_mode) else -1, found.st_mtime_ns, found.st_ctime_ns]

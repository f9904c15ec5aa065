"""Write observations block by block into files that other tools read; at most one block is in memory."""

import json
import re
import shutil
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol, get_args

import numpy as np

Format = Literal["npz", "parquet", "csv", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SUFFIXES: dict[str, Format] = {".npz": "npz", ".parquet": "parquet", ".csv": "csv", "": "png"}
# Entries of a zip file carry a date. A fixed one makes files with the same data equal byte by byte.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Block:
    """Some of the rows that are written.

    Attributes:
        x: observations as data sets store them: uint8 [b, c, h, w], or float32 [b, ...].
        label: their classes [b], or None.
        context: the numbers of their contexts [b] (`core.contexts`), or None. They are not written.
    """

    x: np.ndarray
    label: np.ndarray | None = None
    context: np.ndarray | None = None


def format_of(out: Path, given: str = "", *, images: bool = True) -> Format:
    """Return the requested format, or that the file's name says; a name without a suffix means a folder.

    Raises:
        ValueError: there is no such format, or picture files are requested and the data are no images; one line.
    """
    found = given or _SUFFIXES.get(out.suffix.lower(), "")
    if found not in FORMATS:
        ends = ", ".join(end for end in _SUFFIXES if end)
        raise ValueError(f"out={out}: expected a name in {ends}, a folder, or format={'|'.join(FORMATS)}")
    if found == "png" and not images:
        raise ValueError(f"out={out}: the data are no images; expected a name in .npz, .parquet or .csv")
    return found


def write(out: Path, blocks: Iterator[Block], n: int, file_format: Format) -> None:
    """Write n rows to a new file or folder, which appears only when it is complete.

    - npz: `x` and, with labels, `y`; numpy and `data=npz` read it.
    - parquet: a column `x` of lists (the shape of a row stands in the schema's metadata) and `y`.
    - csv: a column for each value of a row, x0, x1, ..., and `y`.
    - png: a file for each image, in a folder for each class where there are labels; `data=image_folder` reads it.

    Raises:
        OSError: the place cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with partial_file(out) as partial:
        _WRITERS[file_format](partial, blocks, n)
        partial.replace(out)


def write_arrays(out: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a new .npz file, which appears only when it is complete.

    Raises:
        OSError: the place cannot be written.
    """
    with partial_file(out) as partial:
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        partial.replace(out)


@contextmanager
def partial_file(out: Path) -> Iterator[Path]:
    """Yield a temporary path beside a new file or folder to write to and move from; what is left there is removed."""
    partial = out.with_name(f".partial-{uuid.uuid4().hex[:8]}-{out.name}")
    try:
        yield partial
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)


class _Writer(Protocol):
    def __call__(self, partial: Path, blocks: Iterator[Block], n: int) -> None: ...


def _write_npz(partial: Path, blocks: Iterator[Block], n: int) -> None:
    labels: list[np.ndarray] = []
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(_entry("x"), "w", force_zip64=True) as file:
            for place, block in enumerate(blocks):
                if place == 0:
                    _write_header(file, block.x, n)
                file.write(np.ascontiguousarray(block.x).data)
                labels += [] if block.label is None else [block.label]
        if labels:
            with archive.open(_entry("y"), "w", force_zip64=True) as file:
                _write_header(file, labels[0], n)
                for label in labels:
                    file.write(np.ascontiguousarray(label).data)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{name}.npy", _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _write_header(file: IO[bytes], block: np.ndarray, n: int) -> None:
    facts = {
        "descr": np.lib.format.dtype_to_descr(block.dtype),
        "fortran_order": False,
        "shape": (n, *block.shape[1:]),
    }
    np.lib.format.write_array_header_1_0(file, facts)


def _write_parquet(partial: Path, blocks: Iterator[Block], n: int) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ValueError("parquet: needs pyarrow; `pip install pyarrow`, or write .npz or .csv") from error

    writer = None
    try:
        for block in blocks:
            flat = pa.array(block.x.reshape(-1))
            columns = {"x": pa.FixedSizeListArray.from_arrays(flat, int(np.prod(block.x.shape[1:])))}
            if block.label is not None:
                columns["y"] = pa.array(block.label)
            shape = {"shape": json.dumps(block.x.shape[1:])}
            table = pa.table(columns).replace_schema_metadata(shape)
            writer = writer or pq.ParquetWriter(partial, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _write_csv(partial: Path, blocks: Iterator[Block], n: int) -> None:
    import pandas as pd

    with partial.open("w", encoding="utf-8", newline="") as file:
        for place, block in enumerate(blocks):
            rows = block.x.reshape(len(block.x), -1)
            table = pd.DataFrame(rows, columns=[f"x{column}" for column in range(rows.shape[1])])
            if block.label is not None:
                table["y"] = block.label
            table.to_csv(file, index=False, header=place == 0, lineterminator="\n")


def _write_png(partial: Path, blocks: Iterator[Block], n: int) -> None:
    from PIL import Image

    partial.mkdir()
    index, width = 0, len(str(n - 1))
    folders: dict[str, Path] = {}
    for block in blocks:
        for row, image in enumerate(block.x):
            folder = partial
            if block.label is not None:
                name = str(block.label[row])
                if name not in folders:
                    folders[name] = _folder(partial, name, len(folders))
                folder = folders[name]
            Image.fromarray(
                image.transpose(1, 2, 0).squeeze(-1) if image.shape[0] == 1 else image.transpose(1, 2, 0)
            ).save(folder / f"{index:0{width}d}.png")
            index += 1


def _folder(place: Path, name: str, number: int) -> Path:
    """Create the folder of a class: its name with unsafe characters replaced, and a number where that is taken."""
    plain = re.sub(r"[^\w .+-]", "_", name).strip(" .") or "_"
    folder = place / plain
    if folder.exists():
        folder = place / f"{plain}-{number}"
    folder.mkdir()
    return folder


_WRITERS: dict[Format, _Writer] = {
    "npz": _write_npz,
    "parquet": _write_parquet,
    "csv": _write_csv,
    "png": _write_png,
}

"""Checks of a file before it is read: whether its content fits its name, and whether it fits into memory."""

import os
from pathlib import Path
from typing import Literal

from priorgap.data.splits import DataCorrupt, DataUnavailable

Format = Literal["text", "parquet", "mat", "hdf5", "npz"]

FORMATS: dict[str, Format] = {
    ".csv": "text", ".tsv": "text", ".txt": "text", ".parquet": "parquet", ".pq": "parquet", ".mat": "mat",
    ".h5": "hdf5", ".hdf5": "hdf5", ".npz": "npz", ".npy": "npz",
}  # fmt: skip
# Suffixes of files that are not read, with the advice for each.
_REMEDIES = {
    ".xlsx": "an Excel workbook: save the sheet as .csv",
    ".xls": "an Excel workbook: save the sheet as .csv",
    ".ods": "a workbook: save the sheet as .csv",
    ".pkl": "a pickle, which runs code when it is read: save it as .parquet or .npz",
    ".pickle": "a pickle, which runs code when it is read: save it as .parquet or .npz",
    ".pt": "a pickle, which runs code when it is read: save it as .npz",
    ".gz": "compressed: unpack it first",
    ".zip": "an archive: unpack it first",
}
# The first bytes of known kinds of files, what each is, and the formats whose files may begin with them.
_BEGINNINGS: tuple[tuple[bytes, str, tuple[Format, ...]], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the data: fetch them by `git lfs pull`", ()),
    (b"PK\x03\x04", "an Excel workbook or another zip archive: save the sheet as .csv, or unpack it", ("npz",)),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save the sheet as .csv", ()),
    (b"\x1f\x8b", "compressed by gzip: unpack it first", ()),
    (b"BZh", "compressed by bzip2: unpack it first", ()),
    (b"\xfd7zXZ", "compressed by xz: unpack it first", ()),
    (b'{"', "JSON, not a table", ()),
    (b"%PDF", "a PDF document", ()),
    (b"PAR1", "a Parquet file: name it .parquet", ("parquet",)),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file: name it .h5", ("hdf5", "mat")),
    (b"MATLAB 5.0", "a MATLAB file: name it .mat", ("mat",)),
    (b"MATLAB 7.3", "a MATLAB file: name it .mat", ("mat",)),
    (b"\x93NUMPY", "a NumPy array: name it .npy", ("npz",)),
)  # fmt: skip
_PAGES = (b"<!doctype html", b"<html", b"<?xml")
_BEGIN = 1024


def format_of(path: Path) -> Format:
    """Return the format that a file's name says.

    Raises:
        ValueError: files of this name are not read; one line with the remedy.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        known = f"expected a file in {', '.join(FORMATS)}"
        remedy = _REMEDIES.get(path.suffix.lower())
        if not path.suffix:
            remedy = "no ending (a folder of images is data=image_folder)"
        raise ValueError(f"data.path={path}: {f'{remedy}; ' if remedy else ''}{known}")
    return found


def check_beginning(path: Path, file_format: Format) -> None:
    """Refuse a file that is missing or empty, or whose first bytes show another format than its name.

    Raises:
        DataUnavailable: there is no such file.
        DataCorrupt: its content is of another kind; one line with the remedy.
    """
    place = f"data.path={path}"
    if path.is_dir():
        raise DataUnavailable(f"{place}: a folder; expected a file (a folder of images is data=image_folder)")
    if not path.is_file():
        raise DataUnavailable(f"{place}: no such file")
    with path.open("rb") as file:
        begin = file.read(_BEGIN)
    if not begin:
        raise DataCorrupt(f"{place}: an empty file; expected rows")
    for mark, what, formats in _BEGINNINGS:
        if begin.startswith(mark) and file_format not in formats:
            raise DataCorrupt(f"{place}: {what}; expected what its name says")
    if begin.lstrip().lower().startswith(_PAGES):
        raise DataCorrupt(f"{place}: a web page, not the data: download the file itself")


def check_size(n_bytes: int, what: str) -> None:
    """Refuse data that do not fit into memory, before they are read.

    Args:
        n_bytes: the size that the file states.
        what: the file and the array, for the message.

    Raises:
        ValueError: one line with both sizes.
    """
    memory = memory_bytes()
    if n_bytes > memory:
        raise ValueError(
            f"{what}: {n_bytes / 2**30:,.1f} GiB; expected what this machine's memory of {memory / 2**30:,.1f} GiB "
            "holds: save fewer rows"
        )


def memory_bytes() -> int:
    """Return the size of this machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

"""The idx file format of MNIST and its relatives, and checksums of files."""

import hashlib
import math
import struct
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from priorgap.data.splits import DataCorrupt

_UNSIGNED_BYTE = 8


def md5(path: Path) -> str:
    """Return the MD5 of a file in hex; these data sets are published with MD5 checksums."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check_md5(path: Path, expected: str) -> None:
    """Compare a file with its published checksum.

    Raises:
        DataCorrupt: they differ; the line names the file, its MD5 and the expected one.
    """
    found = md5(path)
    if found != expected:
        raise DataCorrupt(
            f"{path}: MD5 {found}, expected {expected}: delete the file to have it fetched again"
        )


def read_idx(path: Path) -> UInt8[Tensor, "..."]:
    """Read an unpacked idx file of unsigned bytes.

    Raises:
        DataCorrupt: it is no idx file, or its length contradicts its header.
    """
    content = path.read_bytes()
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise DataCorrupt(f"{path}: no idx file of unsigned bytes")
    n_axes = content[3]
    start = 4 + 4 * n_axes
    if len(content) < start:
        raise DataCorrupt(f"{path}: the idx header is cut off")
    shape = struct.unpack(f">{n_axes}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataCorrupt(f"{path}: {len(content) - start} bytes of data, its header says {math.prod(shape)}")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).reshape(shape)

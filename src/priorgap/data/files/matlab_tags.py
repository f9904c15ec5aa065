"""Checks of the tags in a MATLAB 5 to 7 file before SciPy relies on them: wrong ones would crash the process."""

import math
import struct
import zlib
from pathlib import Path

# The bytes of one value, by the number that MATLAB's format gives its type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_TEXTS = {1: 1, 2: 1, 3: 2, 4: 2, 16: 1, 17: 2, 18: 4}
_MATRIX, _COMPRESSED = 14, 15
_CHAR, _NUMERIC = 4, range(6, 16)
_COMPLEX = 0x0800
_FIRST = 128
# Enough bytes from the start of an array for its flags, shape and name.
_HEAD = 4096


class Complex(ValueError):  # noqa: N818
    """An array has complex values."""


def check_tags(path: Path, names: list[str]) -> None:
    """Check the tags of some arrays in a file of version 5 to 7 before their values are read.

    Raises:
        Complex: one of the arrays is complex.
        ValueError: the tags contradict each other; one line.
    """
    seen = set()
    with path.open("rb") as file:
        file.seek(_FIRST - 2)
        order = {b"IM": "<", b"MI": ">"}.get(file.read(2), "")
        place, end = _FIRST, path.stat().st_size
        while order and place + 8 <= end:
            file.seek(place)
            kind, size = struct.unpack(f"{order}II", file.read(8))
            body = file.read(min(size, _HEAD))
            place += 8 + size
            if kind == _COMPRESSED:
                try:
                    body = zlib.decompressobj().decompress(body, _HEAD)
                except zlib.error as error:
                    raise ValueError("damaged where it is compressed") from error
                (kind,) = struct.unpack_from(f"{order}I", body.ljust(8, b"\0"))
                body = body[8:]
            if kind == _MATRIX:
                try:
                    seen.add(_check_matrix(body, order, names))
                except struct.error as error:
                    raise ValueError("it ends before its values") from error
    missing = [name for name in names if name not in seen]
    if missing:
        raise ValueError(f"no array {missing[0]} where its tags say")


def _check_matrix(body: bytes, order: str, names: list[str]) -> str:
    """Return an array's name; its tags are checked if it is one of `names`."""
    kind, size, at, after = _tag(body, order, 0)
    flags, _ = struct.unpack_from(f"{order}II", body, at)
    known = kind == 6 and size == 8
    kind, size, at, after = _tag(body, order, after)
    known = known and kind == 5 and size % 4 == 0
    shape = struct.unpack_from(f"{order}{size // 4}i", body, at) if size <= _HEAD else ()
    kind, size, at, after = _tag(body, order, after)
    name = body[at : at + size].decode("latin1")
    if name not in names:
        return name
    if not known or kind != 1 or min(shape, default=-1) < 0:
        raise ValueError(f"{name} has a damaged head")
    if flags & _COMPLEX:
        raise Complex(name)
    kind, size, _, _ = _tag(body, order, after)
    sizes = _TEXTS if flags & 0xFF == _CHAR else _SIZES
    is_text = flags & 0xFF == _CHAR
    if not is_text and flags & 0xFF not in _NUMERIC:
        raise ValueError(f"{name} is no plain array")
    if kind not in sizes or (not is_text and size != math.prod(shape) * sizes[kind]):
        raise ValueError(f"{name} has another number of values than its shape says")
    return name


def _tag(body: bytes, order: str, at: int) -> tuple[int, int, int, int]:
    """Return an element's type, its size, the position of its content, and the position of the next element."""
    (first,) = struct.unpack_from(f"{order}I", body, at)
    if first >> 16:
        # Small elements hold tag and content in 8 bytes.
        return first & 0xFFFF, min(first >> 16, 4), at + 4, at + 8
    (size,) = struct.unpack_from(f"{order}I", body, at + 4)
    return first, size, at + 8, at + 8 + -(-size // 8) * 8

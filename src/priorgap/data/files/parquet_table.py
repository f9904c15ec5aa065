"""Tables in Parquet files; a column of lists of numbers is an array, as `priorgap generate` writes it."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.files.columns import Choice, check_target, matrix_of, not_numbers, select
from priorgap.data.files.contents import check_size
from priorgap.data.own_arrays import OwnArrays
from priorgap.data.splits import DataCorrupt

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# The bytes of a number in memory.
_NUMBER = 8


def read_parquet(path: Path, choice: Choice) -> OwnArrays:
    """Return the table of a Parquet file.

    Raises:
        DataCorrupt: it is no Parquet file, or damaged.
        ValueError: pyarrow is not installed, or columns are no numbers, hold missing values, ...; one line.
    """
    place = f"data.path={path}"
    with opened(path, place) as file:
        names = [str(name) for name in file.schema_arrow.names]
        selection = select(names, choice, place)
        wanted = [*selection.x, *([] if selection.target is None else [selection.target])]
        table = columns_of(file, wanted, place)
    arrays: dict[str, np.ndarray] = {}
    done: list[str] = []
    columns: tuple[str, ...] = ()
    x = "the table"
    if any(_is_list(table.schema.field(names[i]).type) for i in selection.x):
        x = f"column {names[selection.x[0]]}"
        arrays[x] = _of_lists(table, [names[i] for i in selection.x], place)
    else:
        found = matrix_of(
            {i: numbers_of(table.column(names[i]), names[i], place) for i in selection.x}, names, place,
            asked=choice.x is not None, line=lambda row: f"row {row}",
        )  # fmt: skip
        arrays[x], columns = found.array, found.names
        done += found.done
    ys = {}
    if selection.target is not None:
        name = names[selection.target]
        label = _label(table.column(name), name, place)
        check_target(label, name, place, asked=choice.target is not None)
        arrays[f"column {name}"], ys = label, {"": f"column {name}"}
    if selection.n_left_out:
        done.append(f"{selection.n_left_out} other columns were left out")
    facts = {"columns": list(columns) or [names[i] for i in selection.x]}
    return OwnArrays(arrays, {"": x}, ys, facts, tuple(done), columns)


def opened(path: Path, place: str) -> "pq.ParquetFile":
    """Return an open Parquet file.

    Raises:
        DataCorrupt: it is no Parquet file.
        ValueError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ValueError(
            f"{place}: pyarrow is not installed; expected the extra files: pip install 'priorgap[files]'"
        ) from error

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataCorrupt(f"{place}: no Parquet file, or a damaged one") from error


def columns_of(file: "pq.ParquetFile", places: list[int], place: str) -> "pa.Table":
    """Return some columns of an open file.

    Raises:
        DataCorrupt: it is damaged.
        ValueError: they do not fit into memory.
    """
    import pyarrow as pa

    names = file.schema_arrow.names
    check_size(file.metadata.num_rows * _NUMBER * _width(file.schema_arrow, places), place)
    try:
        return file.read(columns=[names[i] for i in places])
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataCorrupt(f"{place}: a damaged Parquet file") from error


def _width(schema: "pa.Schema", places: list[int]) -> int:
    """Return a lower limit of the number of values in a row."""
    return sum(max(getattr(schema.field(i).type, "list_size", 1), 1) for i in places)


def _is_list(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def numbers_of(column: "pa.ChunkedArray", name: str, place: str, remedy: str = "") -> np.ndarray:
    """Return a column of numbers, with NaN for missing values; `remedy` as in `columns.not_numbers`.

    Raises:
        ValueError: it holds something other than numbers.
    """
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_null(kind):
        return np.full(len(column), np.nan)
    if types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if not holds_numbers(kind):
        values = column.slice(0, 1000).to_pylist()
        known = [value for value in values if value is not None] or [f"values of type {kind}"]
        raise not_numbers(name, known, 0, "", place, remedy)
    if column.null_count:
        column = column.cast(pa.int8()) if types.is_boolean(kind) else column
        column = column.cast(pa.float64(), safe=False)
    # `to_numpy` gives NaN for missing values.
    return np.asarray(column.to_numpy())


def holds_numbers(kind: "pa.DataType") -> bool:
    """Return whether a column of this type holds numbers."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return holds_numbers(kind.value_type)
    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)


def plain_of(column: "pa.ChunkedArray", key: str) -> np.ndarray:
    """Return a column of times or names as numbers, datetime64, or texts with None for missing values.

    Raises:
        ValueError: it holds values of another type; one line that begins with the key.
    """
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    elif types.is_string(kind) or types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=object)
    elif not (types.is_timestamp(kind) or holds_numbers(kind)):
        raise ValueError(f"{key}: a column of {kind}; expected numbers, dates or texts")
    return numbers_of(column, "", key) if holds_numbers(kind) else np.asarray(column.to_numpy())


def _of_lists(table: "pa.Table", names: list[str], place: str) -> np.ndarray:
    """Return a column of lists of numbers as an array; its shape is read from the metadata that `generate` writes.

    Raises:
        ValueError: there are other columns too, or the lists differ in length or hold no numbers; one line.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    if len(names) > 1:
        raise ValueError(
            f"{place}: columns {show(', '.join(names))}, of which some hold lists; expected one column of lists "
            "(data.x=NAME), or columns of numbers"
        )
    column = table.column(names[0])
    kind = column.type.value_type
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise ValueError(f"{place}: column {names[0]} holds lists of {kind}; expected lists of numbers")
    sizes = pc.unique(pc.list_value_length(column)).to_pylist() if len(column) else [0]
    flat = pc.list_flatten(column)
    if sizes == [None] or len(sizes) != 1 or column.null_count or flat.null_count:
        given = ", ".join("none" if size is None else str(size) for size in sizes[:3])
        raise ValueError(
            f"{place}: column {names[0]} holds lists of {given} values, or missing ones; expected numbers, as many "
            "in each row"
        )
    if isinstance(flat, pa.ChunkedArray):
        flat = flat.combine_chunks()
    array = np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(len(column), sizes[0])
    shape = _shape(table.schema.metadata or {}, sizes[0])
    return array if shape is None else array.reshape(len(array), *shape)


def _shape(metadata: "dict[bytes, bytes]", size: int) -> tuple[int, ...] | None:
    """Return the shape of a row that the metadata state, if it has this many values; else None."""
    try:
        found: Any = json.loads(metadata.get(b"shape", b"null"))
    except ValueError:
        return None
    if not isinstance(found, list) or not all(type(n) is int and n > 0 for n in found):
        return None
    return tuple(found) if math.prod(found) == size else None


def _label(column: "pa.ChunkedArray", name: str, place: str) -> np.ndarray:
    """Return labels: numbers, truth values or names.

    Raises:
        ValueError: they are of another type.
    """
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_string(kind) or types.is_large_string(kind):
        return np.array(["" if value is None else value for value in column.to_pylist()], dtype=str)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return numbers_of(column, name, place)
    raise ValueError(f"{place}: column {name} is of type {kind}; expected labels: integers or names")

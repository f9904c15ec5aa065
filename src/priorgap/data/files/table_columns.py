"""Columns of any kind in text and Parquet files, without conversion: texts, numbers, truth values and dates."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from priorgap.data.files.columns import INDEX, check_names, numbers_the_rows
from priorgap.data.files.contents import Format, check_beginning, check_size, format_of
from priorgap.data.files.parquet_table import columns_of, opened
from priorgap.data.files.text_form import Decimal, form_of, with_points
from priorgap.data.files.text_table import MISSING, frame_of, whole_lines
from priorgap.tables.columns import RawColumn

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS: tuple[Format, ...] = ("text", "parquet")


def read_columns(
    path: Path, header: bool | None, decimal: Decimal | None, *, target: str | None, drop: tuple[str, ...]
) -> tuple[list[RawColumn], list[str]]:
    """Return the columns of a file, and what was left out or is unusual, in words.

    In text files all values are texts; a missing value is one of `MISSING`.

    Args:
        path: the file, of one of the `FORMATS`.
        header: whether the first line of a text file names the columns; None: decided by its values.
        decimal: the decimal separator of a text file; None: decided by the values.
        target: the name of a column that must exist.
        drop: the names of columns that are not read.

    Raises:
        DataUnavailable: there is no such file.
        DataCorrupt: its content is of another format than its name says, or damaged.
        ValueError: a name occurs twice or not at all, or values are of an unknown kind; one line.
    """
    file_format = format_of(path)
    check_beginning(path, file_format)
    place = f"data.path={path}"
    asked = {"drop": drop, "target": () if target is None else (target,)}
    if file_format == "text":
        found, done = _of_text(path, place, header, decimal, asked)
    else:
        found, done = _of_parquet(path, place, asked)
    kept = [column for column in found if not _is_index(column)]
    if len(kept) < len(found):
        done.append("a column without a name that numbers the rows was left out")
    if not kept or not len(kept[0].values):
        raise ValueError(f"{place}: holds no rows; expected a table")
    return kept, done


def _is_index(column: RawColumn) -> bool:
    """Whether a column is an index that a tool wrote, which only numbers the rows."""
    if column.name and not column.name.startswith(INDEX):
        return False
    try:
        return numbers_the_rows(column.values.astype(np.float64))
    except (TypeError, ValueError):
        return False


def _of_text(
    path: Path, place: str, header: bool | None, decimal: Decimal | None, asked: "dict[str, tuple[str, ...]]"
) -> tuple[list[RawColumn], list[str]]:
    check_size(path.stat().st_size, place)
    form = form_of(path, place, header, decimal)
    check_names(form.names, asked, place)
    frame = frame_of(path, place, form, range(len(form.names)))
    whole_lines(frame, path, form)
    columns = []
    for i, name in enumerate(form.names):
        if name in asked["drop"]:
            continue
        texts = [None if text.strip() in MISSING else text.strip() for text in frame[str(i)].fillna("")]
        if form.decimal == ",":
            texts = [None if text is None else with_points(text) for text in texts]
        columns.append(RawColumn(_called(name, i), _objects(texts)))
    return columns, list(form.done)


def _called(name: str, i: int) -> str:
    return name or f"unnamed_{i + 1}"


def _objects(values: "list[object]") -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _of_parquet(
    path: Path, place: str, asked: "dict[str, tuple[str, ...]]"
) -> tuple[list[RawColumn], list[str]]:
    with opened(path, place) as file:
        names = [str(name) for name in file.schema_arrow.names]
        check_names(names, asked, place)
        kept = [i for i, name in enumerate(names) if name not in asked["drop"]]
        table = columns_of(file, kept, place)
    columns = [
        RawColumn(_called(names[i], i), _values(table.column(at), names[i], place))
        for at, i in enumerate(kept)
    ]
    return columns, []


def _values(column: "pa.ChunkedArray", name: str, place: str) -> np.ndarray:
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_date(kind) or types.is_timestamp(kind):
        return np.asarray(column.cast(pa.timestamp("ns")).to_numpy())
    if types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if types.is_integer(kind) or types.is_floating(kind):
        return np.asarray(column.to_numpy())
    if types.is_null(kind) or types.is_boolean(kind) or types.is_string(kind) or types.is_large_string(kind):
        return _objects(column.to_pylist())
    raise ValueError(
        f"{place}: column {name} is of type {kind}; expected numbers, texts, truth values or dates: "
        f"data.drop=[{name}] leaves it out"
    )

"""Given values of some columns of a table, from a user's own file: the conditions under which a model generates."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import show
from priorgap.data.files.contents import format_of
from priorgap.data.files.table_columns import FORMATS, read_columns
from priorgap.tables.codec import Codec, encode
from priorgap.tables.columns import RawColumn, TypedColumn, typed
from priorgap.tables.layout import Column, TableLayout, Value
from priorgap.tables.schema import ColumnSchema


def read_given_columns(path: Path, table: TableLayout, names: Sequence[str]) -> Float[Tensor, "m g"]:
    """Return the rows of a file that holds some columns, coded as in x, without the other columns' positions.

    Args:
        path: .csv, .tsv, .txt or .parquet, in the units of the table's own file; the first line of a text file names
            the columns.
        table: the whole table.
        names: the names of the columns, which the file must have.

    Raises:
        DataUnavailable: there is no such file.
        ValueError: it has other columns, or values that the training rows lack; one line.
    """
    place = f"given={path}"
    try:
        if format_of(path) not in FORMATS:
            raise ValueError(f"{place}: expected .csv, .tsv, .txt or .parquet")
        header = True if format_of(path) == "text" else None
        columns, _ = read_columns(path, header, None, target=None, drop=())
    except ValueError as error:
        # The reader's message names data.path; the message should name the key that the user typed.
        raise type(error)(str(error).replace(f"data.path={path}", place)) from error
    found = {column.name: column for column in columns}
    if len(found) < len(columns) or set(found) != set(names):
        raise ValueError(
            f"{place}: has the columns {show(', '.join(column.name for column in columns))}; expected those that the "
            f"model is told, each once: {show(', '.join(names))}"
        )
    part = table.part(names)
    known = [_known(found[column.name], column, place) for column in part.coded]
    try:
        return torch.from_numpy(encode(Codec(part, ()), known))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _known(raw: RawColumn, column: Column, place: str) -> TypedColumn:
    """Return a column's values; all of them must be possible for training rows.

    Raises:
        ValueError: a value is not possible; one line with its row.
    """
    values = typed(raw, ColumnSchema(column.name, column.kind), place)
    if column.numeric:
        odd = values.missing if column.missing is None else np.zeros(len(values.missing), dtype=bool)
        expected = "a number in each row, as training rows have"
    else:
        values = replace(values, values=_as_categories(values.values, column.categories))
        odd = np.array([value not in column.categories for value in values.values], dtype=bool)
        expected = f"one of {show(', '.join('nothing' if c is None else str(c) for c in column.categories))}"
    if odd.any():
        row = int(odd.argmax())
        value = "nothing" if values.missing[row] else show(raw.values[row])
        raise ValueError(f"{place}: column {column.name} holds {value} in row {row + 1}; expected {expected}")
    return values


def _as_categories(values: np.ndarray, categories: Sequence[Value]) -> np.ndarray:
    """Return values in the type that the categories have in the table's file, converting numbers and texts."""
    by_text = {str(category): category for category in categories if category is not None}
    found = np.empty(len(values), dtype=object)
    found[:] = [None if value is None else by_text.get(str(value), value) for value in values]
    return found

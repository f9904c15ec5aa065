"""Rows of some columns of a table, from a user's own file: what a model is told when it generates."""

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
    """Return the rows of a file of some columns as they stand in x, without the places of the others.

    Args:
        path: .csv, .tsv, .txt or .parquet, in the units of the table's own file; of text files the first line names
            the columns.
        table: the whole table.
        names: the columns, which are those of the file.

    Raises:
        DataUnavailable: there is no such file.
        ValueError: it has other columns, or values that training rows have not; one line.
    """
    place = f"given={path}"
    try:
        if format_of(path) not in FORMATS:
            raise ValueError(f"{place}: expected .csv, .tsv, .txt or .parquet")
        header = True if format_of(path) == "text" else None
        columns, _ = read_columns(path, header, None, target=None, drop=())
    except ValueError as error:
        # the reader's message names data.path: name the key that was typed instead
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
    """Return a column's values, all of which training rows could have.

    Raises:
        ValueError: one is something else; one line with its row.
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
    """Return values with texts of numbers as the numbers that they are in the table's own file, and the reverse."""
    by_text = {str(category): category for category in categories if category is not None}
    found = np.empty(len(values), dtype=object)
    found[:] = [None if value is None else by_text.get(str(value), value) for value in values]
    return found

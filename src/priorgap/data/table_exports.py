"""Write rows of a table block by block, in the units and values of the data's file: .csv or .parquet."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priorgap.data.exports import Block, Format, partial_file
from priorgap.tables.layout import Column, TableLayout

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMATS: tuple[Format, ...] = ("csv", "parquet")
_DATES = {"D": "%Y-%m-%d", "s": "%Y-%m-%d %H:%M:%S"}


def write_table(out: Path, blocks: Iterator[Block], layout: TableLayout, file_format: Format) -> None:
    """Write rows to a new file, which appears only when it is complete.

    Columns stand in the order of the data's file and hold its values: integers as integers, categories unchanged,
    constants filled in, missing values empty. Labels are a column of the table and are not written again.

    Args:
        out: the file.
        blocks: rows as vectors.
        layout: the layout of the columns in the vectors.
        file_format: csv or parquet.

    Raises:
        ValueError: another format.
        OSError: the place cannot be written.
    """
    check_table_format(out, file_format)
    out.parent.mkdir(parents=True, exist_ok=True)
    frames = (layout.frame(block.x) for block in blocks)
    with partial_file(out) as partial:
        (_write_csv if file_format == "csv" else _write_parquet)(partial, frames, layout)
        partial.replace(out)


def check_table_format(out: Path, file_format: Format) -> None:
    """Refuse a format without columns.

    Raises:
        ValueError: one line.
    """
    if file_format not in FORMATS:
        raise ValueError(f"out={out}: the data are a table; expected a name in .csv or .parquet")


def _write_csv(partial: Path, frames: "Iterator[pd.DataFrame]", layout: TableLayout) -> None:
    with partial.open("w", encoding="utf-8", newline="") as file:
        for place, frame in enumerate(frames):
            for column in layout.columns:
                frame[column.name] = _as_text(frame[column.name], column)
            frame.to_csv(file, index=False, header=place == 0, lineterminator="\n")


def _as_text(values: "pd.Series[Any]", column: Column) -> "pd.Series[Any]":
    """Return values that pandas writes as the data's file has them."""
    if column.kind == "integer":
        # The nullable type writes integers as such beside missing values; floats would get a decimal point.
        return values.astype("Int64")
    if column.kind == "datetime" and column.resolution in _DATES:
        found: pd.Series[Any] = values.dt.strftime(_DATES[column.resolution])
        return found
    return values


def _write_parquet(partial: Path, frames: "Iterator[pd.DataFrame]", layout: TableLayout) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ValueError("parquet: needs pyarrow; `pip install pyarrow`, or write .csv") from error

    schema = pa.schema([pa.field(column.name, _arrow_type(column)) for column in layout.columns])
    with pq.ParquetWriter(partial, schema) as writer:
        for frame in frames:
            arrays: list[Any] = [
                pa.array(_as_arrow(frame[column.name], column), type=schema.field(i).type, from_pandas=True)
                for i, column in enumerate(layout.columns)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _as_arrow(values: "pd.Series[Any]", column: Column) -> "pd.Series[Any]":
    if column.kind == "integer":
        return values.astype("Int64")
    if column.kind == "datetime" and column.resolution == "D":
        found: pd.Series[Any] = values.dt.date
        return found
    return values


def _arrow_type(column: Column) -> "pa.DataType":
    import pyarrow as pa

    if column.kind == "continuous":
        return pa.float64()
    if column.kind == "integer":
        return pa.int64()
    if column.kind == "datetime":
        return pa.date32() if column.resolution == "D" else pa.timestamp("ns")
    known = [column.value] if column.constant else [one for one in column.categories if one is not None]
    if all(isinstance(one, bool) for one in known):
        return pa.bool_()
    if all(isinstance(one, int) for one in known):
        return pa.int64()
    # A schema may declare columns of numbers as categories.
    return pa.float64() if all(isinstance(one, int | float) for one in known) else pa.string()

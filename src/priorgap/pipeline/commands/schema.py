"""`priorgap schema`: writes the guessed kinds of a table's columns to a file for editing."""

import sys
from collections.abc import Sequence
from pathlib import Path

from priorgap.core.artifacts import write_text
from priorgap.core.errors import BadInput, refusing
from priorgap.data.table import Table
from priorgap.data.table_rows import schema_of
from priorgap.tables.schema import left_out

_KEYS = ("data.path", "data.drop", "data.schema", "data.header", "data.decimal", "out")
_TRUTH = {"true": True, "false": False}
_DECIMALS = ("point", "comma")


def main(arguments: Sequence[str]) -> int:
    """Run the command; bad input raises ValueError with one line."""
    with refusing():
        table, out = _parse(arguments)
        columns, done = table.columns()
        schema = schema_of(columns, table.schema, f"data.path={table.path}")
    for line in (*done, *left_out(schema.columns)):
        sys.stderr.write(f"priorgap: {line}\n")
    if out is None:
        sys.stdout.write(schema.text())
        return 0
    try:
        write_text(out, schema.text())
    except OSError as error:
        raise BadInput(f"out={out}: cannot be written: {error.strerror}") from error
    sys.stderr.write(f"priorgap: {out}: edit it, and give it to the study: data.schema={out}\n")
    return 0


def _parse(arguments: Sequence[str]) -> tuple[Table, Path | None]:
    given: dict[str, str] = {}
    for word in arguments:
        key, separator, value = word.partition("=")
        if not separator or key not in _KEYS:
            raise ValueError(f"{word}: expected key=value with a key of {', '.join(_KEYS)}")
        if not value:
            raise ValueError(f"{key}=: expected a value")
        given[key] = value
    if "data.path" not in given:
        raise ValueError("data.path: missing; priorgap schema needs data.path=FILE")
    header, decimal = given.get("data.header"), given.get("data.decimal")
    if header is not None and header not in _TRUTH:
        raise ValueError(f"data.header={header}: expected true or false")
    if decimal is not None and decimal not in _DECIMALS:
        raise ValueError(f"data.decimal={decimal}: expected point or comma")
    drop = tuple(name.strip() for name in given.get("data.drop", "").strip("[]").split(",") if name.strip())
    out = Path(given["out"]) if "out" in given else None
    if out is not None and out.exists():
        raise ValueError(f"out={out}: exists already; expected a new path")
    table = Table(
        Path(given["data.path"]), drop=drop, schema=Path(given["data.schema"]) if "data.schema" in given else None,
        header=None if header is None else _TRUTH[header],
        decimal=None if decimal is None else "comma" if decimal == "comma" else "point",
    )  # fmt: skip
    return table, out

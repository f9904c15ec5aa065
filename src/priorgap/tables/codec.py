"""Rows of a table as vectors x: the layout is fitted on training rows and applied to all rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from priorgap.core.arguments import show
from priorgap.tables.columns import TypedColumn
from priorgap.tables.layout import Column, TableLayout, Value

# A column with more categories is refused, because its one-hot block would be too wide to train on.
MOST_CATEGORIES = 500
# Integers of a wider range are not exact as standardised 32-bit floats.
_EXACT = 2**22


@dataclass(frozen=True, eq=False)
class Codec:
    """A layout, with remarks from fitting it.

    Attributes:
        layout: the layout of the columns in x.
        said: what was left out and what a user should know, in words.
    """

    layout: TableLayout
    said: tuple[str, ...]


def fit(columns: Sequence[TypedColumn], train: np.ndarray, target: str | None, place: str) -> Codec:
    """Fit the layout of columns on their training rows; identifiers are left out.

    A column without any value is left out; a constant column has no place in x and is restored on output.

    Args:
        columns: the columns with all rows.
        train: the indices of the training rows.
        target: the name of the labels' column; None without labels.
        place: the file, for messages.

    Raises:
        ValueError: there are too many categories, numbers are too large, or no column is left; one line.
    """
    found: list[Column] = []
    said: list[str] = []
    end = 0
    for column in columns:
        if column.schema.kind == "id":
            continue
        values, missing = column.values[train], column.missing[train]
        name = column.schema.name
        if missing.all():
            said.append(f"column {name} left out: no training row has a value")
            continue
        known = values[~missing]
        constant = not missing.any() and len(set(known.tolist())) == 1
        one = _numeric(column, known, bool(missing.any()), end, place, constant=constant)
        one = one or _one_hot(column, known, bool(missing.any()), end, place, constant=constant)
        said += _noted(column, one)
        end = one.stop if one.missing is None else one.missing + 1
        found.append(one)
    if not end:
        raise ValueError(f"{place}: no column with two values or more is left; expected at least one")
    return Codec(TableLayout(tuple(found), target), tuple(said))


def _numeric(
    column: TypedColumn, known: np.ndarray, missing: bool, start: int, place: str, *, constant: bool
) -> Column | None:
    schema = column.schema
    if schema.kind not in ("continuous", "integer", "datetime"):
        return None
    facts = {"decimals": column.decimals, "resolution": column.resolution}
    if constant:
        value = float(known[0])
        return Column(schema.name, schema.kind, start, start, mean=value, constant=True, value=value, **facts)  # type: ignore[arg-type]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(known.mean()), float(known.std())
    if not np.isfinite([mean, scale]).all():
        raise ValueError(
            f"{place}: column {schema.name} holds numbers up to {np.abs(known).max():.3g}; expected none so large"
        )
    at = start + 1 if missing else None
    return Column(schema.name, schema.kind, start, start + 1, at, mean=mean, scale=scale or 1.0, **facts)  # type: ignore[arg-type]


def _one_hot(
    column: TypedColumn, known: np.ndarray, missing: bool, start: int, place: str, *, constant: bool
) -> Column:
    schema = column.schema
    there = set(known.tolist())
    if constant:
        (value,) = there
        return Column(schema.name, schema.kind, start, start, constant=True, value=value)  # type: ignore[arg-type]
    # Categories that training rows lack are dropped from a declared order, because nothing can be learned about them.
    ordered = [one for one in schema.categories if one in there] or sorted(there, key=_order)
    if len(ordered) > MOST_CATEGORIES:
        raise ValueError(
            f"{place}: column {schema.name} has {len(ordered)} categories in {len(known)} training rows; expected at "
            f"most {MOST_CATEGORIES}: leave it out (data.drop=[{schema.name}] of data=table), or put groups for its "
            "values"
        )
    categories: tuple[Value, ...] = (*ordered, *((None,) if missing else ()))
    stop = start + len(categories)
    return Column(schema.name, schema.kind, start, stop, categories=categories)  # type: ignore[arg-type]


def _order(value: Value) -> tuple[bool, float, str]:
    # Integers are sorted by size, and come before texts.
    is_text = isinstance(value, str)
    return is_text, 0.0 if is_text or value is None else float(value), str(value)


def _noted(column: TypedColumn, found: Column) -> list[str]:
    """Return remarks on a column that a user should know, in words."""
    if found.constant:
        value = found.value if found.kind != "datetime" else found.values(np.zeros((1, 1)))[0]
        return [f"column {found.name} is constant ({show(value)}): no part of x, restored"]
    if found.kind == "integer":
        known = column.values[~column.missing]
        width = float(known.max() - known.min())
        if width > _EXACT:
            return [
                f"column {found.name}: integers over a range of {width:.3g}, exact to about {width * 1e-7:.2g}"
            ]
    return []


def encode(codec: Codec, columns: Sequence[TypedColumn]) -> np.ndarray:
    """Return rows as x, float32 [n, width].

    A category that training rows lack becomes a block of zeros. A missing number becomes the mean where training rows
    have no missing values in its column. `unseen` counts both.

    Raises:
        ValueError: a number is too far from the training rows' for 32-bit floats; one line.
    """
    layout, by_name = codec.layout, {column.schema.name: column for column in columns}
    n = len(columns[0].values)
    x = np.zeros((n, layout.width), np.float32)
    for column in layout.coded:
        given = by_name[column.name]
        if column.numeric:
            with np.errstate(over="ignore"):
                scaled = ((given.values - column.mean) / column.scale).astype(np.float32)
            x[:, column.start] = np.where(given.missing, 0, scaled)
            if column.missing is not None:
                x[:, column.missing] = given.missing
        else:
            number = {category: i for i, category in enumerate(column.categories)}
            chosen = np.array([number.get(value, -1) for value in given.values], dtype=np.int64)
            rows = np.flatnonzero(chosen >= 0)
            x[rows, column.start + chosen[rows]] = 1
    if not np.isfinite(x).all():
        name = next(c.name for c in layout.coded if not np.isfinite(x[:, c.places]).all())
        raise ValueError(f"column {name}: a value lies too far from those of training rows for 32 bits")
    return x


def unseen(codec: Codec, columns: Sequence[TypedColumn], rows: np.ndarray, part: str) -> list[str]:
    """Return, in words, what a part's rows hold that training rows lack: categories, missing or other values."""
    by_name = {column.schema.name: column for column in columns}
    said = []
    for column in codec.layout.columns:
        given = by_name[column.name]
        values, missing = given.values[rows], given.missing[rows]
        if column.constant:
            known = column.mean if column.numeric else column.value
            n = sum(value != known for value in values.tolist())
            if n:
                said.append(
                    f"column {column.name}: {n} {part} rows differ from the constant of training rows"
                )
        elif column.numeric:
            if column.missing is None and missing.any():
                said.append(
                    f"column {column.name}: missing in {int(missing.sum())} {part} rows and in no training row: the "
                    "mean stands for it"
                )
        else:
            others = [value for value in values.tolist() if value not in column.categories]
            if others:
                shown = ", ".join("missing" if v is None else str(v) for v in list(dict.fromkeys(others))[:3])
                said.append(
                    f"column {column.name}: {len(others)} {part} rows have a category that training rows have not "
                    f"({show(shown)}): a block of zeros"
                )
    return said

"""A table's columns as a data set: typed by their schema, split into parts, and coded as vectors."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from priorgap.core.arguments import show
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split, fraction_split
from priorgap.tables.codec import Codec, encode, fit, unseen
from priorgap.tables.columns import RawColumn, TypedColumn, guessed, typed
from priorgap.tables.schema import Schema, left_out, read_schema

_log = logging.getLogger(__name__)
# The kinds of columns that can serve as labels.
_CLASSES = ("categorical", "ordinal", "boolean")


@dataclass(frozen=True)
class TableOptions:
    """What to do with the columns of a table.

    Attributes:
        name: the data set's name.
        target: the column that gives labels where it has categories; it stays a column of the table.
        schema: a file with the columns' kinds; None: guessed from their values.
        validation_fraction: the part of the rows kept for validation.
        test_fraction: the part kept for the test.
        split_seed: the seed of the split.
    """

    name: str
    target: str | None
    schema: Path | None
    validation_fraction: float
    test_fraction: float
    split_seed: int


def schema_of(columns: Sequence[RawColumn], given: Path | None, place: str) -> Schema:
    """Return the columns' kinds: from a schema file, else guessed from their values.

    Raises:
        ValueError: the file is no schema, or names other columns; one line.
    """
    known = None if given is None else read_schema(given)
    if known is not None:
        known.check_names([column.name for column in columns], place)
    return guessed(columns, place, known)


def dataset_of_table(
    columns: Sequence[RawColumn],
    options: TableOptions,
    place: str,
    facts: Mapping[str, object],
    done: Sequence[str],
) -> Dataset:
    """Return a table's rows as a data set, and log one line that says what was read, and how it was interpreted.

    Args:
        columns: the file's columns without conversion and without the dropped ones.
        options: what to do with them.
        place: the file, for messages.
        facts: facts for the provenance.
        done: remarks of the reader, in words.

    Raises:
        ValueError: columns are not as described; one line.
    """
    schema = schema_of(columns, options.schema, place)
    found = [
        typed(raw, one, place) for raw, one in zip(columns, schema.columns, strict=True) if one.kind != "id"
    ]
    label, classes = _labels(found, options.target, schema, place)
    generator = stream(options.split_seed, "split", "table")
    try:
        rows = fraction_split(
            label, len(columns[0].values), [options.test_fraction, options.validation_fraction],
            generator=generator, names=classes,
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(f"{place}: {len(columns[0].values)} rows: {error}") from error
    parts = dict(zip(("test", "validation", "train"), rows, strict=True))
    codec = fit(found, parts["train"].numpy(), options.target, place)
    said = [*done, *left_out(schema.columns), *codec.said]
    for part in ("validation", "test"):
        said += unseen(codec, found, parts[part].numpy(), part)
    train, validation, test = _splits(codec, found, label, parts, options, place)
    sizes = [len(parts[part]) for part in ("train", "validation", "test")]
    about = {
        **facts, "split": "by fractions, ours", "split_seed": options.split_seed, "sizes": sizes,
        "columns": list(codec.layout.names), "classes": classes, "reading": said,
    }  # fmt: skip
    _say(place, codec, sizes, said)
    n_classes = len(classes) or None
    return Dataset(options.name, train, validation, test, n_classes, official=False, provenance=about)


def _labels(
    columns: Sequence[TypedColumn], target: str | None, schema: Schema, place: str
) -> tuple[Int[Tensor, "n"] | None, list[str]]:
    """Return labels and the classes' names; a numeric target gives none.

    Raises:
        ValueError: the target is an identifier, or has missing values.
    """
    if target is None:
        return None, []
    column = next((one for one in columns if one.schema.name == target), None)
    if column is None:
        raise ValueError(
            f"data.target={target}: an id ({schema[target].why}); expected another column, or its kind in data.schema"
        )
    if column.schema.kind not in _CLASSES:
        return None, []
    if column.missing.any():
        raise ValueError(
            f"data.target={target}: {int(column.missing.sum())} rows of {place} have no value; expected one in each"
        )
    there = set(column.values.tolist())
    ordered = [one for one in column.schema.categories if one in there] or sorted(there, key=lambda v: str(v))
    numbers = {value: i for i, value in enumerate(ordered)}
    label = torch.tensor([numbers[value] for value in column.values.tolist()], dtype=torch.int64)
    return label, [str(value) for value in ordered]


def _splits(
    codec: Codec,
    columns: Sequence[TypedColumn],
    label: Int[Tensor, "n"] | None,
    parts: Mapping[str, Int[Tensor, "m"]],
    options: TableOptions,
    place: str,
) -> tuple[Split, Split, Split]:
    """Return the coded rows of the three parts, as splits."""
    try:
        x = torch.from_numpy(encode(codec, columns))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error

    def split(part: str) -> Split:
        rows = parts[part]
        return Split(x[rows], None if label is None else label[rows], "table", table=codec.layout)

    return split("train"), split("validation"), split("test")


def _say(place: str, codec: Codec, sizes: Sequence[int], said: Sequence[str]) -> None:
    _log.info(
        "%s: rows of %s, %d values of x; %s for training, validation and test%s", place, codec.layout.described(),
        codec.layout.width, " + ".join(map(str, sizes)), "".join(f"; {show(one)}" for one in said),
    )  # fmt: skip

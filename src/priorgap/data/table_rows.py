"""Columns of a table as a data set: typed by their schema, split, and coded as vectors."""

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
# what labels can be
_CLASSES = ("categorical", "ordinal", "boolean")


@dataclass(frozen=True)
class TableOptions:
    """What is done with the columns of a table.

    Attributes:
        name: of the data set.
        target: the column that gives labels where it has categories; it stays a column like the others.
        schema: a file that says what columns are; None: told by their values.
        validation_fraction: the part of the rows kept for validation.
        test_fraction: the part kept for the test.
        split_seed: which split.
    """

    name: str
    target: str | None
    schema: Path | None
    validation_fraction: float
    test_fraction: float
    split_seed: int


def schema_of(columns: Sequence[RawColumn], given: Path | None, place: str) -> Schema:
    """Return what columns are: as a file says, else by their values.

    Raises:
        ValueError: the file is none, or names other columns; one line.
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
    """Return a table's rows as a data set, and say in one line what was read, and as what.

    Args:
        columns: as they stand in the file, without those that were dropped.
        options: what is done with them.
        place: the file, for messages.
        facts: for the provenance.
        done: what reading found, in words.

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
    """Return labels and the classes' names; a target of numbers gives none.

    Raises:
        ValueError: the target is an id, or misses values.
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
    """Return training, validation and test rows as x."""
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

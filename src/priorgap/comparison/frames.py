"""Tables for `compare`: rows as vectors, and a user's functions of data frames as functions of such vectors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from priorgap.core.batched_calls import parameters_of
from priorgap.core.findings import Finding
from priorgap.data.splits import Split
from priorgap.data.table_rows import schema_of
from priorgap.tables import codec as coding
from priorgap.tables.columns import RawColumn, TypedColumn, typed
from priorgap.tables.schema import Schema, left_out

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Frames:
    """Two data frames as rows for `compare`, with wrappers that turn a model of data frames into one of these rows.

    Numbers are standardised and categories one-hot, over the rows of `train` (`tables.layout.Column`), independently
    of the model's own coding.

    Attributes:
        train: the rows of train.
        test: the rows of test.
        known: findings on what was left out or is unusual, for `known` of `compare`.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"age": [31, 45, 38, 52, 27] * 8, "city": ["a", "b", "b", "c"] * 10})
        >>> rows = Frames.of(table[:30], table[30:])
        >>> tuple(rows.train.x.shape), tuple(rows.test.x.shape)  # the age, and a column for each city
        ((30, 4), (10, 4))
        >>> def encode(frame):  # of a model that takes data frames
        ...     return torch.tensor(frame[["age"]].to_numpy() / 60.0), None
        >>> tuple(rows.encoding(encode)(rows.train.x)[0].shape)
        (30, 1)

        `compare(rows.encoding(encode), rows.decoding(decode), rows.train, rows.test, known=rows.known)` then compares
        the samplers of the model.
    """

    train: Split
    test: Split
    known: tuple[Finding, ...]
    _schema: Schema
    _codec: coding.Codec

    @classmethod
    def of(
        cls,
        train: "pd.DataFrame",
        test: "pd.DataFrame",
        *,
        target: str | None = None,
        schema: Path | None = None,
    ) -> "Frames":
        """Return the rows of two frames of the same columns.

        Args:
            train: what the model was trained on.
            test: held-out rows.
            target: a column of categories that gives labels; it stays a column of the table.
            schema: a YAML or JSON file with the columns' kinds; None: guessed from the values in both frames.

        Raises:
            ValueError: the frames have other columns, or a column is not usable; one line.
        """
        for name, frame in (("train", train), ("test", test)):
            if not hasattr(frame, "columns") or not len(frame):
                raise ValueError(f"{name} is {type(frame).__name__}: expected a data frame with rows")
        if list(map(str, train.columns)) != list(map(str, test.columns)):
            raise ValueError(f"test has columns {_named(test)}: expected those of train, {_named(train)}")
        if target is not None and target not in map(str, train.columns):
            raise ValueError(f"target={target!r}: expected a column of train: {_named(train)}")
        raw = [
            RawColumn(one.name, np.concatenate([one.values, other.values]))
            for one, other in zip(_alike(train, test), _alike(test, train), strict=True)
        ]
        found = schema_of(raw, schema, "train")
        columns = _typed(raw, found)
        n = len(train)
        own = coding.fit(columns, np.arange(n), target, "train")
        said = [
            *left_out(found.columns), *own.said, *coding.unseen(own, columns, np.arange(n, n + len(test)), "test"),
        ]  # fmt: skip
        x = torch.from_numpy(coding.encode(own, columns))
        label = None if target is None else _labels(next(c for c in columns if c.schema.name == target))
        splits = [
            Split(x[part], None if label is None else label[part], "table", table=own.layout)
            for part in (slice(0, n), slice(n, None))
        ]
        note = Finding("note", "table_as_read", None, None, f"The table was read so: {'; '.join(said)}.")
        return cls(splits[0], splits[1], (note,) if said else (), found, own)

    def encoding(self, encode: Callable[..., Any]) -> Callable[..., Any]:
        """Return `encode`, a function of data frames [b rows], as a function of x; it may accept `label=`, too."""
        if "label" in parameters_of(encode):
            return lambda x, label=None: encode(self.frame(x), label=label)
        return lambda x: encode(self.frame(x))

    def decoding(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        """Return `decode`, z -> data frame, as a function that returns x; it may accept `label=` and `generator=`."""
        taken = frozenset(parameters_of(decode)) & {"label", "generator"}

        def decoded(
            z: Tensor, label: Tensor | None = None, generator: torch.Generator | None = None
        ) -> Tensor:
            own = {"label": label, "generator": generator}
            return self.rows(decode(z, **{name: own[name] for name in taken}))

        if taken == {"label", "generator"}:
            return decoded
        if taken == {"label"}:
            return lambda z, label=None: decoded(z, label)
        if taken == {"generator"}:
            return lambda z, generator=None: decoded(z, None, generator)
        return lambda z: decoded(z)

    def frame(self, x: Tensor) -> "pd.DataFrame":
        """Return rows x as a data frame."""
        layout = self.train.table
        assert layout is not None
        return layout.frame(x.cpu())

    def rows(self, frame: "pd.DataFrame") -> Tensor:
        """Return a data frame with the same columns as x; categories that train lacks become blocks of zeros.

        Raises:
            ValueError: a column is missing, or holds values of another kind.
        """
        layout = self.train.table
        assert layout is not None
        if not hasattr(frame, "columns"):
            raise ValueError(f"decode gave {type(frame).__name__}: expected a data frame")
        lacking = [name for name in layout.names if name not in map(str, frame.columns)]
        if lacking:
            raise ValueError(f"decode gave no column {lacking[0]}: expected {', '.join(layout.names)}")
        named = {one.name: one for one in _alike(frame, frame)}
        kept = Schema(tuple(self._schema[name] for name in layout.names))
        columns = _typed([named[name] for name in layout.names], kept)
        return torch.from_numpy(coding.encode(self._codec, columns))


def _named(frame: "pd.DataFrame") -> str:
    return ", ".join(map(str, frame.columns)) or "none"


def _typed(raw: Sequence[RawColumn], schema: Schema) -> list[TypedColumn]:
    pairs = zip(raw, schema.columns, strict=True)
    return [typed(one, about, "the frame") for one, about in pairs if about.kind != "id"]


def _alike(frame: "pd.DataFrame", other: "pd.DataFrame") -> list[RawColumn]:
    """Return a frame's columns in the form of a file reader's, with types common to both frames' columns."""
    return [RawColumn(str(name), _values(frame[name], other[name])) for name in frame.columns]


def _values(column: "pd.Series", other: "pd.Series") -> np.ndarray:
    kinds = {column.dtype.kind, other.dtype.kind}
    if kinds <= {"i", "u"}:
        return column.to_numpy(dtype=np.int64)
    if kinds <= {"i", "u", "f"}:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if kinds == {"M"}:
        times: np.ndarray = column.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
        return times
    plain = [None if missing else _plain(v) for v, missing in zip(column, column.isna(), strict=True)]
    found = np.empty(len(plain), dtype=object)
    found[:] = plain
    return found


def _plain(value: object) -> object:
    """Return a value as a text, a truth value or a number of Python's own types."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return int(value) if isinstance(value, int | np.integer) else str(value)


def _labels(column: TypedColumn) -> Tensor:
    """Return labels from a column of categories, numbered in the order of their texts.

    Raises:
        ValueError: the column holds numbers, or has missing values.
    """
    name = column.schema.name
    if column.values.dtype != object:
        raise ValueError(f"target={name!r}: a column of numbers; expected one of categories")
    if column.missing.any():
        raise ValueError(
            f"target={name!r}: {int(column.missing.sum())} rows have no value; expected one in each"
        )
    ordered = [one for one in column.schema.categories if one in set(column.values.tolist())]
    ordered = ordered or sorted(set(column.values.tolist()), key=str)
    numbers = {value: i for i, value in enumerate(ordered)}
    return torch.tensor([numbers[value] for value in column.values.tolist()], dtype=torch.int64)

"""The data of an audit: a folder of images or a file of arrays, divided already or split here; or two of these."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from priorgap.core.arguments import check, show, unknown_key
from priorgap.core.findings import Finding
from priorgap.core.random import stream
from priorgap.data import arrays
from priorgap.data.data_file import DRAWN_AS, DataFile
from priorgap.data.files.contents import FORMATS
from priorgap.data.own import ImageFolder
from priorgap.data.splits import Split, fraction_split

# The readers' own log, which the command prints.
_log = logging.getLogger("priorgap.data.data_file")

_ARRAYS = (".npz", ".npy")
# Formats that are read like those of data=file.
_OTHERS = tuple(end for end in FORMATS if end not in _ARRAYS)
# Keys that the command sets itself.
_OWN = ("path", "name", "n_classes")


@dataclass(frozen=True, eq=False)
class AuditData:
    """The data arguments of `compare`.

    Attributes:
        parts: train and test, and validation where there is one: images as splits, arrays as they stand in the file.
        labels: for each part in the order train, test, validation; None: there are no labels, or the splits hold
            them.
        classes: the classes' names for the table; [] where labels are names themselves, or where there are none.
        findings: findings on the parts.
    """

    parts: dict[str, Any]
    labels: list[np.ndarray | None] | None = None
    classes: list[str] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of a source by part (under "" if undivided). Labels are in the splits, or beside the arrays.

    `columns` are a table's columns.
    """

    parts: dict[str, Split | np.ndarray]
    labels: dict[str, np.ndarray | None]
    classes: list[str]
    fractions: tuple[float, float]
    seed: int
    name: str
    columns: tuple[str, ...] = ()


def read(data: Path, test: Path | None, reading: Mapping[str, Any]) -> AuditData:
    """Read the data of an audit.

    Args:
        data: a folder of images, or a file of arrays or of a table: train and test, or all rows.
        test: the same for rows that the model was not trained on; `data` then holds only training rows.
        reading: options for reading: keys of data=image_folder and data=file.

    Raises:
        ValueError: one line that names the key.
    """
    rows = _rows(data, "data", reading)
    if test is None:
        return _in_parts(rows) if "" not in rows.parts else _split(rows, data)
    if "test" in rows.parts:
        raise ValueError(f"test={test}: data={data} has test rows of its own; expected one of the two")
    others = _rows(test, "test", reading)
    if "" not in others.parts:
        raise ValueError(f"test={test}: comes in parts {', '.join(others.parts)}; expected test rows alone")
    if rows.columns and others.columns and rows.columns != others.columns:
        odd = [name for name in others.columns if name not in rows.columns]
        what = (
            f"columns {show(', '.join(odd))} that it has not"
            if odd
            else "its columns in another number or order"
        )
        raise ValueError(f"test={test}: has, beside data={data}, {what}; expected the same columns in both")
    return _joined(rows, others)


def _rows(path: Path, key: str, reading: Mapping[str, Any]) -> _Rows:
    if not path.exists():
        raise ValueError(f"{key}={path}: no such file or folder")
    if path.is_file() and path.suffix.lower() not in (*_ARRAYS, *_OTHERS):
        others = f"{', '.join(_OTHERS[:-1])} or {_OTHERS[-1]}"
        raise ValueError(
            f"{key}={path}: expected a folder of images, or a file {' or '.join(_ARRAYS)}, or a table or arrays "
            f"in {others}"
        )
    kind: type[ImageFolder] | type[DataFile] = DataFile if path.is_file() else ImageFolder
    known = [one.name for one in fields(kind) if one.name not in _OWN]
    for name in reading:
        if name not in known:
            raise ValueError(unknown_key(f"data.{name}", known))
    check(kind, {"path": str(path), **reading}, "data")
    try:
        source = kind(path, **reading)
        if isinstance(source, DataFile):
            return _of_file(source, key)
        settings = ((source.test_fraction, source.validation_fraction), source.split_seed, source.name)
        images = source.read()
        images.say()
        return _Rows({**images.parts}, {}, images.classes, *settings)
    except ValueError as error:
        # The readers' messages name the folder or file by its configuration key.
        raise ValueError(str(error).replace("data.path=", f"{key}=", 1)) from error


def _of_file(source: DataFile, key: str) -> _Rows:
    """Return the rows of a file, and log how its content was interpreted."""
    own = source.read()
    if own.done:
        _log.info("%s=%s: %s", key, source.path, "; ".join(own.done))
    found = own.parts()
    return _Rows(
        {part: x for part, (x, _) in found.items()},
        {part: y for part, (_, y) in found.items()},
        [],
        (source.test_fraction, source.validation_fraction),
        source.split_seed,
        DRAWN_AS,
        own.columns,
    )


def _in_parts(rows: _Rows) -> AuditData:
    """Return data that are divided already; `compare` sets validation rows aside if there are none."""
    parts = _ordered(rows.parts)
    return AuditData(parts, _labels(rows.labels, parts), rows.classes)


def _split(rows: _Rows, path: Path) -> AuditData:
    """Split off validation and test rows by the seed, as a study of these data would."""
    x, given = rows.parts[""], rows.labels.get("")
    n = len(x)
    if isinstance(x, Split):
        label = x.label
    else:
        place = f"data={path}"
        label = None if given is None else arrays.labels({"": given}, {"": n}, {"": place})[""].label
    generator = stream(rows.seed, "split", rows.name)
    try:
        index = fraction_split(label, n, rows.fractions, generator=generator, names=rows.classes)
    except ValueError as error:
        raise ValueError(f"data={path}: {n} rows: {error}") from error
    chosen = dict(zip(("test", "validation", "train"), index, strict=True))
    parts = _ordered({part: _taken(x, one) for part, one in chosen.items()})
    own = {part: None if given is None else given[one.numpy()] for part, one in chosen.items()}
    share = rows.fractions[0]
    finding = Finding(
        "warn", "test_rows_by_a_seed", share, None,
        f"Check that the model was not trained on the test rows: {share:.0%} of data={path.name} were set aside by "
        "a seed here, and unless the training left out the same rows nothing is said of unseen data (test=FILE names "
        "those that it did leave out).",
    )  # fmt: skip
    return AuditData(parts, _labels(own, parts), rows.classes, (finding,))


def _taken(x: Split | np.ndarray, index: torch.Tensor) -> Split | np.ndarray:
    return x.take(index) if isinstance(x, Split) else x[index.numpy()]


def _joined(rows: _Rows, others: _Rows) -> AuditData:
    """Return the rows of two sources with a common set of classes."""
    classes = sorted({*rows.classes, *others.classes})
    parts = {
        "train": _renumbered(rows.parts["" if "" in rows.parts else "train"], rows.classes, classes),
        "test": _renumbered(others.parts[""], others.classes, classes),
    }
    labels = {
        "train": rows.labels.get("" if "" in rows.parts else "train"),
        "test": others.labels.get(""),
    }
    return AuditData(parts, _labels(labels, parts), classes)


def _renumbered(x: Split | np.ndarray, own: list[str], classes: list[str]) -> Split | np.ndarray:
    """Return images whose labels are renumbered for a longer list of classes."""
    if not isinstance(x, Split) or x.label is None or own == classes:
        return x
    places = torch.tensor([classes.index(name) for name in own], dtype=torch.int64)
    return x.alike(x.x, places[x.label])


def _ordered(parts: Mapping[str, Split | np.ndarray]) -> dict[str, Any]:
    return {part: parts[part] for part in ("train", "test", "validation") if part in parts}


def _labels(
    labels: Mapping[str, np.ndarray | None], parts: Mapping[str, object]
) -> list[np.ndarray | None] | None:
    """Return labels in the order of the parts; None where there are none."""
    found = [labels.get(part) for part in parts]
    return None if all(one is None for one in found) else found

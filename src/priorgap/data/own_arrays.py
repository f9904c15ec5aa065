"""A user's own arrays from any file: which are observations and which are labels, and the data set made of them."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from priorgap.core.arguments import show
from priorgap.data.arrays import Observations, labels, observations, span_of
from priorgap.data.own_splits import OwnData, in_parts, split_off
from priorgap.data.splits import Dataset, Split
from priorgap.modalities import modality_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class OwnArrays:
    """The arrays of a file, with their roles.

    Attributes:
        arrays: the arrays that are used, by their names in messages.
        x: the names of the arrays of observations, by part: train, validation, test; "" for all rows.
        y: the names of the arrays of labels, by part.
        facts: facts for the data set's provenance.
        done: how the file's content was interpreted, in words.
        columns: the names of a table's columns, in the order of the observations' values; empty for other files.
    """

    arrays: Mapping[str, np.ndarray]
    x: Mapping[str, str]
    y: Mapping[str, str]
    facts: Mapping[str, object] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def parts(self) -> "dict[str, tuple[np.ndarray, np.ndarray | None]]":
        """Return observations and labels as the file holds them, by part; under "" where they are not divided."""
        arrays = self.arrays
        return {
            part: (arrays[name], arrays[self.y[part]] if part in self.y else None)
            for part, name in self.x.items()
        }


def dataset_of(
    source: OwnData, own: OwnArrays, sha256: str, *, drawn_as: str = "", series: bool = False
) -> Dataset:
    """Return a source's arrays as a data set, and log one line that says what was read, and how it was interpreted.

    Args:
        source: its name and place, and how much is kept for validation and test.
        own: the arrays.
        sha256: the file's checksum.
        drawn_as: the name in the random stream of the split; "" for the source's own name.
        series: whether rows are series.

    Raises:
        ValueError: values, labels or rows are of an unknown kind; one line.
    """
    place, arrays = f"data.path={source.path}", own.arrays
    # All parts share one scale, because a dark 16-bit test set must not be mistaken for an 8-bit one.
    given = [arrays[name] for name in own.x.values()]
    found = {
        part: observations(
            arrays[name], f"{place}: {name}", span_of(given, arrays[name].dtype.kind), series=series
        )
        for part, name in own.x.items()
    }
    for part, one in found.items():
        first = found.get("train", one)
        if (one.x.shape[1:], one.kind) != (first.x.shape[1:], first.kind):
            raise ValueError(
                f"{place}: {own.x[part]} has rows of shape {tuple(one.x.shape[1:])} ({one.kind}); expected "
                f"those of {own.x['train']}, {tuple(first.x.shape[1:])} ({first.kind})"
            )
    known = labels(
        {part: arrays[name] for part, name in own.y.items() if part in found},
        {part: len(one.x) for part, one in found.items()},
        {part: f"{place}: {name}" for part, name in own.y.items()},
    )
    names = next(iter(known.values())).names if known else []
    done = [*own.done, *sorted({one.done for one in found.values()} - {""})]
    facts = {
        "source": str(source.path), "sha256": sha256, **own.facts, "classes": names, "reading": done,
    }  # fmt: skip
    splits = {
        part: Split(one.x, known[part].label if part in known else None, one.kind)
        for part, one in found.items()
    }
    if "" in splits:
        dataset = split_off(source, splits[""], facts, len(names) or None, names, drawn_as=drawn_as)
    else:
        dataset = in_parts(source, splits, facts, len(names) or None, names, drawn_as=drawn_as)
    _say(place, found, names, done)
    return dataset


def _say(place: str, found: Mapping[str, Observations], names: Sequence[str], done: Sequence[str]) -> None:
    """Log one line that says what was read, and how it was interpreted."""
    first = next(iter(found.values()))
    n = sum(len(one.x) for one in found.values())
    what = modality_of(first.kind).described(tuple(first.x.shape[1:]))
    of_classes = f"{len(names)} classes ({show(', '.join(names))})" if names else "no labels"
    _log.info("%s: %d %s; %s%s", place, n, what, of_classes, "".join(f"; {one}" for one in done))


def by_role(names: Iterable[str], place: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names of observations and of labels among arrays' names, by part; "" stands for all rows.

    Slashes in a name separate groups: train/x means x_train.

    Raises:
        ValueError: two names have the same role; one line.
    """
    found: dict[str, dict[str, str]] = {"x": {}, "y": {}}
    for name in names:
        role = role_of(name.replace("/", "_"))
        if role is None:
            continue
        what, part = role
        if part in found[what]:
            raise ValueError(f"{place}: holds {found[what][part]} and {name}; expected one of the two")
        found[what][part] = name
    xs, ys = found["x"], found["y"]
    if list(xs) == ["train"]:
        # A file with training rows only is split like a file without parts.
        xs, ys = {"": xs["train"]}, {"": ys["train"]} if "train" in ys else {}
    return xs, ys


def are_parts(parts: Iterable[str]) -> bool:
    """Whether observations come undivided, or at least in training and test rows."""
    found = set(parts)
    return found == {""} or ({"train", "test"} <= found and "" not in found)


_PARTS = "train|val|valid|validation|test"
_ROLES = {
    **dict.fromkeys(("x", "data", "image", "images", "inputs"), "x"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "y"),
}


def role_of(name: str) -> tuple[str, str] | None:
    """Return an array's role by its name (observations or labels) and its part; None for other names."""
    match = re.fullmatch(rf"(?:({_PARTS})_)?([a-z]+?)(?:_({_PARTS}))?", name.lower())
    if match is None or match[2] not in _ROLES or (match[1] and match[3]):
        return None
    part = match[1] or match[3] or ""
    return _ROLES[match[2]], "validation" if part.startswith("val") else part

"""A user's own arrays: an .npz file, or one .npy array."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from priorgap.core.arguments import AtLeast, show
from priorgap.core.artifacts import file_digest
from priorgap.data.arrays import Observations, labels, observations, span_of
from priorgap.data.own_splits import in_parts, split_off
from priorgap.data.splits import DataCorrupt, Dataset, DataUnavailable, Split, check_fractions
from priorgap.modalities import modality_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NpzFile:
    """Arrays in an .npz file: `x` (and `y`), or `x_train`, `x_test` (and `y_...`, `x_validation`); or one .npy array.

    Other common names are known: data, images and labels, train_images, val_labels (`role_of`). What the values may
    be stands in `arrays.py`.

    Attributes:
        path: the file.
        validation_fraction: the part of the training rows kept for validation where `x_validation` is absent.
        test_fraction: the part of all rows kept for the test where `x_test` is absent.
        split_seed: which split.
    """

    path: Path
    name: str = "npz"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(os.path.expanduser(self.path)))
        check_fractions(self.validation_fraction, self.test_fraction)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: there is no such file.
            DataCorrupt: it cannot be read without unpickling.
            ValueError: the arrays are not as described above; one line.
        """
        arrays = self._arrays()
        xs, ys = self._roles(arrays)
        # one scale for all parts: a dark test set of 16 bits must not be taken for one of 8
        images = [arrays[name] for name in xs.values()]
        found = {
            part: observations(
                arrays[name], f"{self._place}: {name}", span_of(images, arrays[name].dtype.kind)
            )
            for part, name in xs.items()
        }
        for part, one in found.items():
            first = found.get("train", one)
            if (one.x.shape[1:], one.kind) != (first.x.shape[1:], first.kind):
                raise ValueError(
                    f"{self._place}: {xs[part]} has rows of shape {tuple(one.x.shape[1:])} ({one.kind}); expected "
                    f"those of {xs['train']}, {tuple(first.x.shape[1:])} ({first.kind})"
                )
        known = labels(
            {part: arrays[name] for part, name in ys.items() if part in found},
            {part: len(one.x) for part, one in found.items()},
            {part: f"{self._place}: {name}" for part, name in ys.items()},
        )
        names = next(iter(known.values())).names if known else []
        done = sorted({one.done for one in found.values()} - {""})
        facts = {
            "source": str(self.path), "sha256": file_digest(self.path), "arrays": sorted(arrays), "classes": names,
            "reading": done,
        }  # fmt: skip
        splits = {
            part: Split(one.x, known[part].label if part in known else None, one.kind)
            for part, one in found.items()
        }
        if "" in splits:
            dataset = split_off(self, splits[""], facts, len(names) or None, names)
        else:
            dataset = in_parts(self, splits, facts, len(names) or None, names)
        self._say(found, names, done)
        return dataset

    def read(self) -> "dict[str, tuple[np.ndarray, np.ndarray | None]]":
        """Return observations and labels as they stand in the file, by part; "" where they are not in parts.

        Raises:
            DataUnavailable, DataCorrupt, ValueError: as `load`.
        """
        arrays = self._arrays()
        xs, ys = self._roles(arrays)
        return {part: (arrays[name], arrays[ys[part]] if part in ys else None) for part, name in xs.items()}

    @property
    def _place(self) -> str:
        return f"data.path={self.path}"

    def _say(self, found: Mapping[str, Observations], names: Sequence[str], done: Sequence[str]) -> None:
        """Say in one line what was read, and as what."""
        first = next(iter(found.values()))
        n = sum(len(one.x) for one in found.values())
        what = modality_of(first.kind).described(tuple(first.x.shape[1:]))
        of_classes = f"{len(names)} classes ({show(', '.join(names))})" if names else "no labels"
        _log.info("%s: %d %s; %s%s", self._place, n, what, of_classes, "".join(f"; {one}" for one in done))

    def _arrays(self) -> "dict[str, np.ndarray]":
        if not self.path.is_file():
            raise DataUnavailable(f"{self._place}: no such file")
        try:
            opened = np.load(self.path, allow_pickle=False)
            if isinstance(opened, np.ndarray):
                return {"x": opened}
            with opened:
                found = {name: opened[name] for name in opened.files}
        except Exception as error:
            raise DataCorrupt(f"{self._place}: no .npz file of plain arrays") from error
        if {"indices", "indptr", "shape", "data"} <= found.keys():
            raise ValueError(
                f"{self._place}: a sparse matrix; expected a dense array: np.savez(FILE, x=matrix.toarray())"
            )
        return found

    def _roles(self, arrays: "dict[str, np.ndarray]") -> tuple[dict[str, str], dict[str, str]]:
        """Return the names of the observations and of the labels, by part; "" is all rows."""
        found: dict[str, dict[str, str]] = {"x": {}, "y": {}}
        for name in arrays:
            role = ("x", "") if len(arrays) == 1 and name == "arr_0" else role_of(name)
            if role is None:
                continue
            what, part = role
            if part in found[what]:
                raise ValueError(
                    f"{self._place}: holds {found[what][part]} and {name}; expected one of the two"
                )
            found[what][part] = name
        xs, ys = found["x"], found["y"]
        if list(xs) == ["train"]:
            # a file of training rows alone is split like any other
            xs, ys = {"": xs["train"]}, {"": ys["train"]} if "train" in ys else {}
        if set(xs) != {""} and not ({"train", "test"} <= set(xs) and "" not in xs):
            raise ValueError(
                f"{self._place}: holds {', '.join(sorted(arrays))}; expected x, or x_train and x_test (and y, or "
                "y_train, y_test)"
            )
        return xs, ys


_PARTS = "train|val|valid|validation|test"
_ROLES = {
    **dict.fromkeys(("x", "data", "image", "images", "inputs"), "x"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "y"),
}


def role_of(name: str) -> tuple[str, str] | None:
    """Return whether an array's name is that of observations or labels, and of which part; None: of neither."""
    match = re.fullmatch(rf"(?:({_PARTS})_)?([a-z]+?)(?:_({_PARTS}))?", name.lower())
    if match is None or match[2] not in _ROLES or (match[1] and match[3]):
        return None
    part = match[1] or match[3] or ""
    return _ROLES[match[2]], "validation" if part.startswith("val") else part

"""The data that a user passes to `compare`, as splits: one scale, layout and set of classes for all parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from priorgap.comparison import row_store
from priorgap.comparison.layout import Layout
from priorgap.comparison.row_store import RowStore
from priorgap.comparison.supplied_context import Part, contexts_of
from priorgap.comparison.supplied_rows import Batch, Rows, label_array, rows_of
from priorgap.core.arguments import show
from priorgap.core.contexts import Contexts
from priorgap.core.findings import Finding
from priorgap.core.random import stream
from priorgap.data import arrays
from priorgap.data.arrays import Axes, Scale
from priorgap.data.splits import Split, random_split
from priorgap.modalities import IMAGES

# The share of a range by which values may exceed it through rounding.
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Supplied:
    """Checked data.

    Attributes:
        parts: train, validation and test.
        layout: how the user's model represents an observation.
        names: the classes' names; [] without labels.
        codes: the label of each class in the user's form: numbers or one-hot rows [k, ...], or names.
        findings: remarks on how the data were converted.
        contexts: the contexts of all rows; None where none were given.
    """

    parts: dict[str, Split]
    layout: Layout
    names: list[str] = field(default_factory=list)
    codes: Tensor | list[str] | None = None
    findings: tuple[Finding, ...] = ()
    contexts: Contexts | None = None


@dataclass(frozen=True, eq=False)
class _Part:
    """One part of the data: its rows as a split without labels, and its labels in the user's form."""

    split: Split
    label: np.ndarray | None
    n_seen: int
    kept: np.ndarray | None


def supplied(
    given: Mapping[str, object],
    labels: Sequence[object] | None,
    *,
    seed: int,
    span: tuple[float, float] | None = None,
    context: Sequence[object] | None = None,
    series: bool = False,
) -> Supplied:
    """Read the user's data for train, test and (optionally) validation.

    Without validation data a seeded fifth of test is used.

    Args:
        given: the user's arguments for train, test and validation.
        labels: the labels of each, or None.
        seed: the seed of random choices: the fifth, and the sample of rows that are kept.
        span: the range of images in the model; None: found from the data.
        context: the contexts of each, or None.
        series: whether rows [n, steps, channels] are series; images [n, h, w] where not.

    Raises:
        ValueError: one line that names the argument, what was given and what was expected.
    """
    data = {name: one for name, one in given.items() if one is not None or name != "validation"}
    own = _one_each(labels, list(data), "labels")
    told = _one_each(context, list(data), "context")
    rows = {name: one if isinstance(one, Split) else rows_of(one, name) for name, one in data.items()}
    for name, one in rows.items():
        if isinstance(one, Rows) and one.shuffled and own[name] is not None:
            raise ValueError(
                f"labels: {name} is a DataLoader that shuffles; expected labels in its batches, or shuffle=False"
            )
        if isinstance(one, Rows) and one.shuffled and told[name] is not None:
            raise ValueError(f"context: {name} is a DataLoader that shuffles; expected shuffle=False")
    axes = {
        name: _stored_axes(one)
        if isinstance(one, Split)
        else arrays.axes_of(one.first.x, name, series=series)
        for name, one in rows.items()
    }
    layout, scales = _layout(rows, axes, span)
    parts = {
        name: _of_split(one) if isinstance(one, Split) else _read(one, name, axes[name], scales, seed)
        for name, one in rows.items()
    }
    for name, label in own.items():
        if label is not None:
            parts[name] = _with_labels(parts[name], label_array(label, name))
    if parts["train"].n_seen < 2:
        raise ValueError("train: 1 row; expected at least 2, all that the model was trained on")
    _check_shapes(parts, axes)
    found = _with_classes(parts, layout)
    notes = _notes(rows, axes, scales, layout, parts)
    contexts, numbered = _with_contexts(found.parts, parts, told)
    whole = _with_validation(numbered, seed)
    return Supplied(whole, layout, found.names, found.codes, tuple(notes), contexts)


def _one_each(
    given: Sequence[object] | None, names: Sequence[str], argument: str
) -> dict[str, object | None]:
    if given is None:
        return dict.fromkeys(names)
    if not isinstance(given, list | tuple) or len(given) != len(names):
        got = f"{len(given)} of them" if isinstance(given, list | tuple) else type(given).__name__
        raise ValueError(
            f"{argument}: got {got}, expected {len(names)}: one for each data argument ({', '.join(names)})"
        )
    return dict(zip(names, given, strict=True))


def _with_contexts(
    splits: Mapping[str, Split], parts: Mapping[str, _Part], told: Mapping[str, object | None]
) -> tuple[Contexts | None, dict[str, Split]]:
    """Return the contexts of all parts as one table, and splits with the numbers of their rows' contexts."""
    if all(one is None for one in told.values()):
        return None, dict(splits)
    rows = {name: Part(part.n_seen, part.kept, splits[name].label) for name, part in parts.items()}
    contexts, numbers = contexts_of(told, rows)
    return contexts, {
        name: split.alike(split.x, split.label, numbers[name]) for name, split in splits.items()
    }


def _stored_axes(split: Split) -> Axes:
    if split.table is not None:
        return "vectors"
    return next((axes for axes, kind in arrays.AS_IT_IS.items() if kind == split.kind), "channels_first")


def _layout(
    rows: Mapping[str, Split | Rows], axes: Mapping[str, Axes], span: tuple[float, float] | None
) -> tuple[Layout, dict[str, Scale]]:
    """Return the model's form of an observation, and the scale of images for each type of values."""
    own = axes["train"]
    if own in arrays.AS_IT_IS:
        if span is not None:
            raise ValueError(f"range={span}: expected with images only; {own} are taken as they are")
        return Layout(own, (0.0, 1.0)), {}
    images = {
        name: one.first.x
        for name, one in rows.items()
        if isinstance(one, Rows) and axes[name] not in arrays.AS_IT_IS
    }
    scales = {}
    for name, array in images.items():
        place = f"{name} is {array.dtype} {array.shape}"
        if _type(array) in scales:
            continue
        if span is not None and array.dtype.kind == "f":
            scales[_type(array)] = Scale(*span, f"floats in [{span[0]:g}, {span[1]:g}]: brought to [0, 1]")
            continue
        arrays.check_finite(array, name)
        ends = arrays.span_of(
            (a for a in images.values() if a.dtype.kind == array.dtype.kind), array.dtype.kind
        )
        assert ends is not None
        scales[_type(array)] = arrays.scale_of(array.dtype, ends, place)
    of_floats = scales.get("f")
    found = span or ((of_floats.low, of_floats.high) if of_floats is not None else (0.0, 1.0))
    return Layout(axes["train"], found), scales


def _type(array: np.ndarray) -> str:
    """Return the type that determines the scale: uint8 is one type, other integers are another."""
    return "uint8" if array.dtype == np.uint8 else "i" if array.dtype.kind in "iu" else array.dtype.kind


def _of_split(split: Split) -> _Part:
    label = None if split.label is None else split.label.cpu().numpy()
    return _Part(split, label, len(split), None)


def _read(rows: Rows, name: str, axes: Axes, scales: Mapping[str, Scale], seed: int) -> _Part:
    """Read all batches into one tensor, or a seeded sample of their rows if they exceed the limit."""
    if rows.in_memory:
        split = _converted(rows.first, name, axes, scales, rows.first.x.shape[1:])
        return _Part(split, rows.first.label, len(split), None)
    store: RowStore | None = None
    kind = arrays.AS_IT_IS.get(axes, IMAGES.kind)
    labels = []
    for batch in rows.batches():
        split = _converted(batch, name, axes, scales, rows.first.x.shape[1:])
        if store is None:
            store = RowStore.like(split.x, rows.n, stream(seed, "share of rows", name))
        store.add(split.x)
        if batch.label is not None:
            labels.append(batch.label)
    assert store is not None
    label = _joined(labels)
    if label is not None and len(label) != store.n_seen:
        raise ValueError(
            f"{name}: {len(label)} labels in its batches for {store.n_seen} rows; expected one for each"
        )
    x, kept = store.rows()
    return _Part(Split(x, None, kind), label, store.n_seen, kept)


def _joined(labels: Sequence[np.ndarray]) -> np.ndarray | None:
    return np.concatenate(labels) if labels else None


def _converted(
    batch: Batch, name: str, axes: Axes, scales: Mapping[str, Scale], shape: tuple[int, ...]
) -> Split:
    x = batch.x
    if arrays.axes_of(x, name, series=axes == "series") != axes or x.shape[1:] != shape:
        raise ValueError(
            f"{name}: rows of shape {x.shape[1:]} after rows of shape {shape}; expected one shape"
        )
    arrays.check_finite(x, name)
    if axes in arrays.AS_IT_IS:
        return Split(arrays.vectors(x, name), None, arrays.AS_IT_IS[axes])
    scale = scales.get(_type(x))
    if scale is None:
        raise ValueError(f"{name}: batches of {x.dtype} after others; expected values of one type")
    # For integers the ends of a scale are those of their type.
    if x.dtype.kind in "fiu" and x.dtype != np.uint8:
        low, high = float(x.min()), float(x.max())
        margin = _ROUNDING * (scale.high - scale.low)
        if low < scale.low - margin or high > scale.high + margin:
            raise ValueError(
                f"{name}: images from {low:g} to {high:g}, beyond the range [{scale.low:g}, {scale.high:g}] that was "
                "given, or found in the first batch; expected range=(LOW, HIGH) of all values"
            )
        x = x.clip(scale.low, scale.high) if low < scale.low or high > scale.high else x
    return Split(arrays.images(x, axes, scale), None, IMAGES.kind)


def _with_labels(part: _Part, label: np.ndarray) -> _Part:
    return _Part(part.split, label, part.n_seen, part.kept)


def _check_shapes(parts: Mapping[str, _Part], axes: Mapping[str, Axes]) -> None:
    train = parts["train"].split
    for name, part in parts.items():
        if part.split.shape != train.shape or part.split.kind != train.kind or axes[name] != axes["train"]:
            raise ValueError(
                f"{name}: rows of shape {part.split.shape} ({axes[name].replace('_', ' ')}); expected those of "
                f"train, {train.shape} ({axes['train'].replace('_', ' ')})"
            )


def _with_classes(parts: Mapping[str, _Part], layout: Layout) -> Supplied:
    """Number the classes of all parts together, and keep the user's form of each."""
    given = {name: part.label for name, part in parts.items() if part.label is not None}
    splits = {name: part.split for name, part in parts.items()}
    if not given:
        return Supplied(splits, layout)
    found = arrays.labels(
        given,
        {name: parts[name].n_seen for name in given},
        {name: f"labels of {name}" for name in given},
    )
    names = next(iter(found.values())).names
    for name in given:
        label = found[name].label
        kept = parts[name].kept
        label = label if kept is None else label[torch.from_numpy(kept)]
        splits[name] = _labelled(splits[name], label)
    return Supplied(splits, layout, names, _codes(given, found, len(names)))


def _labelled(split: Split, label: Tensor) -> Split:
    """Return a split with these labels; a split that has them already is returned unchanged."""
    if split.label is not None and torch.equal(split.label, label):
        return split
    return split.alike(split.x, label)


def _codes(
    given: Mapping[str, np.ndarray], found: Mapping[str, arrays.Labels], n: int
) -> Tensor | list[str] | None:
    """Return each class's label in the form of the first row that has it."""
    first: dict[int, Any] = {}
    for name, array in given.items():
        known, rows = np.unique(found[name].label.numpy(), return_index=True)
        for number, row in zip(known.tolist(), rows.tolist(), strict=True):
            first.setdefault(number, array[row])
    codes = [first[number] for number in range(n)]
    if all(isinstance(code, str) for code in codes):
        return [str(code) for code in codes]
    if len({np.shape(code) for code in codes}) > 1 or any(isinstance(code, str) for code in codes):
        return None
    table = torch.from_numpy(np.stack([np.asarray(code) for code in codes]).copy())
    whole = not table.is_floating_point() or bool((table == table.round()).all())
    return table.long() if whole and table.ndim == 1 else table


def _with_validation(parts: Mapping[str, Split], seed: int) -> dict[str, Split]:
    if "validation" in parts:
        return dict(parts)
    test = parts["test"]
    if len(test) < 10:
        raise ValueError(f"test: {len(test)} rows; expected at least 10, or validation= of its own")
    chosen, rest = random_split(len(test), [len(test) // 5], generator=stream(seed, "validation from test"))
    return {"train": parts["train"], "test": test.take(rest), "validation": test.take(chosen)}


def _notes(
    rows: Mapping[str, Split | Rows],
    axes: Mapping[str, Axes],
    scales: Mapping[str, Scale],
    layout: Layout,
    parts: Mapping[str, _Part],
) -> Iterator[Finding]:
    """Return remarks on how the data were interpreted."""
    done = sorted({scale.done for scale in scales.values()} - {""})
    if axes["train"] == "no_channels":
        height, width = parts["train"].split.shape[1:]
        done.append(
            f"rows of {height} x {width} are taken as grey images (series=True where they are series)"
        )
    if axes["train"] == "channels_last":
        done.append("channels are last")
    for one in rows.values():
        done += one.notes if isinstance(one, Rows) else ()
    if done:
        seen = "" if layout.plain else f"; {layout.sentence}"
        yield Finding("note", "data_as_read", None, None, f"The data were read so: {'; '.join(done)}{seen}.")
    for name, part in parts.items():
        if part.kept is not None:
            share = len(part.kept) / part.n_seen
            yield Finding(
                "note", f"share_of_rows_of_{name}", share, 1.0,
                f"All that is said, copying too, is of {len(part.kept):,} of {part.n_seen:,} {name} rows, drawn at "
                f"random with the seed ({share:.1%}; as many as {row_store.MOST_BYTES // 2**20} MiB hold).",
            )  # fmt: skip


def check_range(given: object) -> tuple[float, float] | None:
    """Return the range of images that the user gave.

    Raises:
        ValueError: it is not a range.
    """
    if given is None:
        return None
    good = (
        isinstance(given, tuple | list)
        and len(given) == 2
        and all(
            isinstance(end, int | float) and not isinstance(end, bool) and np.isfinite(end) for end in given
        )
    )
    if not good or not given[0] < given[1]:  # type: ignore[index]
        raise ValueError(
            f"range={show(given)}: expected the least and the largest value of images, as (-1, 1)"
        )
    return float(given[0]), float(given[1])  # type: ignore[index]

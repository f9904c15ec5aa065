"""Laws that every data source must satisfy, one function each, so that a wrong source can be shown to fail each."""

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from priorgap.data.splits import Dataset, DataSource, Split, load_dataset, save_dataset

PARTS = ("train", "validation", "test")


def _load(source: DataSource, root: Path) -> Dataset:
    return source.load(root=root, download=False)


def _same(a: Split, b: Split) -> bool:
    labels = (a.label, b.label)
    if (labels[0] is None) != (labels[1] is None):
        return False
    equal = labels[0] is None or (labels[1] is not None and torch.equal(labels[0], labels[1]))
    return equal and torch.equal(a.x, b.x)


def gives_three_splits(source: DataSource, root: Path) -> None:
    """Rows of one shape and kind in every split, under the source's own name; images are bytes, vectors finite."""
    dataset = _load(source, root)
    assert isinstance(dataset, Dataset)
    assert dataset.name == source.name
    for part in PARTS:
        split: Split = getattr(dataset, part)
        assert len(split) >= 2, part
        assert split.shape == dataset.shape, part
        assert split.kind == dataset.kind, part
        expected = split.modality.dtype
        assert split.x.dtype == expected, part
        assert bool(torch.isfinite(split.x.float()).all()), part


def repeats_itself(source: DataSource, root: Path) -> None:
    """The same source gives the same rows in the same splits."""
    first, second = _load(source, root), _load(copy.deepcopy(source), root)
    for part in PARTS:
        assert _same(getattr(first, part), getattr(second, part)), part
    assert first.provenance == second.provenance


def leaves_global_rng_alone(source: DataSource, root: Path) -> None:
    """The source neither changes nor reads the global generators of torch, Python and numpy."""

    def state() -> tuple[Any, ...]:
        numpy: Any = np.random.get_state()
        return torch.get_rng_state().tolist(), random.getstate(), numpy[1].tolist()

    drawn = []
    for seed in (3, 4):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        before = state()
        drawn.append(_load(source, root))
        assert state() == before
    assert all(_same(getattr(drawn[0], part), getattr(drawn[1], part)) for part in PARTS)


def splits_are_not_copies(source: DataSource, root: Path) -> None:
    """No split holds the same rows as another one, in any order."""
    dataset = _load(source, root)
    rows = {part: getattr(dataset, part).x.flatten(1).float().sum(1).sort().values for part in PARTS}
    for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not torch.equal(rows[a], rows[b]), (a, b)


def survives_the_store(source: DataSource, root: Path) -> None:
    """Stages read back from the store exactly what was loaded, provenance included."""
    dataset = _load(source, root)
    folder = root / "kept"
    folder.mkdir(exist_ok=True)
    save_dataset(dataset, folder)
    again = load_dataset(folder, mmap=False)
    for part in PARTS:
        assert _same(getattr(dataset, part), getattr(again, part)), part
    assert (again.name, again.kind, again.n_classes) == (dataset.name, dataset.kind, dataset.n_classes)
    assert again.provenance == dataset.provenance


def is_a_value(source: DataSource, root: Path) -> None:
    """The source is frozen, hashable, and equal to a copy."""
    assert copy.deepcopy(source) == source
    assert hash(source) == hash(copy.deepcopy(source))
    with pytest.raises((AttributeError, TypeError)):
        source.name = "other"  # type: ignore[misc]


LAWS: dict[str, Callable[[DataSource, Path], None]] = {
    law.__name__: law
    for law in (
        gives_three_splits,
        repeats_itself,
        leaves_global_rng_alone,
        splits_are_not_copies,
        survives_the_store,
        is_a_value,
    )
}

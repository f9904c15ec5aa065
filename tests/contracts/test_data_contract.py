"""One suite over data sources, and wrong sources that it must reject."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from priorgap.core.build import build, load_option
from priorgap.data.digits import Digits
from priorgap.data.photo_patches import PhotoPatches
from priorgap.data.splits import Dataset, DataSource
from priorgap.testing.data_contract import LAWS

LINEAR: DataSource = build(load_option("data", "linear_gaussian")["source"], DataSource, where="data.source")


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("source", [Digits(), LINEAR, PhotoPatches()], ids=lambda s: s.name)
def test_sources_keep_the_contract(source: DataSource, law: Callable[..., None], tmp_path: Path) -> None:
    law(source, tmp_path)


@dataclass(frozen=True)
class Wrong:
    """Digits, spoilt."""

    spoil: Callable[[Dataset], Dataset]
    name: str = "digits"

    def load(self, *, root: Path, download: bool) -> Dataset:
        return self.spoil(Digits().load(root=root, download=download))


class Changeable(Digits):
    """Its name can be changed."""

    def __setattr__(self, key: str, value: object) -> None:
        object.__setattr__(self, key, value)


def noisy(dataset: Dataset) -> Dataset:
    rows = torch.randperm(len(dataset.train))
    return replace(dataset, train=dataset.train.take(rows))


def moving(dataset: Dataset) -> Dataset:
    torch.rand(1)
    return dataset


def backwards(dataset: Dataset) -> Dataset:
    return replace(dataset, validation=dataset.train.take(torch.arange(len(dataset.train)).flip(0)))


def counting(dataset: Dataset) -> Dataset:
    counting.n = getattr(counting, "n", 0) + 1
    return replace(dataset, provenance={"n": counting.n})


@pytest.mark.parametrize(
    ("source", "law"),
    [
        (Wrong(lambda d: replace(d, name="other")), "gives_three_splits"),
        (Wrong(noisy), "repeats_itself"),
        (Wrong(counting), "repeats_itself"),
        (Wrong(noisy), "leaves_global_rng_alone"),
        (Wrong(moving), "leaves_global_rng_alone"),
        (Wrong(lambda d: replace(d, test=d.train)), "splits_are_not_copies"),
        (Wrong(backwards), "splits_are_not_copies"),
        (Wrong(lambda d: replace(d, provenance={"sizes": (1, 2)})), "survives_the_store"),
        (Changeable(), "is_a_value"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_suite_rejects(source: DataSource, law: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        LAWS[law](source, tmp_path)

"""The contract of a data set: whole tensors, official or seeded splits, and their provenance."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.core.artifacts import load_json, load_tensors, save_json, save_tensors
from priorgap.modalities import GapLayout, Kind, Modality, modality_of
from priorgap.tables.layout import TableLayout

Index = Tensor | slice | Sequence[int]

_TENSORS = "dataset.safetensors"
_FACTS = "dataset.json"
# The key for the layout of a table's columns in its rows.
_TABLE = "table"
# The key for the channels of windows that are missing-indicators.
_GAPS = "gaps"
_PARTS = ("train", "validation", "test")


class DataUnavailable(ValueError):  # noqa: N818
    """A data set could not be obtained; the message names every source that was tried."""


class DataCorrupt(ValueError):  # noqa: N818
    """A file's content contradicts its checksum or its format; the message names the file."""


@dataclass(frozen=True)
class Split:
    """Images (uint8 [n, c, h, w]) or vectors (float32 [n, d]), with labels where there are any.

    `context` holds the numbers of the rows' contexts (`core.contexts`), for a model that takes contexts; contexts are
    not stored. `table` is the layout of a table's columns in the vectors, `gaps` says which channels of windows are
    missing-indicators.
    """

    x: Tensor
    label: Int[Tensor, "n"] | None = None
    kind: Kind = "uint8_image"
    context: Int[Tensor, "n"] | None = field(default=None, kw_only=True)
    table: TableLayout | None = field(default=None, kw_only=True)
    gaps: GapLayout | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        n_axes, dtype = self.modality.n_axes, self.modality.dtype
        if self.x.ndim != n_axes or self.x.dtype != dtype:
            raise ValueError(
                f"x is {self.x.dtype} of shape {tuple(self.x.shape)}: expected {dtype} with {n_axes} axes"
            )
        if self.gaps is not None and self.x.shape[-1] != self.gaps.width:
            raise ValueError(f"x has shape {tuple(self.x.shape)}: expected {self.gaps.width} channels")
        if self.label is not None and (
            self.label.dtype != torch.int64 or self.label.shape != self.x.shape[:1]
        ):
            raise ValueError(
                f"label is {self.label.dtype} of shape {tuple(self.label.shape)}: "
                f"expected torch.int64 of shape ({len(self.x)},)"
            )
        if self.context is not None and self.context.shape != self.x.shape[:1]:
            raise ValueError(f"context has shape {tuple(self.context.shape)}: expected ({len(self.x)},)")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return tuple(self.x.shape[1:])

    @property
    def range(self) -> tuple[float, float] | None:
        """The interval that holds all values of `batch` and `floats`: [0, 1] for images, None where there is none."""
        return self.modality.range

    @property
    def modality(self) -> Modality:
        """The modality of the observations: images, series, tables, ..."""
        return modality_of(self.kind, self.table, self.gaps)

    def take(self, index: Index) -> "Split":
        """Return the rows in `index`."""
        label, context = (None if one is None else one[index] for one in (self.label, self.context))
        return self.alike(self.x[index], label, context)

    def alike(
        self, x: Tensor, label: Int[Tensor, "n"] | None, context: Int[Tensor, "n"] | None = None
    ) -> "Split":
        """Return a split of other observations with this one's kind and layouts."""
        return Split(x, label, self.kind, context=context, table=self.table, gaps=self.gaps)

    def batch(self, index: Index, device: str | torch.device = "cpu") -> Float[Tensor, "b ..."]:
        """Return the rows in `index` as float32 on a device, images in [0, 1]."""
        return as_float(self.x[index].to(device))

    def floats(self) -> Float[Tensor, "n ..."]:
        """Return all rows as float32, images in [0, 1]."""
        return as_float(self.x)


def as_float(x: Tensor) -> Float[Tensor, "..."]:
    """Return a stored tensor as float32: uint8 is divided by 255, floats stay as they are."""
    return x.to(torch.float32).div_(255.0) if x.dtype == torch.uint8 else x.to(torch.float32)


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits of one data set.

    Attributes:
        name: the name of its source, the label in tables.
        train: the rows on which models and samplers are fitted.
        validation: the rows used for every selection and for early stopping.
        test: the rows behind reported numbers; nothing is fitted or selected on them.
        n_classes: the number of classes, None without labels.
        official: whether the test split is the one that the data set was published with.
        provenance: JSON-able facts: sources, checksums, sizes, the split's seed.
        exchangeable: whether training and validation rows come from one distribution and could be swapped. Those of a
            time series could not, because validation rows are later; then closeness to training rows is no evidence
            of copying.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    n_classes: int | None = None
    official: bool = True
    provenance: dict[str, Any] = field(default_factory=dict)
    exchangeable: bool = True

    def __post_init__(self) -> None:
        for part in _PARTS:
            split: Split = getattr(self, part)
            if len(split) == 0:
                raise ValueError(f"{self.name}: the {part} split is empty")
            if (split.shape, split.modality) != (self.train.shape, self.train.modality):
                raise ValueError(
                    f"{self.name}: {part} is {split.kind} {split.shape}, "
                    f"train is {self.train.kind} {self.train.shape}"
                )
            if split.label is not None and (
                self.n_classes is None
                or int(split.label.min()) < 0
                or int(split.label.max()) >= self.n_classes
            ):
                raise ValueError(f"{self.name}: a {part} label is not below n_classes={self.n_classes}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return self.train.shape

    @property
    def kind(self) -> Kind:
        """The kind of observations, by the name that is stored."""
        return self.train.kind

    @property
    def modality(self) -> Modality:
        """The modality of the observations: images, series, tables, ..."""
        return self.train.modality

    @property
    def labelled(self) -> bool:
        """Whether training and test rows have labels."""
        return None not in (self.n_classes, self.train.label, self.test.label)


@runtime_checkable
class DataSource(Protocol):
    """A frozen dataclass that can load one data set."""

    @property
    def name(self) -> str:
        """The data set's name, which is its label in tables."""
        ...

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set, from `root` where it is there, else downloaded where that is allowed."""
        ...


def random_split(n: int, sizes: Sequence[int], *, generator: torch.Generator) -> list[Int[Tensor, "m"]]:
    """Return disjoint, sorted index sets of the given sizes; the last one holds the remaining rows.

    Raises:
        ValueError: the sizes leave no remaining rows.
    """
    if any(s < 1 for s in sizes) or sum(sizes) >= n:
        raise ValueError(f"split sizes {list(sizes)}: expected positive sizes that leave some of {n} rows")
    order = torch.randperm(n, generator=generator)
    return [part.sort().values for part in order.split([*sizes, n - sum(sizes)])]


def stratified_split(
    label: Int[Tensor, "n"],
    fractions: Sequence[float],
    *,
    generator: torch.Generator,
    names: Sequence[str] = (),
) -> list[Int[Tensor, "m"]]:
    """Return disjoint, sorted index sets with about these fractions of every class; the last one holds the rest.

    Messages call classes by their `names`, where there are any.

    Raises:
        ValueError: the fractions leave no remaining rows, or a class is too small.
    """
    if any(not 0 < f < 1 for f in fractions) or sum(fractions) >= 1:
        raise ValueError(f"split fractions {list(fractions)}: expected positive ones that sum to less than 1")
    parts: list[list[Tensor]] = [[] for _ in range(len(fractions) + 1)]
    for value in label.unique().tolist():
        rows = (label == value).nonzero().squeeze(1)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        sizes = [max(1, round(f * len(rows))) for f in fractions]
        if sum(sizes) >= len(rows):
            called = names[value] if names else value
            raise ValueError(
                f"class {called} has {len(rows)} rows: too few for one in each split; give it more, or leave it out"
            )
        for part, chosen in zip(parts, rows.split([*sizes, len(rows) - sum(sizes)]), strict=True):
            part.append(chosen)
    return [torch.cat(part).sort().values for part in parts]


def check_fractions(validation_fraction: float, test_fraction: float) -> None:
    """Refuse fractions outside of their range, or that leave no rows for training.

    Raises:
        ValueError: one line, with the key.
    """
    for key, value in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 < value < 1:
            raise ValueError(f"data.source.{key}={value}: expected a number between 0 and 1")
    if validation_fraction + test_fraction >= 1:
        raise ValueError(
            f"data.source.test_fraction={test_fraction}: with validation_fraction={validation_fraction} nothing is "
            "left to train on; expected a sum below 1"
        )


def fraction_split(
    label: Int[Tensor, "n"] | None,
    n: int,
    fractions: Sequence[float],
    *,
    generator: torch.Generator,
    names: Sequence[str] = (),
) -> list[Int[Tensor, "m"]]:
    """Split by fractions: within classes where there are labels (with these names), else at random."""
    if label is not None:
        return stratified_split(label, fractions, generator=generator, names=names)
    if any(not 0 < f < 1 for f in fractions) or sum(fractions) >= 1:
        raise ValueError(f"split fractions {list(fractions)}: expected positive ones that sum to less than 1")
    return random_split(n, [max(1, round(f * n)) for f in fractions], generator=generator)


def save_dataset(dataset: Dataset, directory: Path) -> None:
    """Write a data set as one safetensors file and one JSON file."""
    tensors = {}
    for part in _PARTS:
        split: Split = getattr(dataset, part)
        tensors[f"{part}.x"] = split.x
        if split.label is not None:
            tensors[f"{part}.label"] = split.label
    save_tensors(directory / _TENSORS, tensors)
    facts = {
        "name": dataset.name,
        "kind": dataset.kind,
        "n_classes": dataset.n_classes,
        "official": dataset.official,
        "provenance": dataset.provenance,
        "exchangeable": dataset.exchangeable,
        # Without a layout the key is left out, so that files of data sets without one stay unchanged.
        **({} if dataset.train.table is None else {_TABLE: dataset.train.table.json()}),
        **({} if dataset.train.gaps is None else {_GAPS: dataset.train.gaps.json()}),
    }
    save_json(directory / _FACTS, facts)


def load_dataset(directory: Path, *, mmap: bool = True) -> Dataset:
    """Read a data set that `save_dataset` wrote.

    Args:
        directory: where it was written.
        mmap: map the files into memory, so that tensors are read as they are used; False reads them at once.
    """
    facts = load_json(directory / _FACTS)
    tensors = load_tensors(directory / _TENSORS)
    if not mmap:
        tensors = {name: t.clone() for name, t in tensors.items()}
    kind = cast(Kind, facts["kind"])
    table = TableLayout.of_json(facts[_TABLE]) if _TABLE in facts else None
    gaps = GapLayout.of_json(facts[_GAPS]) if _GAPS in facts else None
    train, validation, test = (
        Split(tensors[f"{part}.x"], tensors.get(f"{part}.label"), kind, table=table, gaps=gaps)
        for part in _PARTS
    )
    return Dataset(
        facts["name"], train, validation, test, facts["n_classes"], facts["official"], facts["provenance"],
        # Data sets that were stored before series were supported lack this key.
        facts.get("exchangeable", True),
    )  # fmt: skip

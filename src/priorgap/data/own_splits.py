"""Training, validation and test rows of a user's own data: as the data are divided, or split off by fractions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split, fraction_split


class OwnData(Protocol):
    """What splitting needs to know of a source: name, path, and the fractions kept for validation and test."""

    @property
    def name(self) -> str:
        """The name in tables."""
        ...

    @property
    def path(self) -> Path:
        """The path of the data."""
        ...

    @property
    def validation_fraction(self) -> float:
        """The part kept for validation."""
        ...

    @property
    def test_fraction(self) -> float:
        """The part kept for the test."""
        ...

    @property
    def split_seed(self) -> int:
        """The seed of the split."""
        ...


@runtime_checkable
class FromFiles(Protocol):
    """A source that reads a user's own files; if their content changes, it is another data set."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files."""
        ...


def in_parts(
    source: OwnData,
    parts: Mapping[str, Split],
    facts: Mapping[str, object],
    n_classes: int | None,
    names: Sequence[str],
    *,
    drawn_as: str = "",
) -> Dataset:
    """Return data that are divided already; parts that are missing are split off the training rows, by fractions.

    `drawn_as` is the name in the random stream of the split; "" means the source's own name.
    """
    train, given = parts["train"], dict(parts)
    made = []
    generator = stream(source.split_seed, "split", drawn_as or source.name)
    for part, fraction in (("test", source.test_fraction), ("validation", source.validation_fraction)):
        if part in given:
            continue
        try:
            chosen, rest = fraction_split(
                train.label, len(train), [fraction], generator=generator, names=names
            )
        except ValueError as error:
            raise ValueError(f"data.path={source.path}: {len(train)} training rows: {error}") from error
        given[part], train = train.take(chosen), train.take(rest)
        made.append(part)
    provenance = {**facts, "split": "as given", "split_off": made, "split_seed": source.split_seed}
    official = "test" not in made
    return Dataset(
        source.name,
        train,
        given["validation"],
        given["test"],
        n_classes,
        official=official,
        provenance=provenance,
    )


def split_off(
    source: OwnData,
    everything: Split,
    facts: Mapping[str, object],
    n_classes: int | None,
    names: Sequence[str] = (),
    *,
    drawn_as: str = "",
) -> Dataset:
    """Return data whose three parts are split off by fractions, within classes where there are any.

    `drawn_as` is the name in the random stream of the split; "" means the source's own name.

    Raises:
        ValueError: there are too few rows in all or in a class; one line.
    """
    generator = stream(source.split_seed, "split", drawn_as or source.name)
    try:
        parts: list[Int[Tensor, "m"]] = fraction_split(
            everything.label,
            len(everything),
            [source.test_fraction, source.validation_fraction],
            generator=generator,
            names=names,
        )
    except ValueError as error:
        raise ValueError(f"data.path={source.path}: {len(everything)} rows: {error}") from error
    test, validation, train = (everything.take(index) for index in parts)
    provenance = {
        **facts,
        "split": "by fractions, ours",
        "split_seed": source.split_seed,
        "sizes": [len(train), len(validation), len(test)],
    }
    return Dataset(source.name, train, validation, test, n_classes, official=False, provenance=provenance)

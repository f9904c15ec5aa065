"""The description of a study's data and models at the head of its page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from priorgap.report.glossary import Words
from priorgap.report.tables import Cell
from priorgap.verdict import readings as rd

# With more values than this a varying key is summarised instead of listed.
_MAX_VALUES = 8


@dataclass(frozen=True)
class DataFacts:
    """One data set.

    Attributes:
        name: its name; "" where it has none.
        described: the kind of its observations: "grey images of 28 x 28".
        sizes: the numbers of training, validation and test rows; None where not known.
    """

    name: str
    described: str
    sizes: tuple[int | None, int | None, int | None] = (None, None, None)

    @property
    def text(self) -> str:
        """The data set in one line."""
        parts = zip(self.sizes, ("for training", "for validation", "for tests"), strict=True)
        counted = ", ".join(f"{size:,} {use}" for size, use in parts if size is not None)
        named = f"{self.name}: {self.described}" if self.name else self.described
        return "; ".join(filter(None, [named, counted]))


@dataclass(frozen=True)
class Studied:
    """The data and models of a study.

    Attributes:
        noun: the word for one observation: "image", "window", "row".
        data: its data sets.
        models: its models in words, one line each.
        date: the ISO date of its last result; "" where not known.
    """

    noun: str = "observation"
    data: Sequence[DataFacts] = ()
    models: Sequence[str] = field(default_factory=tuple)
    date: str = ""

    @property
    def words(self) -> Words:
        """The words for observations."""
        return Words.of(self.noun)

    def facts(self, table: pd.DataFrame, cells: Sequence[Cell]) -> Iterator[tuple[str, str]]:
        """Yield the facts of the study by name: data, models, what varies, seeds, date."""
        yield from (("Data", one.text) for one in self.data)
        yield from (("Model", text) for text in self.models)
        for key in rd.varying_keys(table):
            values = list(dict.fromkeys(str(value) for value in table[key].dropna()))
            more = f", and {len(values) - _MAX_VALUES} more" if len(values) > _MAX_VALUES else ""
            yield f"Varies: {key}", ", ".join(values[:_MAX_VALUES]) + more
        if len(table):
            seeds = sorted({int(seed) for seed in table["seed"]})
            n_models = table["model"].nunique()
            trained = f"{n_models} {'model' if n_models == 1 else 'models'}"
            cell_count = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}"
            yield "Models", f"{trained} in {cell_count}; {_seeds(seeds)}"
        if self.date:
            yield "Measured", self.date


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return "seeds " + ", ".join(str(seed) for seed in seeds)

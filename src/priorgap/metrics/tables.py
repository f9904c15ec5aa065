"""Similarity of samples and test rows of a table, in the file's units: columns, pairs, rare categories; floors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch

from priorgap.core.arguments import AtLeast, Between
from priorgap.core.catalogue import catalogued
from priorgap.core.measurement import OF_DATA, Measurement
from priorgap.core.measures import Measure
from priorgap.data.splits import Split
from priorgap.estimators.uncertainty import Estimate
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import NotApplicable, Scope, measured, require
from priorgap.metrics.reference import Reference
from priorgap.tables.layout import TableLayout

if TYPE_CHECKING:
    import pandas as pd

    from priorgap.estimators.tables import TableScore

# Above this number columns or pairs get no rows of their own; 32 columns have about 500 pairs.
MOST_PARTS = 500
_NEEDS = frozenset({"draw", "decode", "reference", "table"})


@dataclass(frozen=True)
class ColumnShapes:
    """`column_shapes`: 1 - Kolmogorov-Smirnov or total variation, mean over columns, as SDMetrics; 1 is best.

    Rows by column in `unit`. Missing values are left out. Biased downwards for small sets: compare it with its floor.
    """

    name: ClassVar[str] = "column_shapes"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("column_shapes")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the overall row, and the rows by column."""
        reference, layout = _known(evidence, self.needs)
        return _rows(self.name, self.score, evidence.samples, reference.test, layout)

    def score(self, real: "pd.DataFrame", made: "pd.DataFrame", layout: TableLayout) -> "TableScore":
        """Compare two tables."""
        # Imported here because it imports pandas, which reading a configuration does not need.
        from priorgap.estimators.tables import column_shapes

        return column_shapes(real, made, numeric=numeric_of(layout))


@dataclass(frozen=True)
class PairTrends:
    """`pair_trends`: how alike correlations and contingency tables are, mean over pairs, as SDMetrics; 1 is best.

    Rows by pair of columns in `unit`, if there are at most 500. Biased downwards for small sets: compare it with its
    floor.

    Attributes:
        least_correlation: numeric pairs with an |r| among test rows of at most this are left out.
        least_association: other pairs with a Cramér's V of at most this are left out. SDMetrics 0.32 uses .5 and .3.
    """

    least_correlation: Annotated[float, AtLeast(0)]
    least_association: Annotated[float, AtLeast(0)]
    name: ClassVar[str] = "pair_trends"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("pair_trends")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return the overall row, and the rows by pair."""
        reference, layout = _known(evidence, self.needs)
        return _rows(self.name, self.score, evidence.samples, reference.test, layout)

    def score(self, real: "pd.DataFrame", made: "pd.DataFrame", layout: TableLayout) -> "TableScore":
        """Compare two tables."""
        from priorgap.estimators.tables import pair_trends

        return pair_trends(
            real,
            made,
            numeric=numeric_of(layout),
            least_correlation=self.least_correlation,
            least_association=self.least_association,
        )


@dataclass(frozen=True)
class RareCategories:
    """`rare_category_share`, `rare_category_mass`: rare categories of training rows that samples have, how often.

    Attributes:
        level: a category is rare if its share of the column is below this.
    """

    level: Annotated[float, Between(0, 1)]
    name: ClassVar[str] = "rare_categories"
    scope: ClassVar[Scope] = "sampler"
    measures: ClassVar[tuple[Measure, ...]] = catalogued("rare_category_share", "rare_category_mass")
    needs: ClassVar[frozenset[str]] = _NEEDS

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return both rows; n_reference counts training rows."""
        reference, layout = _known(evidence, self.needs)
        return self.rows("", evidence.samples, reference.train, layout)

    def rows(self, suffix: str, made: Split, train: Split, layout: TableLayout) -> list[Measurement]:
        """Return both measures for any set of rows.

        Raises:
            NotApplicable: no category is rare.
        """
        from priorgap.estimators.tables import rare_categories

        try:
            found = rare_categories(
                layout.frame(train.x), layout.frame(made.x), numeric=numeric_of(layout), level=self.level
            )
        except ValueError as error:
            raise NotApplicable(str(error)) from error
        values = {"share": Estimate(found.share), "mass": found.mass}
        return [
            measured(f"rare_category_{key}{suffix}", one, n=len(made), n_reference=len(train), space=OF_DATA)
            for key, one in values.items()
        ]


@dataclass(frozen=True)
class TableFloors:
    """`column_shapes_floor`, `pair_trends_floor`, ...: the same of real training rows, as many as test rows.

    For rare categories they are computed for test rows. No sampler can be expected to be better.

    Attributes:
        least_correlation, least_association: as in `PairTrends`.
        level: as in `RareCategories`.
    """

    least_correlation: Annotated[float, AtLeast(0)]
    least_association: Annotated[float, AtLeast(0)]
    level: Annotated[float, Between(0, 1)]
    name: ClassVar[str] = "table_floors"
    scope: ClassVar[Scope] = "model"
    measures: ClassVar[tuple[Measure, ...]] = catalogued(
        "column_shapes_floor", "pair_trends_floor", "rare_category_share_floor", "rare_category_mass_floor"
    )
    needs: ClassVar[frozenset[str]] = frozenset({"reference", "table"})

    def measure(self, evidence: Evidence, *, generator: torch.Generator) -> list[Measurement]:
        """Return a row for each score that exists."""
        reference, layout = _known(evidence, self.needs)
        train, test = reference.train, reference.test
        some = train.take(torch.randperm(len(train), generator=generator)[: len(test)])
        pairs = PairTrends(self.least_correlation, self.least_association)
        parts: tuple[Callable[[], list[Measurement]], ...] = (
            lambda: _rows("column_shapes_floor", ColumnShapes().score, some, test, layout)[:1],
            lambda: _rows("pair_trends_floor", pairs.score, some, test, layout)[:1],
            lambda: RareCategories(self.level).rows("_floor", test, train, layout),
        )
        found, reasons = [], []
        for part in parts:
            try:
                found += part()
            except NotApplicable as error:
                reasons.append(str(error))
        if not found:
            raise NotApplicable(reasons[0])
        return found


def numeric_of(layout: TableLayout) -> list[str]:
    """Return the names of the columns that hold numbers or points in time."""
    return [column.name for column in layout.columns if column.numeric]


def _known(evidence: Evidence, needs: frozenset[str]) -> tuple[Reference, TableLayout]:
    require(evidence, needs)
    reference = evidence.model.reference
    layout = None if reference is None else reference.train.table
    if reference is None or layout is None:
        raise NotApplicable("the observations are no rows of a table")
    return reference, layout


def _rows(
    name: str,
    score: "Callable[[pd.DataFrame, pd.DataFrame, TableLayout], TableScore]",
    made: Split,
    real: Split,
    layout: TableLayout,
) -> list[Measurement]:
    """Return the score of rows compared with test rows: overall, and by part where there are several.

    Raises:
        NotApplicable: there is no score.
    """
    try:
        found = score(layout.frame(real.x), layout.frame(made.x), layout)
    except ValueError as error:
        raise NotApplicable(str(error)) from error
    rows = [measured(name, found.whole, n=len(made), n_reference=len(real), space=OF_DATA)]
    for unit, one in found.scores.items() if 1 < len(found.parts) <= MOST_PARTS else ():
        rows.append(measured(name, one, n=len(made), n_reference=len(real), space=OF_DATA, unit=unit))
    return rows

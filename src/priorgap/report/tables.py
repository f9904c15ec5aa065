"""The tables of a report: numbers of the results as text, mean ± s.d. over seeds.

The catalogue decides where, under which heading and in which order a measure is shown; a plugin's measure is shown in
the section that its entry names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from priorgap.core.catalogue import BUILTIN
from priorgap.core.measurement import NULL_UNKNOWN
from priorgap.core.measures import Catalogue, Measure, Section
from priorgap.verdict import StudyVerdict, Verdict
from priorgap.verdict import readings as rd
from priorgap.verdict.headline import measure_name, number
from priorgap.verdict.labels import RECONSTRUCTIVE
from priorgap.verdict.sentences import plus_minus
from priorgap.verdict.units import is_unit_swap

_FORWARD = "accuracy_real_to_synthetic"
_BACKWARD = "accuracy_synthetic_to_real"
_CEILING = "accuracy_real_to_real"
ROLE_ORDER = {"candidate": 0, "control": 1, "specimen": 2}
ABSENT = "–"
_TRAITS = {
    "reconstructs": "reconstructs training images",
    "needs_training_data": "needs the training data to draw",
    "fixed": "the same whatever the encoder",
}


@dataclass(frozen=True)
class TextTable:
    """A table of strings.

    Attributes:
        heading: the table's heading.
        header: the heads of the columns.
        rows: the rows, whose first entries are their names.
        notes: sentences below it.
        columns: the measures of the columns after the first, where each has one; () or None otherwise.
        lines: the measures of the rows, where each has one; () or None otherwise.
    """

    heading: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    columns: tuple[Measure | None, ...] = ()
    lines: tuple[Measure | None, ...] = ()

    def of_column(self, place: int) -> Measure | None:
        """Return the measure of a column, counting the column of names; None where it has none."""
        return self.columns[place - 1] if 0 < place <= len(self.columns) else None

    def of_line(self, place: int) -> Measure | None:
        """Return the measure of a row; None where its entries are of several measures."""
        return self.lines[place] if place < len(self.lines) else None


@dataclass(frozen=True)
class Cell:
    """One group of models, in the form that the report shows.

    Attributes:
        name: its varying keys as text.
        rows: its part of the results.
        verdict: its part of the verdict.
        keys: its varying keys.
        catalogue: the entries of the study's measures.
    """

    name: str
    rows: pd.DataFrame
    verdict: Verdict | None
    keys: Mapping[str, Any] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=lambda: BUILTIN, repr=False)

    @cached_property
    def samplers(self) -> list[str]:
        """Names of the samplers: candidates in the verdict's order, then controls, then specimens."""
        names = rd.text_column(self.rows, "sampler")
        roles = rd.text_column(self.rows, "role")
        role = dict(zip(names, roles, strict=True))
        ranked = [summary.sampler for summary in self.verdict.candidates] if self.verdict else []
        rank = {name: place for place, name in enumerate(ranked)}
        return sorted(
            (name for name in role if name),
            key=lambda name: (ROLE_ORDER.get(role[name], 3), rank.get(name, len(rank)), name),
        )

    @cached_property
    def measured(self) -> frozenset[str]:
        """The names of the measures that the cell has rows of."""
        return frozenset(self.rows["measure"])

    def measures(self, section: Section) -> list[Measure]:
        """Return the entries of the cell's measures in one section of the page, in the catalogue's order."""
        return [one for one in measures_of(self.catalogue, section) if one.name in self.measured]

    def marks(self, sampler: str) -> list[str]:
        """Return the marks beside a sampler's name: recommended, winner, role, labels."""
        if sampler not in self._marks:
            self._marks[sampler] = self._marks_of(sampler)
        return list(self._marks[sampler])

    @cached_property
    def _marks(self) -> dict[str, list[str]]:
        """A cache of the marks, because a page needs them for every table."""
        return {}

    def _marks_of(self, sampler: str) -> list[str]:
        own = self.rows[rd.text_column(self.rows, "sampler") == sampler]
        roles = set(rd.text_column(own, "role"))
        found: list[str] = [role for role in ("control", "specimen") if role in roles]
        if self.verdict is not None:
            found = ["winner"] * (self.verdict.winner == sampler) + found
            found = ["recommended"] * (self.verdict.recommended == sampler) + found
            found += self.verdict.labels.get(sampler, [])
        reconstructs = any("reconstructs" in traits.split() for traits in rd.text_column(own, "traits"))
        if reconstructs and RECONSTRUCTIVE not in found:
            found.append(RECONSTRUCTIVE)
        return found

    def traits(self, sampler: str) -> str:
        """Return a sampler's traits for readers: what it needs to draw, and what it does not depend on."""
        found = self._traits.get(sampler, set())
        return ", ".join(words for trait, words in _TRAITS.items() if trait in found)

    @cached_property
    def _traits(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        pairs = zip(rd.text_column(self.rows, "sampler"), rd.text_column(self.rows, "traits"), strict=True)
        for sampler, traits in set(pairs):
            found.setdefault(sampler, set()).update(traits.split())
        return found


def cells_of(table: pd.DataFrame, verdict: StudyVerdict, catalogue: Catalogue = BUILTIN) -> list[Cell]:
    """Return the study's cells, each with its verdict."""
    by_keys = {rd.describe(cell.keys): cell for cell in verdict.cells}
    found = []
    for keys, group in rd.cell_groups(rd.tidy(table)):
        name = rd.describe(keys)
        rows = rd.with_calibrated_labels(group)
        found.append(Cell(name or "all models", rows, by_keys.get(name), keys, catalogue))
    return found


def measures_of(catalogue: Catalogue, section: Section) -> list[Measure]:
    """Return the entries of one section of the page, in the catalogue's order."""
    return [measure for measure in catalogue.values() if measure.section == section]


def mean_and_spread(values: Sequence[float], std_errors: Sequence[float | None] = ()) -> str:
    """Return "12.3 ± 0.4", mean and s.d. over seeds; with one value, the value ± its standard error."""
    if not len(values):
        return ABSENT
    mean = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    # A constant over seeds (such as a floor or a sample size) has no spread to show.
    if spread > 1e-9 * abs(mean):
        return plus_minus(mean, spread)
    error = std_errors[0] if len(values) == 1 and std_errors else None
    return number(mean) if error is None else f"{plus_minus(mean, error)} (s.e.)"


def over_seeds(rows: pd.DataFrame) -> str:
    """Return the mean of one number over seeds; where it has only limits, these.

    Where some seeds have a value and others only a limit, the mean of all is itself a limit:
    "≤ 110 (a limit in 2 of 5 seeds)". The mean of the values alone would leave out the seeds at one end.
    """
    limit = rd.text_column(rows, "bound").isin({"lower", "upper"})
    points = rows[~limit].drop_duplicates("seed")
    if points.empty:
        return _limits(rows)
    limited = rows[limit & ~rows["seed"].isin(points["seed"])]
    if len(limited):
        # a value is both ends of what is known of its seed
        ends = [points.assign(bound="lower"), points.assign(bound="upper"), limited]
        n, n_seeds = limited["seed"].nunique(), rows["seed"].nunique()
        return f"{_limits(pd.concat(ends))} (a limit in {n} of {n_seeds} seeds)"
    errors = [None if pd.isna(error) else float(error) for error in points["std_error"]]
    return mean_and_spread([float(value) for value in points["value"]], errors)


def _limits(rows: pd.DataFrame) -> str:
    """Return "0.4 to 1.2", or "≥ 0.4" with a single end, averaged over seeds.

    An end that one of the seeds lacks has no mean.
    """
    bound = rd.text_column(rows, "bound")
    n_seeds = rows["seed"].nunique()
    ends = [rows[bound == end] for end in ("lower", "upper")]
    low, high = (
        number(float(end["value"].mean())) if len(end) and end["seed"].nunique() == n_seeds else ""
        for end in ends
    )
    if low and high:
        return f"{low} to {high}"
    return f"≥ {low}" if low else f"≤ {high}" if high else ABSENT


def _whole(rows: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Return a measure's rows without those of single units or classes."""
    own = rows[rows["measure"] == measure.name]
    return own[own["value"].notna() & rd.text_column(own, "unit").isin({"", NULL_UNKNOWN})]


@dataclass(frozen=True)
class Column:
    """One column of a table of samplers: a measure in a space, with one label source where there are several."""

    measure: Measure
    space: str
    label_source: str | None = None

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return its rows."""
        own = _whole(rows, self.measure)
        own = own[rd.text_column(own, "space") == self.space]
        if self.label_source is None:
            return own
        return own[rd.text_column(own, "label_source") == self.label_source]


def columns_of(rows: pd.DataFrame, measures: Iterable[Measure]) -> list[Column]:
    """Return the columns that any sampler has, in the order of the measures."""
    found = []
    for measure in measures:
        own = _whole(rows, measure)
        named = own[rd.text_column(own, "sampler") != ""]
        for space in sorted(set(rd.text_column(named, "space"))):
            here = named[rd.text_column(named, "space") == space]
            sources = sorted(set(rd.text_column(here, "label_source")))
            found += [Column(measure, space, s) for s in (sources if len(sources) > 1 else [None])]
    return found


def heads(columns: Sequence[Column]) -> list[str]:
    """Return the heads of columns, with space and label source where these are needed to tell columns apart."""
    spaces: dict[str, set[str]] = {}
    for column in columns:
        spaces.setdefault(column.measure.name, set()).add(column.space)
    heads = []
    for column in columns:
        said = [column.space] if column.measure.needs_space or len(spaces[column.measure.name]) > 1 else []
        said += [f"labels: {column.label_source or 'none'}"] if column.label_source is not None else []
        heads.append(f"{column.measure.heading} ({', '.join(said)})" if said else column.measure.heading)
    return heads


def _by_sampler(
    cell: Cell, measures: Iterable[Measure]
) -> tuple[tuple[Measure, ...], list[str], list[list[str]]]:
    columns = columns_of(cell.rows, measures)
    parts = [column.of(cell.rows) for column in columns]
    rows = []
    # Three arms of every unit would hide the samplers; they have a table of their own (`report.units`).
    for sampler in (name for name in cell.samplers if not is_unit_swap(name)):
        entries = [over_seeds(part[rd.text_column(part, "sampler") == sampler]) for part in parts]
        if any(entry != ABSENT for entry in entries):
            rows.append([sampler, *entries])
    return tuple(column.measure for column in columns), heads(columns), rows


def sampler_table(cell: Cell, section: Section, *, notes: bool = True) -> TextTable | None:
    """Return samplers × the section's measures of a cell, with the model's own values as notes."""
    measures, header, rows = _by_sampler(cell, cell.measures(section))
    if not rows:
        return None
    below = _model_notes(cell, section) if notes else []
    return TextTable(cell.name, ["sampler", *header], rows, below, measures)


def _model_notes(cell: Cell, section: Section) -> list[str]:
    return [
        f"{measure_name(measure, space)}: {mean_and_spread(values)}. {measure.sentence}"
        for measure in cell.measures(section)
        if measure.name != _CEILING  # The ceiling has rows of its own.
        for space, values in _model_values(cell.rows, measure.name).items()
    ]


def quality_table(cell: Cell) -> TextTable | None:
    """Return samplers × quality measures of a cell, with its floors and sample sizes as notes."""
    table = sampler_table(cell, "quality")
    if table is None:
        return None
    return replace(table, notes=[_sizes(cell), *table.notes])


def _sizes(cell: Cell) -> str:
    ranking = [measure.name for measure in cell.measures("quality") if measure.rankable]
    quality = cell.rows[cell.rows["measure"].isin(ranking) & (rd.text_column(cell.rows, "unit") == "")]
    seeds = quality["seed"].nunique()
    text = f"Mean ± s.d. over {seeds} seeds" if seeds > 1 else "One model"
    for column, words in (("n", "samples"), ("n_reference", "real test items")):
        sizes = sorted({int(size) for size in quality[column].dropna()}) if column in quality else []
        if sizes:
            text += f"; {' or '.join(f'{size:,}' for size in sizes)} {words}"
    return text + "."


def _model_values(rows: pd.DataFrame, measure: str) -> dict[str, list[float]]:
    """Return the values of a measure that belongs to no sampler, by space, one for each seed."""
    selected = rd.select(rows, measure)
    selected = selected[rd.text_column(selected, "sampler") == ""]
    spaces = rd.text_column(selected, "space")
    return {
        space: [float(v) for v in selected[spaces == space].drop_duplicates("seed")["value"]]
        for space in sorted(set(spaces))
    }


def copying_table(cell: Cell) -> TextTable | None:
    """Return samplers × copying measures of a cell, with their labels."""
    table = sampler_table(cell, "copying")
    if table is None:
        return None
    labels = cell.verdict.labels if cell.verdict else {}
    rows = [[*row, ", ".join(labels.get(row[0], [])) or ABSENT] for row in table.rows]
    whole = cell.rows.assign(unit=rd.text_column(cell.rows, "unit").replace(NULL_UNKNOWN, ""))
    notes = [
        f"{measure.heading} of the model's posterior ({space}): {mean_and_spread(values)}."
        for measure in cell.measures("copying")
        for space, values in _model_values(whole, measure.name).items()
    ]
    unknown = set(cell.rows["measure"][rd.text_column(cell.rows, "unit") == NULL_UNKNOWN])
    if "memorisation_auc" in unknown:
        notes.append(
            "The held-out images were no random part of the training pool, so ½ is not what an honest "
            "model has for memorisation AUC."
        )
    if "train_share" in unknown:
        notes.append(
            "Held-out rows lie elsewhere than training rows (later, or of other series), so honest draws are nearer "
            "to training rows too: train share has no null of ½ here and near-copy excess none of 0, and neither "
            "labels a sampler. Identical and near copies do."
        )
    return TextTable(cell.name, [*table.header, "label"], rows, notes, table.columns)


def accuracy_table(cell: Cell) -> TextTable | None:
    """Return samplers and label sources × accuracies, with the ceiling of each label source."""
    measures = [
        measure
        for measure in measures_of(cell.catalogue, "accuracy")
        if any(column.measure == measure for column in columns_of(cell.rows, [measure]))
    ]
    rows = []
    for source in _label_sources(cell):
        here = cell.rows[rd.text_column(cell.rows, "label_source") == source]
        for sampler in cell.samplers:
            own = here[rd.text_column(here, "sampler") == sampler]
            entries = [over_seeds(_whole(own, measure)) for measure in measures]
            if any(entry != ABSENT for entry in entries):
                rows.append([sampler, source or ABSENT, *entries])
        selected = rd.select(here, _CEILING)
        values = [float(v) for v in selected.drop_duplicates("seed")["value"]]
        if values:
            # Without a label source it is the judge's own accuracy, which is the ceiling of real→synthetic.
            bounded = _FORWARD if source == "" else _BACKWARD
            entries = [mean_and_spread(values) if m.name == bounded else ABSENT for m in measures]
            rows.append(["ceiling: real→real", source or ABSENT, *entries])
    if not rows:
        return None
    header = ["sampler", "labels from", *(measure.heading for measure in measures)]
    return TextTable(cell.name, header, rows, _model_notes(cell, "accuracy"), (None, *measures))


def _label_sources(cell: Cell) -> list[str]:
    names = [measure.name for measure in measures_of(cell.catalogue, "accuracy")]
    measured = cell.rows[cell.rows["measure"].isin(names)]
    return sorted(set(rd.text_column(measured, "label_source")))


def model_table(cells: Sequence[Cell], section: Section = "latent") -> TextTable | None:
    """Return the model's own measures of a section × cells: rate, active units, mismatch with its bracket, ELBO."""
    rows, lines = [], []
    measured = frozenset[str]().union(*(cell.measured for cell in cells))
    for measure in measures_of(cells[0].catalogue, section) if cells else []:
        if measure.name not in measured:
            continue
        entries = [_of_model(cell.rows, measure) for cell in cells]
        if any(entry != ABSENT for entry in entries):
            rows.append([measure.heading, *entries])
            lines.append(measure)
    if not rows:
        return None
    return TextTable("", ["measure", *(cell.name for cell in cells)], rows, lines=tuple(lines))


def _of_model(rows: pd.DataFrame, measure: Measure) -> str:
    """Return a model's value over seeds, with its limits if it has any."""
    own = _whole(rows, measure)
    own = own[rd.text_column(own, "sampler") == ""]
    points = own[~rd.text_column(own, "bound").isin({"lower", "upper"})]
    limits = _limits(own)
    if points.empty:
        return limits
    values = [float(value) for value in points.drop_duplicates(["seed", "space"])["value"]]
    return mean_and_spread(values) + ("" if limits == ABSENT else f" ({limits})")

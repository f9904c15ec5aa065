"""Tables of measures by latent unit, class, size or band, folded below the overall tables."""

import re

import pandas as pd

from priorgap.core.measurement import NULL_UNKNOWN
from priorgap.core.measures import Measure, Section
from priorgap.report.tables import Cell, TextTable, over_seeds
from priorgap.verdict import readings as rd
from priorgap.verdict.units import is_unit_swap

# Larger tables would be unreadable on the page; every number is in results.csv.
_MAX_ROWS, _MAX_COLUMNS = 64, 24


def breakdowns(cell: Cell, section: Section) -> list[TextTable]:
    """Return a section's tables by unit, class, size, ...: for each sampler, and for the model."""
    parts = [_by_unit(cell.rows, measure) for measure in cell.measures(section)]
    rows = pd.concat(parts) if parts else cell.rows[:0]
    own = rd.text_column(rows, "sampler") != ""
    return [*_model_breakdowns(cell, rows[~own]), *_sampler_breakdowns(cell, rows[own])]


def _by_unit(rows: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    own = rows[rows["measure"] == measure.name]
    unit = rd.text_column(own, "unit")
    # In a table read from CSV the unit 3 is 3.0 if other rows have no unit.
    named = own.assign(unit=unit.str.replace(r"(?<=\d)\.0$", "", regex=True))
    return named[own["value"].notna() & ~unit.isin({"", NULL_UNKNOWN})]


def _units(rows: pd.DataFrame) -> list[str]:
    return sorted(
        set(rows["unit"]), key=lambda unit: [_natural(part) for part in re.split(r"(?<=\D)(?=\d)", unit)]
    )


def _natural(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), ""
    except ValueError:
        return 1, 0.0, text


def _cut(found: list[str], most: int) -> tuple[list[str], list[str]]:
    note = [f"The first {most} of {len(found)}; all are in results.csv."] if len(found) > most else []
    return found[:most], note


def _model_breakdowns(cell: Cell, rows: pd.DataFrame) -> list[TextTable]:
    """Return a table for each kind of unit in the model's rows: units × measures."""
    tables = []
    for by in dict.fromkeys(cell.catalogue[name].by for name in rows["measure"]):
        own = rows[rows["measure"].map(lambda name, by=by: cell.catalogue[name].by == by)]
        keys = [own["measure"], rd.text_column(own, "space"), rd.text_column(own, "label_source")]
        columns = list(dict.fromkeys(zip(*keys, strict=True)))
        shown, note = _cut(_units(own), _MAX_ROWS)
        lines = []
        for unit in shown:
            here = own[own["unit"] == unit]
            lines.append([unit, *(over_seeds(_matching(here, column)) for column in columns)])
        header = [cell.catalogue[name].heading + _said(space, source) for name, space, source in columns]
        measures = tuple(cell.catalogue[name] for name, *_ in columns)
        tables.append(
            TextTable(f"{cell.name}, by {by or 'part'}", [by or "part", *header], lines, note, measures)
        )
    return tables


def _matching(rows: pd.DataFrame, column: tuple[str, str, str]) -> pd.DataFrame:
    measure, space, source = column
    keep = (rows["measure"] == measure) & (rd.text_column(rows, "space") == space)
    return rows[keep & (rd.text_column(rows, "label_source") == source)]


def _said(space: str, source: str) -> str:
    words = [
        *([space] if space not in ("", "latent", "data") else []),
        *([f"labels: {source}"] if source else []),
    ]
    return f" ({', '.join(words)})" if words else ""


def _sampler_breakdowns(cell: Cell, rows: pd.DataFrame) -> list[TextTable]:
    """Return a table for each measure, space and label source: samplers × units."""
    tables = []
    keys = [rows["measure"], rd.text_column(rows, "space"), rd.text_column(rows, "label_source")]
    for column in dict.fromkeys(zip(*keys, strict=True)):
        own = _matching(rows, column)
        measure = cell.catalogue[column[0]]
        shown, note = _cut(_units(own), _MAX_COLUMNS)
        lines = []
        for sampler in (name for name in cell.samplers if not is_unit_swap(name)):
            of_sampler = own[rd.text_column(own, "sampler") == sampler]
            if len(of_sampler):
                lines.append(
                    [sampler, *(over_seeds(of_sampler[of_sampler["unit"] == unit]) for unit in shown)]
                )
        if lines:
            heading = f"{cell.name}: {measure.heading}{_said(*column[1:])} by {measure.by or 'part'}"
            tables.append(TextTable(heading, ["sampler", *shown], lines, note))
    return tables

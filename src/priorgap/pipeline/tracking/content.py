"""The content of a model's run: measures as numbers under flat names, and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from priorgap.core.measurement import Measurement
from priorgap.core.measures import Catalogue


def flat_name(row: Measurement, sampler: str) -> str:
    """Return a measurement's name in the summary: fid/gmm, kl/lower, marginal_kl/unit_3, ..."""
    parts = [row.measure]
    if sampler:
        parts.append(sampler)
    if row.bound != "point":
        parts.append(row.bound)
    if row.label_source:
        parts.append(row.label_source)
    if row.space not in ("latent", "data", ""):
        parts.append(row.space)
    return "/".join(parts)


def summary(rows: Sequence[tuple[str, Measurement]], space: str = "") -> dict[str, float]:
    """Return every overall number (not by unit or class) under its flat name.

    A feature space is left out of the name where it is the study's declared one, or the only one of a measure:
    the name of a number must not change if another space is added.

    Args:
        rows: sampler ("" for the model) and measurement.
        space: the study's declared feature space.
    """
    return {_short(row, s, implied): row.value for s, row, implied in _whole(rows, space)}


@dataclass(frozen=True)
class SamplerTable:
    """A table with a row for each sampler and a column for each measure.

    Attributes:
        columns: "sampler", then the measures under their names in the summary, without the sampler.
        rows: the rows, with None where a sampler has no such number.
    """

    columns: list[str]
    rows: list[list[str | float | None]]


def sampler_table(rows: Sequence[tuple[str, Measurement]], space: str = "") -> SamplerTable:
    """Return every overall number of each sampler; arguments as in `summary`."""
    numbers: dict[str, dict[str, float]] = {}
    columns: dict[str, None] = {}
    for sampler, row, implied in _whole(rows, space):
        if sampler:
            name = _short(row, "", implied)
            columns[name] = None
            numbers.setdefault(sampler, {})[name] = row.value
    return SamplerTable(
        ["sampler", *columns],
        [[sampler, *(known.get(name) for name in columns)] for sampler, known in numbers.items()],
    )


def _whole(rows: Sequence[tuple[str, Measurement]], space: str) -> list[tuple[str, Measurement, str]]:
    """Return (sampler, row, the space that its name omits) for rows that belong to no single unit or class."""
    whole = [(s, r) for s, r in rows if r.unit == ""]
    spaces: dict[str, set[str]] = {}
    for _, row in whole:
        spaces.setdefault(row.measure, set()).add(row.space)
    return [(s, r, space if space in spaces[r.measure] else min(spaces[r.measure])) for s, r in whole]


def _short(row: Measurement, sampler: str, implied: str) -> str:
    name = flat_name(row, sampler)
    if row.space == implied and row.space not in ("latent", "data", ""):
        return name.removesuffix(f"/{row.space}")
    return name


def unit_table(rows: Sequence[tuple[str, Measurement]], catalogue: Catalogue) -> list[dict[str, float]]:
    """Return each unit's measures in nats (rate, marginal KL, ...), for units that have all of them."""
    names = [m.name for m in catalogue.values() if m.by == "latent unit" and m.unit == "nat"]
    columns: dict[str, dict[str, float]] = {}
    for name in names:
        for sampler, row in rows:
            if sampler == "" and row.unit != "" and row.measure == name:
                columns.setdefault(row.unit, {"unit": float(row.unit)})[name] = row.value
    units = [columns[u] for u in sorted(columns, key=float)]
    known = max((len(u) for u in units), default=0)
    return [u for u in units if len(u) == known]

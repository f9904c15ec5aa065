"""How a verdict reads the tidy results table: cells, candidates, and one reading for each seed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from priorgap.core.measurement import OF_DATA
from priorgap.core.measures import Catalogue, Measure, Scale
from priorgap.core.sampler_facts import SamplerFacts, united

RESULT_COLUMNS = (
    "study",
    "cell",
    "model",
    "seed",
    "sampler",
    "role",
    "label_source",
    "measure",
    "space",
    "unit",
    "value",
    "std_error",
    "n",
    "n_reference",
    "bound",
)
# The last columns of results.csv: the traits that a row's sampler states, and the decode rule of its samples.
FACT_COLUMNS = ("traits", "decode")
CALIBRATE = "calibrate"
# The suffix of the name of a calibrated model's sampler, where it is shown beside that of the uncalibrated model.
CALIBRATED = " (calibrated)"


@dataclass(frozen=True)
class Reading:
    """One model's value of one measure, with its within-model standard error where one is known."""

    value: float
    std_error: float | None


Readings = dict[str, dict[int, Reading]]  # Maps sampler and seed to a reading.


def ranking(catalogue: Catalogue, measure: str) -> Measure:
    """Return the entry of the measure by which samplers are ranked.

    Raises:
        ValueError: the measure does not rank.
    """
    known = sorted(name for name, one in catalogue.items() if one.rankable)
    if measure not in known:
        raise ValueError(f"verdict.measure={measure}: expected one of {', '.join(known)}")
    return catalogue[measure]


def scale_of(measure: Measure, readings: Readings) -> Scale:
    """Return the scale on which seeds are averaged: the measure's own, identity where a value is not positive.

    A FID is positive and its seed-to-seed spread grows with its size; KID may be negative and the others are
    proportions. A FID of exactly 0 (identical sets) has no logarithm.
    """
    positive = all(r.value > 0 for by_seed in readings.values() for r in by_seed.values())
    return measure.scale if positive else "identity"


def varying_keys(table: pd.DataFrame) -> list[str]:
    """Return the keys that vary in the study: the columns beyond the fixed ones, and `decode` where it varies."""
    fixed = {*RESULT_COLUMNS, *FACT_COLUMNS}
    if "decode" in table.columns and table["decode"].nunique() > 1:
        fixed.discard("decode")
    return [column for column in table.columns if column not in fixed]


def facts_of(table: pd.DataFrame, costs: Mapping[str, str] | None = None) -> dict[str, SamplerFacts]:
    """Return the facts that the samplers of a table state about themselves, over all of its models.

    Args:
        table: rows with the column `traits`.
        costs: maps samplers to the cost of drawing from them, where known.

    Raises:
        ValueError: a sampler's traits are missing.
    """
    found: dict[str, list[SamplerFacts]] = {}
    missing = set()
    for name, traits in sorted(
        set(zip(text_column(table, "sampler"), text_column(table, "traits"), strict=True))
    ):
        if name and traits:
            cost = (costs or {}).get(name.removesuffix(CALIBRATED), "")
            found.setdefault(name, []).append(SamplerFacts.from_traits(traits, cost))
        elif name:
            missing.add(name)
    if missing:
        raise ValueError(
            f"traits: missing for {', '.join(sorted(missing))}; expected what each sampler says of itself. "
            "Results of an earlier version get them when the study is run again (nothing is trained anew)"
        )
    return {name: united(facts) for name, facts in found.items()}


def text_column(table: pd.DataFrame, column: str) -> "pd.Series[str]":
    """Return a column as text, with "" for missing values (which a CSV gives as NaN)."""
    if column not in table.columns:
        return pd.Series("", index=table.index, dtype=object)
    values = table[column]
    if not values.hasnans and pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values
    return values.astype(object).where(values.notna(), "").astype(str)


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with all text columns converted to text, so that this is done only once.

    Texts are Python objects, because selecting rows takes half as long again with pandas' string columns.
    """
    columns = (
        "cell",
        "model",
        "sampler",
        "role",
        "label_source",
        "space",
        "unit",
        "bound",
        "traits",
        CALIBRATE,
    )
    text = {name: text_column(table, name) for name in columns if name in table.columns}
    tidied = table.assign(**text)
    return tidied.astype(
        {name: object for name, kind in tidied.dtypes.items() if isinstance(kind, pd.StringDtype)}
    )


def is_calibrated(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows belong to calibrated models; none where the study never calibrates."""
    return text_column(table, CALIBRATE).str.lower().isin({"true", "1", "1.0"})


def cell_groups(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield (values of the varying keys, rows) of each group of models that is decided together.

    A group is a cell (same configuration, any seed); a cell and its calibrated twin are one group, because
    the calibrated prior competes with the samplers of the model that it shares its training with.

    Raises:
        ValueError: two cells agree on every varying key, so that the table cannot tell them apart.
    """
    keys = [key for key in varying_keys(table) if key != CALIBRATE]
    rows = table[text_column(table, "cell") != ""]
    groups = rows.groupby(keys, dropna=False, sort=True) if keys else [((), rows)]
    for values, group in groups:
        named = dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True))
        for _, variant in group.groupby(is_calibrated(group)):
            cells = sorted(variant["cell"].astype(str).unique())
            if len(cells) > 1:
                raise ValueError(f"cell={', '.join(cells)}: no column of the table tells them apart")
        if len(group):
            yield {key: _plain(value) for key, value in named.items()}, group


def _plain(value: Any) -> Any:
    """Return a value as a JSON type: numpy scalars become Python's, missing values become None."""
    if isinstance(value, str | bool | int):
        return value
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def with_calibrated_labels(group: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one group with `prior` of the calibrated twin renamed `prior (calibrated)`.

    Where both variants are present, the calibrated rows of the model itself and of samplers that depend on the
    encoder are left out: calibration changes encoder and decoder together, so these rows repeat the uncalibrated
    ones.

    Raises:
        ValueError: a calibrated sampler's traits are missing.
    """
    calibrated = is_calibrated(group)
    if not calibrated.any() or calibrated.all():
        return group
    sampler = text_column(group, "sampler")
    plain_names = set(sampler[~calibrated])
    facts = facts_of(group[calibrated])
    fixed = sampler.isin({name for name, fact in facts.items() if fact.fixed})
    competes = calibrated & (sampler != "") & (fixed | ~sampler.isin(plain_names))
    kept = group[~calibrated | competes].copy()
    kept["sampler"] = sampler.where(~competes, sampler + CALIBRATED)
    return kept


def select(
    table: pd.DataFrame, measure: str, space: str | None = None, *, label_source: str | None = None
) -> pd.DataFrame:
    """Return the overall rows (no unit, not a bound) of a measure, in a space where one is given."""
    rows = table[table["measure"] == measure]
    if rows.empty:
        return rows
    keep = rows["value"].notna() & (text_column(rows, "unit") == "")
    keep &= text_column(rows, "bound").isin({"", "point"})
    if space is not None:
        keep &= text_column(rows, "space") == space
    if label_source is not None:
        keep &= text_column(rows, "label_source") == label_source
    return rows[keep]


def readings_of(rows: pd.DataFrame, samplers: list[str] | None = None) -> Readings:
    """Return one reading per sampler and seed.

    Raises:
        ValueError: a sampler has two values for one seed, which means that the selection was too wide.
    """
    found: Readings = {}
    names = text_column(rows, "sampler")
    errors = rows["std_error"] if "std_error" in rows.columns else pd.Series(math.nan, index=rows.index)
    for name, seed, value, error in zip(names, rows["seed"], rows["value"], errors, strict=True):
        if samplers is not None and name not in samplers:
            continue
        reading = Reading(float(value), None if pd.isna(error) else float(error))
        add_reading(found.setdefault(name, {}), name, int(seed), reading)
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}


def add_reading(by_seed: dict[int, Reading], sampler: str, seed: int, reading: Reading) -> None:
    """Add one model's value of a sampler.

    Raises:
        ValueError: the seed has a value already, which means that the selection was too wide.
    """
    if seed in by_seed:
        raise ValueError(f"sampler={sampler}: two values for seed {seed} of one measure and cell")
    by_seed[seed] = reading


def one_space(table: pd.DataFrame, measure: str, space: str | None) -> str:
    """Return the space of a verdict: the given one, or the only one in which the measure was computed.

    A measure of the data themselves has no feature space and is ranked whatever space is given.

    Raises:
        ValueError: the measure was computed in several spaces, and none was named.
    """
    rows = select(table, measure)
    found = sorted(set(text_column(rows[text_column(rows, "sampler") != ""], "space")))
    if space is not None:
        return OF_DATA if found == [OF_DATA] else space
    if len(found) > 1:
        raise ValueError(f"verdict.space: {measure} was measured in {', '.join(found)}; name one of them")
    return found[0] if found else ""


def most_common_label_source(rows: pd.DataFrame) -> str:
    """Return the label source that most samplers share, because accuracies are comparable only at an equal one."""
    pairs = set(zip(text_column(rows, "label_source"), text_column(rows, "sampler"), strict=True))
    counts: dict[str, int] = {}
    for source, _ in pairs:
        counts[source] = counts.get(source, 0) + 1
    return max(sorted(counts), key=lambda source: counts[source]) if counts else ""


def candidates_of(table: pd.DataFrame) -> list[str]:
    """Return the names of the samplers that compete; controls and specimens are never ranked."""
    names = text_column(table, "sampler")
    return sorted(set(names[(text_column(table, "role") == "candidate") & (names != "")]))


def describe(keys: Mapping[str, Any]) -> str:
    """Return the varying keys of a cell as text: "data=mnist, loss.alpha=10"; "" where nothing varies."""
    return ", ".join(f"{key}={short(value)}" for key, value in keys.items())


def short(value: Any) -> str:
    """Return a number without unnecessary digits, anything else as text."""
    return f"{value:g}" if isinstance(value, float) else str(value)

"""The table of swapped units: what their costs sum to, and what they go with."""

import pandas as pd

from priorgap.core.catalogue import BUILTIN
from priorgap.report.tables import mean_and_spread
from priorgap.verdict.headline import number
from priorgap.verdict.units import ARMS, PROPERTIES, unit_correlations, unit_effects
from writeup.numbers import signed
from writeup.published import Published
from writeup.query import EvidenceError, Query

_MODEL = ["cell", "model", "seed"]


def swaps(query: Query, study: Published) -> tuple[list[str], list[list[str]], str]:
    """Return header, a row for each arm of a swap, and what they say: sums of costs, and rank correlations.

    Args:
        query: `swaps MEASURE`, or `swaps MEASURE@SPACE`.
        study: whose results.

    Raises:
        EvidenceError: no measure is named, or the study swaps no units.
    """
    if len(query.names) != 1:
        raise EvidenceError("swaps: expected a measure")
    (measure,) = query.names
    known = study.rows(measure, {})
    costs = unit_effects(study.table(), measure=measure.name, space=str(known["space"].iloc[0]))
    if costs.empty:
        raise EvidenceError(f"{study.id}: swaps: no unit is swapped there")
    sums = costs.groupby([*_MODEL, "arm"])["cost"].sum().unstack("arm")
    correlations = unit_correlations(costs)
    own = _own_cost(known).reindex(sums.index)
    properties = [name for name in PROPERTIES if (correlations["property"] == name).any()]
    rows = []
    for arm in (arm for arm in ARMS if arm in sums):
        texts = [_range(sums[arm] / sums[ARMS[0]]), _range(sums[arm] / own)]
        for name in properties:
            chosen = (correlations["arm"] == arm) & (correlations["property"] == name)
            texts.append(_range(correlations[chosen]["correlation"]))
        rows.append([arm, *texts])
    title = BUILTIN[measure.name].title
    header = ["instead of z_j", f"sum over units / sum of `{ARMS[0]}`", "sum / prior − posterior"]
    header += [f"correlation: {BUILTIN[name].heading}" for name in properties]
    note = (
        f"Cost of a swap: its {title} − posterior's. Spearman's rank correlations over the units of a model. "
    )
    note += f"Mean ± s.d. [smallest, greatest] of {len(sums)} models. "
    note += f"Summed over units: {_totals(costs, properties)}."
    return header, rows, note


def _own_cost(rows: pd.DataFrame) -> "pd.Series[float]":
    """Return the prior's value minus the posterior's, by model."""
    by_model = (
        rows.assign(seed=rows["seed"].astype(int)).set_index([*_MODEL, "sampler"])["value"].unstack("sampler")
    )
    return by_model["prior"] - by_model["posterior"]


def _totals(costs: pd.DataFrame, properties: list[str]) -> str:
    by_unit = costs.drop_duplicates([*_MODEL, "unit"])
    sums = by_unit.groupby(_MODEL)[properties].sum()
    return "; ".join(
        f"{BUILTIN[name].title} {signed(mean_and_spread(sums[name].tolist()))}" for name in properties
    )


def _range(values: "pd.Series[float]") -> str:
    low, high = (number(float(value)) for value in (values.min(), values.max()))
    return signed(mean_and_spread(values.tolist()) + f" [{low}, {high}]")

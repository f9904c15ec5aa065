"""Which latent unit matters: the cost of replacing each one, and the properties that this cost is correlated with."""

import re
from collections.abc import Hashable
from typing import Any, get_args

import pandas as pd
import scipy

from priorgap.core.catalogue import BUILTIN
from priorgap.samplers.posterior import Posterior
from priorgap.samplers.unit_swap import Arm
from priorgap.verdict import readings as rd

ARMS: tuple[str, ...] = get_args(Arm)
# Properties of a single unit, in nats: its information, its mismatch, its dependence on the others.
PROPERTIES = tuple(m.name for m in BUILTIN.values() if m.by == "latent unit" and m.unit == "nat")
_SWAP = re.compile(rf"unit_swap_(\d+)_({'|'.join(ARMS)})")
# In a table read from CSV the unit 3 is 3.0 if other rows have no unit.
_UNIT = r"\d+(?:\.0)?"
# With fewer units a rank correlation is too often perfect by chance.
_MIN_UNITS = 4


def is_unit_swap(sampler: str) -> bool:
    """Return whether a sampler's name is that of a swapped unit."""
    return _SWAP.fullmatch(sampler) is not None


def unit_effects(table: pd.DataFrame, *, measure: str = "fid", space: str | None = None) -> pd.DataFrame:
    """Return the cost of each swap of a unit to a model: measure(unit_swap_<j>_<arm>) - measure(posterior).

    All other units of a swap equal those of `posterior` draw for draw, so the difference belongs to unit j.

    Args:
        table: results with the columns of results.csv.
        measure: the measure in which the cost is given.
        space: the measure's feature space, required where there are several.

    Returns:
        A row per (cell, model, seed, arm, unit) with `cost` and, where measured, the unit's rate, marginal_kl,
        unit_dependence_linear and unit_dependence. Empty without swaps, or without the sampler `posterior`.
    """
    rows = rd.select(table, measure, rd.one_space(table, measure, space) or None)
    columns = ["cell", "model", "sampler"]
    named = rows.assign(
        seed=rows["seed"].astype(int), **{name: rd.text_column(rows, name) for name in columns}
    )
    value: dict[Any, float] = named.set_index([*columns, "seed"])["value"].astype(float).to_dict()
    facts = _facts(table)
    found = []
    for (cell, model, sampler, seed), swapped in value.items():
        match = _SWAP.fullmatch(sampler)
        base = value.get((cell, model, Posterior.name, seed))
        if match is None or base is None:
            continue
        unit = int(match[1])
        found.append(
            {"cell": cell, "model": model, "seed": seed, "arm": match[2], "unit": unit}
            | {"cost": swapped - base}
            | {name: facts.get((model, name, unit)) for name in PROPERTIES}
        )
    key = ["cell", "model", "seed", "arm", "unit"]
    return pd.DataFrame(found, columns=[*key, "cost", *PROPERTIES]).sort_values(key, ignore_index=True)


def _facts(table: pd.DataFrame) -> dict[Hashable, float]:
    rows = table[table["measure"].isin(PROPERTIES) & rd.text_column(table, "unit").str.fullmatch(_UNIT)]
    unit = rd.text_column(rows, "unit").astype(float).astype(int)
    named = rows.assign(model=rd.text_column(rows, "model"), unit=unit)
    return named.set_index(["model", "measure", "unit"])["value"].astype(float).to_dict()


def unit_correlations(effects: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's rank correlation over units between a swap's cost and each property, by model and arm.

    Args:
        effects: the result of `unit_effects`.

    Returns:
        A row per (cell, model, seed, arm, property) with `correlation`, its two-sided `p_value` (t approximation;
        not adjusted for the number of pairs shown) and `n_units`. Properties that were not measured, that are equal
        for all units, or that have fewer than four units are left out.
    """
    found = []
    for (cell, model, seed, arm), group in effects.groupby(["cell", "model", "seed", "arm"], sort=True):
        for name in PROPERTIES:
            pairs = group[["cost", name]].astype(float).dropna()
            if len(pairs) < _MIN_UNITS or pairs.nunique().min() < 2:
                continue
            result = scipy.stats.spearmanr(pairs["cost"], pairs[name])
            found.append(
                {"cell": cell, "model": model, "seed": seed, "arm": arm}
                | {"property": name, "correlation": float(result.statistic)}
                | {"p_value": float(result.pvalue), "n_units": len(pairs)}
            )
    columns = ["cell", "model", "seed", "arm", "property", "correlation", "p_value", "n_units"]
    return pd.DataFrame(found, columns=columns)

"""The report's section on single units: the cost of swapping each one, as a table and as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from priorgap.core.catalogue import BUILTIN
from priorgap.report.drawing import PALETTE, Drawing, empty_figure
from priorgap.report.tables import Cell, TextTable, mean_and_spread
from priorgap.verdict.headline import number
from priorgap.verdict.units import ARMS, PROPERTIES, unit_correlations, unit_effects

_TITLES = {name: BUILTIN[name].heading for name in PROPERTIES}
_COLOUR = dict(zip(ARMS, (PALETTE[1], PALETTE[3], PALETTE[2]), strict=True))
_MARKER = dict(zip(ARMS, "os^", strict=True))


def unit_table(cell: Cell, *, measure: str, space: str) -> TextTable | None:
    """Return a row for each unit: cost of its swap by arm, rate, marginal KL, dependence; correlations as notes."""
    effects = unit_effects(cell.rows, measure=measure, space=space or None)
    if effects.empty:
        return None
    known = [name for name in PROPERTIES if effects[name].notna().any()]
    arms = [arm for arm in ARMS if (effects["arm"] == arm).any()]
    rows = []
    for unit, own in effects.groupby("unit"):
        costs = [mean_and_spread(own[own["arm"] == arm]["cost"].tolist()) for arm in arms]
        facts = own.drop_duplicates("model")[known]
        rows.append([f"unit {unit}", *costs, *(mean_and_spread(facts[k].dropna().tolist()) for k in known)])
    header = ["swapped", *(f"{measure} − posterior's: {arm}" for arm in arms), *(_TITLES[k] for k in known)]
    return TextTable(cell.name, header, rows, [*_correlation_notes(effects)])


def _correlation_notes(effects: pd.DataFrame) -> list[str]:
    found = unit_correlations(effects)
    notes = []
    for arm in ARMS:
        texts = []
        for name in PROPERTIES:
            own = found[(found["arm"] == arm) & (found["property"] == name)]
            if len(own) == 1:
                row = own.iloc[0]
                texts.append(f"{_TITLES[name]} {row['correlation']:+.2f} (p = {number(row['p_value'])})")
            elif len(own):
                texts.append(f"{_TITLES[name]} {mean_and_spread(own['correlation'].tolist())}")
        if texts:
            notes.append(f"Rank correlation of the cost ({arm}) over units with " + "; ".join(texts) + ".")
    return notes


def unit_costs(cell: Cell, *, measure: str, space: str) -> Drawing | None:
    """Draw the cost of every unit's swap against its rate, marginal KL and dependence, with a marker for each arm."""
    effects = unit_effects(cell.rows, measure=measure, space=space or None)
    known = [name for name in PROPERTIES if effects[name].notna().any()]
    if effects.empty or not known:
        return None
    figure, axes = empty_figure(2.6 * len(known) + 0.5, len(known))
    for axis, name in zip(axes.flat, known, strict=True):
        _scatter(axis, effects, name)
        axis.set_ylabel(f"{measure} − posterior's", fontsize=10)
        axis.set_xlabel(_TITLES[name], fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return Drawing(figure)


def _scatter(axis: Axes, effects: pd.DataFrame, name: str) -> None:
    for arm in ARMS:
        own = effects[effects["arm"] == arm]
        x, y = (own[k].to_numpy(dtype=float) for k in (name, "cost"))
        axis.scatter(x, y, label=arm, color=_COLOUR[arm], marker=_MARKER[arm], s=26)
        if arm == "prior":
            for at, height, unit in zip(x, y, own["unit"], strict=True):
                if np.isfinite(at):
                    axis.annotate(
                        str(unit), (at, height), xytext=(3, 3), textcoords="offset points", fontsize=8
                    )
    axis.axhline(0, color=PALETTE[7], linewidth=0.8)
    axis.grid(True, alpha=0.25)

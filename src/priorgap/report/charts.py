"""Interactive charts: Vega-Lite through Altair, drawn by a script embedded in the page."""

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from priorgap.core.measures import Measure
from priorgap.report.tables import Cell
from priorgap.verdict import readings as rd
from priorgap.verdict.headline import measure_name, number

if TYPE_CHECKING:
    import altair

    Chart = altair.LayerChart | altair.FacetChart | altair.VConcatChart

# The palette of Okabe & Ito, which people with colour blindness can distinguish, too.
_COLOURS = {"candidate": "#0072B2", "control": "#777777", "specimen": "#E69F00"}
_SHAPES = {"candidate": "circle", "control": "square", "specimen": "triangle-up"}
# Half the width of a normal 95 % interval, in standard errors.
_HALF = 1.96
_WIDTH, _ROW = 420, 22


def values_of(cells: Sequence[Cell], measure: Measure, space: str = "") -> pd.DataFrame:
    """Return samplers' values of a measure: a row for each cell and sampler, best first, in the order of the tables.

    Columns: cell, sampler, role, marks; value (the mean over models), low and high (its 95 % interval from
    the standard error of the one model, else the range over models; empty where neither is known), models.
    """
    records = []
    for cell in cells:
        rows = rd.select(cell.rows, measure.name, space or None)
        rows = rows[rd.text_column(rows, "unit") == ""]
        for sampler in cell.samplers:
            own = rows[rd.text_column(rows, "sampler") == sampler]
            if len(own):
                records.append({"cell": cell.name, "sampler": sampler, **_summary(own, cell.marks(sampler))})
    columns = ["cell", "sampler", "role", "marks", "value", "low", "high", "models"]
    return pd.DataFrame(records, columns=columns)


def _summary(own: pd.DataFrame, marks: Sequence[str]) -> dict[str, Any]:
    values = own["value"].astype(float)
    errors = pd.to_numeric(own["std_error"], errors="coerce")
    low: float | None = float(values.min())
    high: float | None = float(values.max())
    if len(own) == 1:
        error = float(errors.iloc[0])
        known = error > 0
        low = float(values.iloc[0]) - _HALF * error if known else None
        high = float(values.iloc[0]) + _HALF * error if known else None
    roles = rd.text_column(own, "role")
    return {
        "role": roles.iloc[0] or "candidate",
        "marks": ", ".join(marks),
        "value": float(values.mean()),
        "low": low,
        "high": high,
        "models": len(own),
    }


def by_sampler(cells: Sequence[Cell], measure: Measure, space: str = "") -> "Chart | None":
    """Draw a measure of all samplers, a panel for each cell; None where no sampler has it.

    Points are means over models; lines are 95 % intervals of one model, else the range over models.
    """
    import altair as alt

    values = values_of(cells, measure, space)
    if values.empty:
        return None
    log = measure.scale == "log" and bool((values["value"] > 0).all() and not (values["low"] <= 0).any())
    title = measure_name(measure, space)
    # All panels share one axis.
    ends = values[["low", "value", "high"]].to_numpy(dtype=float)
    limits = [float(np.nanmin(ends)), float(np.nanmax(ends))]
    scale = alt.Scale(
        domain=limits, padding=10, nice=not log, **({"type": "log"} if log else {"zero": False})
    )
    order = list(dict.fromkeys(values["sampler"]))
    base = alt.Chart().encode(y=alt.Y("sampler:N", sort=order, title=None))
    roles = [role for role in _COLOURS if role in set(values["role"])]
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("value:Q", scale=scale, title=title + _BETTER[measure.direction]),
        color=alt.Color(
            "role:N",
            scale=alt.Scale(domain=roles, range=[_COLOURS[r] for r in roles]),
            legend=alt.Legend(title=None, orient="top"),
        ),
        shape=alt.Shape(
            "role:N",
            scale=alt.Scale(domain=roles, range=[_SHAPES[r] for r in roles]),
            legend=alt.Legend(title=None, orient="top"),
        ),
        tooltip=[
            alt.Tooltip("sampler:N"),
            alt.Tooltip("value:Q", title=title, format=".4~g"),
            alt.Tooltip("low:Q", title="from", format=".4~g"),
            alt.Tooltip("high:Q", title="to", format=".4~g"),
            alt.Tooltip("models:Q"),
            alt.Tooltip("role:N"),
            alt.Tooltip("marks:N", title="said of it"),
        ],
    )
    spans = (
        base.mark_rule(strokeWidth=2, aria=False)
        .encode(x=alt.X("low:Q", title=title + _BETTER[measure.direction]), x2="high:Q", color="role:N")
        .transform_filter("isValid(datum.low)")
    )
    described = _described(values, title, measure)
    panels = []
    for cell, own in values.groupby("cell", sort=False):
        data = alt.InlineData(values=json.loads(own.to_json(orient="records")))
        panel = alt.layer(spans, points, data=data).properties(width=_WIDTH, height=alt.Step(_ROW))
        panels.append(panel if values["cell"].nunique() == 1 else panel.properties(title=str(cell)))
    if len(panels) == 1:
        return panels[0].properties(description=described)
    column: altair.VConcatChart = alt.vconcat(*panels).configure_title(anchor="start")
    found: altair.VConcatChart = column.properties(description=described)
    return found


_BETTER = {"lower": " (smaller is better)", "higher": " (larger is better)", "neither": ""}


def _described(values: pd.DataFrame, title: str, measure: Measure) -> str:
    """Return a text that describes the chart, for screen readers."""
    said = f"{title}{_BETTER[measure.direction]} of {values['sampler'].nunique()} samplers."
    if values["cell"].nunique() > 1 or measure.direction == "neither":
        return said
    ranked = values[values["role"] == "candidate"].sort_values(
        "value", ascending=measure.direction == "lower"
    )
    if len(ranked) < 2:
        return said
    first, last = ranked.iloc[0], ranked.iloc[-1]
    return (
        f"{said} Candidates go from {first['sampler']}, {number(first['value'])}, to {last['sampler']}, "
        f"{number(last['value'])}."
    )


def spec_text(chart: "Chart") -> str:
    """Return a chart as JSON that is safe inside a script element, whatever names it holds."""
    # A transparent background shows the page's own colour, light or dark.
    text = json.dumps({**chart.to_dict(), "background": "transparent"}, sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def script() -> str:
    """Return the script that draws charts: Vega, Vega-Lite and Vega-Embed in one text, without any downloads."""
    import vl_convert

    # The stub requires a snippet; without one the function returns the whole library in the form that a browser
    # needs.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    # A script element ends at the first such tag, even inside of a string.
    return bundle.replace("</script", "<\\/script")

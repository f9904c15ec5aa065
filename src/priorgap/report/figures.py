"""The figures of a report; equal inputs give equal bytes."""

import textwrap
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from priorgap.report.aggregate import AggregateFigureData
from priorgap.report.drawing import PALETTE, WIDTH, Drawing, empty_figure, png
from priorgap.report.tables import Cell
from priorgap.verdict import readings as rd

_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_LINE = {"candidate": "-", "control": "--", "specimen": ":"}
_MAX_MARGINALS = 9
_MAX_BRACKETS = 40
# The largest numbers of letters that fit beside and above the axes at a page's width.
_NAME, _TITLE = 44, 84
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")  # Writes 60, not 6 × 10¹.


def style(sampler: str, samplers: Sequence[str]) -> tuple[str, str]:
    """Return (colour, marker) of a sampler: those of its name, or the next free ones where another sampler has them.

    Up to eight samplers have eight colours, and a sampler whose colour no other one claims has it in every
    study.
    """
    place = _place(sampler)
    free: set[int] = set()
    for name in sorted(samplers):
        free = free or set(range(len(PALETTE)))
        taken = min(free, key=lambda colour: (colour - _place(name)) % len(PALETTE))
        free -= {taken}
        if name == sampler:
            place = taken
    return PALETTE[place], _MARKERS[place]


def _place(name: str) -> int:
    return zlib.crc32(name.encode()) % len(PALETTE)


def kl_per_unit(rows: pd.DataFrame, title: str) -> bytes | None:
    """Draw every unit's rate beside its marginal KL for one model, units sorted by rate."""
    rate, marginal = per_unit(rows, "rate"), per_unit(rows, "marginal_kl")
    if rate.empty or marginal.empty:
        return None
    order = rate["value"].sort_values(ascending=False, kind="stable").index
    figure, axes = empty_figure(4.6, 2, share_x=True)
    for axis, values, colour, label in (
        (axes[0, 0], rate.reindex(order), PALETTE[7], "rate $R_j$, nat\n(information)"),
        (axes[1, 0], marginal.reindex(order), PALETTE[1], "KL$(q(z_j)\\|p(z_j))$, nat\n(mismatch)"),
    ):
        places = np.arange(len(order))
        errors = values["std_error"].fillna(0).to_numpy(dtype=float)
        axis.bar(places, values["value"].to_numpy(dtype=float), yerr=errors, color=colour, width=0.8)
        axis.set_ylabel(label, fontsize=10)
    step = max(1, len(order) // 16)
    axes[1, 0].set_xticks(places[::step], [str(unit) for unit in order[::step]])
    axes[1, 0].set_xlabel("latent unit, sorted by rate", fontsize=10)
    figure.suptitle(textwrap.fill(title, _TITLE), fontsize=10)
    return png(figure)


def per_unit(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return a measure's value and standard error by unit."""
    unit = rd.text_column(rows, "unit")
    own = rows[(rows["measure"] == measure) & (unit != "")].copy()
    own["unit"] = unit[own.index].map(lambda text: int(float(text)))
    own["std_error"] = pd.to_numeric(own["std_error"], errors="coerce")
    return own.set_index("unit")[["value", "std_error"]].sort_index()


def aggregate_posterior(data: AggregateFigureData, rows: pd.DataFrame, title: str) -> bytes:
    """Draw 1-D marginals of q over N(0, 1) for the units with the largest marginal KL, and 2-D draws."""
    marginal = per_unit(rows, "marginal_kl")
    n_units = len(data.density)
    ranked = list(marginal["value"].sort_values(ascending=False, kind="stable").index)
    ranked = ranked or list(range(n_units))
    shown = [unit for unit in ranked if unit < n_units][:_MAX_MARGINALS]
    n_rows = -(-len(shown) // 3)
    figure = Figure(figsize=(WIDTH, 1.25 * n_rows + 4.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.25 * n_rows, 4.4])
    top, bottom = halves
    axes = top.subplots(n_rows, 3, squeeze=False, sharex=True)
    normal = np.exp(-0.5 * data.grid**2) / np.sqrt(2 * np.pi)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, unit in zip(axes.flat, shown, strict=False):
        axis.fill_between(data.grid, data.density[unit], color=PALETTE[5], alpha=0.6, linewidth=0)
        axis.plot(data.grid, normal, color="black", linestyle="--", linewidth=1)
        axis.set_xlim(-4.5, 4.5)
        axis.set_yticks([])
        axis.spines[["top", "right", "left"]].set_visible(False)
        kl = f", KL {marginal['value'][unit]:.2g}" if unit in marginal.index else ""
        axis.set_title(f"unit {unit}{kl}", fontsize=9)
    top.suptitle(f"{textwrap.fill(title, _TITLE)}\nq(z_j) filled, N(0, 1) dashed", fontsize=10)
    _draws_by_class(bottom.subplots(), data)
    return png(figure)


def _draws_by_class(axis: Axes, data: AggregateFigureData) -> None:
    classes = [None] if data.label is None else sorted(set(data.label.tolist()))
    for place, label in enumerate(classes):
        z = data.z if data.label is None else data.z[data.label == label]
        colour = PALETTE[place % len(PALETTE)]
        axis.scatter(z[:, 0], z[:, 1], s=5, color=colour, alpha=0.5, linewidths=0)
        # Each class is named at its median, so that readers need not rely on colour alone.
        if label is not None:
            x, y = np.median(z, axis=0)
            box = {"facecolor": "white", "edgecolor": colour, "alpha": 0.85, "boxstyle": "round,pad=0.15"}
            axis.annotate(str(label), (x, y), fontsize=10, ha="center", va="center", bbox=box)
    angle = np.linspace(0, 2 * np.pi, 200)
    for radius in (1, 2, 3):
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        axis.plot(x, y, color="black", linestyle="--", linewidth=0.8)
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_xlabel(f"unit {data.units[0]}", fontsize=10)
    axis.set_ylabel(f"unit {data.units[1]}", fontsize=10)
    axis.set_title("draws of q(z) by class; circles: 1, 2 and 3 s.d. of N(0, I)", fontsize=9)


def numeric_keys(table: pd.DataFrame) -> list[str]:
    """Return the varying keys that are numbers with at least two values (true/false is not a number)."""
    found = []
    for key in rd.varying_keys(table):
        if key == rd.CALIBRATE or pd.api.types.is_bool_dtype(table[key]):
            continue
        values = pd.to_numeric(table[key], errors="coerce").dropna()
        if values.nunique() >= 2 and len(values) == table[key].notna().sum():
            found.append(key)
    return found


def measure_against(
    cells: Sequence[Cell], measure: str, space: str, key: str, ylabel: str, *, label_source: str = ""
) -> Drawing | None:
    """Draw a measure against a numeric key: a line per sampler, mean ± s.d., panels by other keys."""
    points = _points(cells, measure, space, key, label_source)
    if points.empty or points["x"].nunique() < 2:
        return None
    panels = sorted(points["panel"].unique())
    samplers = [name for name in _in_order(cells) if name in set(points["sampler"])]
    figure, axes = empty_figure(3.4 * len(panels) + 0.6 + 0.22 * -(-len(samplers) // 2), len(panels))
    log_x, log_y = _is_log(points["x"]), _on_log_scale(cells, measure, points)
    for axis, panel in zip(axes.flat, panels, strict=True):
        for place, sampler in enumerate(samplers):
            own = points[(points["panel"] == panel) & (points["sampler"] == sampler)].sort_values("x")
            colour, marker = style(sampler, samplers)
            # Points are shifted sideways, so that error bars do not hide each other.
            offset = 0.03 * (place - (len(samplers) - 1) / 2)
            x = own["x"] * np.exp(offset) if log_x else own["x"] + offset * np.ptp(points["x"]) * 0.2
            axis.errorbar(
                x,
                own["mean"],
                yerr=own["spread"].fillna(0),
                label=sampler,
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.4,
                linestyle=_LINE.get(own["role"].iloc[0] if len(own) else "candidate", "-"),
                capsize=2,
            )
        axis.set_xscale("log" if log_x else "linear")
        axis.set_yscale("log" if log_y else "linear")
        if log_y:
            axis.yaxis.set_major_formatter(_PLAIN)
            axis.yaxis.set_minor_formatter(_PLAIN if _decades(points["mean"]) < 1.5 else NullFormatter())
        if log_x:
            axis.set_xticks(sorted(set(points["x"])), minor=False)
            axis.xaxis.set_major_formatter(_PLAIN)
            axis.xaxis.set_minor_formatter(NullFormatter())
        axis.tick_params(which="both", labelsize=9)
        axis.set_ylabel(ylabel, fontsize=10)
        axis.set_title(textwrap.fill(panel, _TITLE), fontsize=9)
        axis.grid(True, which="major", alpha=0.25)
    axes[-1, 0].set_xlabel(key, fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return Drawing(figure)


def _on_log_scale(cells: Sequence[Cell], measure: str, points: pd.DataFrame) -> bool:
    entry = cells[0].catalogue.get(measure)
    return entry is not None and entry.scale == "log" and bool((points["mean"] > 0).all())


def _decades(values: "pd.Series[float]") -> float:
    return float(np.log10(values.max() / values.min()))


def _is_log(values: "pd.Series[float]") -> bool:
    return bool((values > 0).all() and values.max() >= 10 * values.min())


def _in_order(cells: Sequence[Cell]) -> list[str]:
    found: list[str] = []
    for cell in cells:
        found += [name for name in cell.samplers if name not in found]
    return found


def _points(cells: Sequence[Cell], measure: str, space: str, key: str, label_source: str) -> pd.DataFrame:
    records = []
    for cell in cells:
        rows = rd.select(cell.rows, measure, space or None, label_source=label_source)
        for sampler in cell.samplers:
            own = rows[rd.text_column(rows, "sampler") == sampler]
            if own.empty:
                continue
            errors = pd.to_numeric(own["std_error"], errors="coerce")
            records.append(
                {
                    "panel": rd.describe({k: value for k, value in cell.keys.items() if k != key}),
                    "sampler": sampler,
                    "role": rd.text_column(own, "role").iloc[0],
                    "x": float(own[key].iloc[0]),
                    "mean": float(own["value"].mean()),
                    "spread": float(own["value"].std() if len(own) > 1 else errors.iloc[0]),
                }
            )
    return pd.DataFrame(records, columns=["panel", "sampler", "role", "x", "mean", "spread"])


def brackets(cells: Sequence[Cell]) -> Drawing | None:
    """Draw the bracket of KL(q(z)‖p(z)) of each model: limits as thin lines, point values as thick ones."""
    found = [(f"{cell.name}, seed {seed}", ends) for cell in cells for seed, ends in _ends(cell.rows)]
    if not found:
        return None
    shown = found[:_MAX_BRACKETS]
    figure, axes = empty_figure(1.1 + 0.24 * len(shown))
    axis = axes[0, 0]
    for place, (_, ends) in enumerate(shown):
        axis.plot([ends["lower"], ends["upper"]], [place] * 2, color=PALETTE[0], linewidth=1.5, marker="|")
        if "point_lower" in ends and "point_upper" in ends:
            inner = [ends["point_lower"], ends["point_upper"]]
            axis.plot(inner, [place] * 2, color=PALETTE[0], linewidth=5, solid_capstyle="butt", alpha=0.6)
    axis.set_yticks(range(len(shown)), [_short(name) for name, _ in shown], fontsize=8)
    axis.invert_yaxis()
    axis.axvline(0, color="black", linewidth=0.8)
    uppers = [ends["upper"] for _, ends in shown]
    if max(uppers) > 20 * max(min(uppers), 0.05):
        axis.set_xscale("symlog", linthresh=0.1)
    if min(ends["lower"] for _, ends in shown) >= 0:  # A divergence is not negative.
        axis.set_xlim(left=0)
    axis.set_xlabel(
        "KL(q(z)‖p(z)), nat:\nasymptotic 97.5 % limits of the lower and the upper end", fontsize=10
    )
    axis.grid(True, axis="x", alpha=0.25)
    return Drawing(figure)


def _short(name: str) -> str:
    """Shorten a name in the middle if it would leave no room for the axes."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]} … {name[-_NAME // 2 :]}"


def _bounds(rows: pd.DataFrame, measure: str) -> dict[int, dict[str, float]]:
    """Return a measure's overall bounds by seed: {"lower": value, "upper": value}."""
    own = rows[(rows["measure"] == measure) & (rd.text_column(rows, "unit") == "")]
    found: dict[int, dict[str, float]] = {}
    for seed, end, value in zip(own["seed"], rd.text_column(own, "bound"), own["value"], strict=True):
        found.setdefault(int(seed), {})[end] = float(value)
    return found


def _ends(rows: pd.DataFrame) -> list[tuple[int, dict[str, float]]]:
    found = _bounds(rows, "kl")
    for seed, ends in _bounds(rows, "kl_point").items():
        found.setdefault(seed, {}).update({f"point_{end}": value for end, value in ends.items()})
    return [(seed, found[seed]) for seed in sorted(found) if {"lower", "upper"} <= set(found[seed])]

"""The part of a page on one model's latent space: the plane of two units, and each unit by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from priorgap.report.aggregate import AggregateFigureData, Plane
from priorgap.report.drawing import PALETTE, png
from priorgap.report.figures import per_unit
from priorgap.report.picture import Picture, embedded
from priorgap.report.tiles import is_large, tiled

# N(0, I) of two units has 95 % of its mass within this radius; a hole there has less than a tenth of its density
_RADIUS, _HOLE, _INSIDE = 2.448, 0.1, 0.95
# of two units that N(0, I) has within 1, 2 and 3 standard deviations
_SHARES = (0.393, 0.865, 0.989)
_MAX_UNITS, _MAX_DRAWS = 32, 500
STANDARD, OWN = "N(0, I)", "the model's own prior"
# a unit's density, drawn: half its width in latent units, points, and the picture's size
_REACH, _POINTS, _WIDTH, _HEIGHT = 4.5, 61, 240, 70


@dataclass(frozen=True)
class PlaneView:
    """The plane of two units as a page shows it.

    Attributes:
        units: which.
        field: q(z), the prior and holes.
        sprite: what the decoder makes of the points of a grid, side by side; None where that is not known.
        at: the values of either unit on that grid, as text.
        hole_share: the prior's mass, where it has 95 % of it, that lies in holes.
        prior: what sentences call it.
    """

    units: tuple[int, int]
    field: Picture
    sprite: Picture | None
    at: tuple[str, ...]
    hole_share: float
    prior: str = STANDARD


@dataclass(frozen=True)
class UnitView:
    """One latent unit as a page shows it.

    Attributes:
        unit: its number.
        rate: in nats, and its part of the largest.
        kl: its marginal KL, and its part of the largest.
        marginal: q(z_j) as the path of an SVG; "" where it is not known.
        traversal: what the decoder makes of its values; None where that is not known.
    """

    unit: int
    rate: tuple[float, float]
    kl: tuple[float, float]
    marginal: str = ""
    traversal: Picture | None = None


def plane_view(data: AggregateFigureData, title: str) -> PlaneView | None:
    """Return the plane of the two units with the largest marginal KL; None where that is not known."""
    plane = data.plane
    if plane is None:
        return None
    first, second = plane.units
    name = STANDARD if plane.prior is None else OWN
    holes = _holes(plane)
    field = Picture(
        "", _field(data, plane, holes),
        f"Aggregate posterior over {name} in units {first} (across) and {second} (up), holes marked, {title}",
    )  # fmt: skip
    alt = f"Decoded points of the plane of units {first} (across) and {second} (up), {title}"
    shown = plane.shown
    sprite = None
    if shown is not None:
        sprite = embedded(tiled(shown, len(plane.at), line=0), alt, large=is_large(shown))
    prior = _prior(plane)
    share = float(prior[holes].sum() / prior[_inside(plane)].sum())
    at = tuple(f"{value:.1f}" for value in plane.at)
    return PlaneView(plane.units, field, sprite, at, share, name)


def _squares(plane: Plane) -> npt.NDArray[np.floating]:
    found: npt.NDArray[np.floating] = plane.axis[:, None] ** 2 + plane.axis[None, :] ** 2
    return found


def _prior(plane: Plane) -> npt.NDArray[np.floating]:
    if plane.prior is not None:
        return plane.prior
    found: npt.NDArray[np.floating] = np.exp(-0.5 * _squares(plane)) / (2 * np.pi)
    return found


def _holes(plane: Plane) -> npt.NDArray[np.bool_]:
    return _inside(plane) & (plane.density < _HOLE * _prior(plane))


def _inside(plane: Plane) -> npt.NDArray[np.bool_]:
    """Return where the prior is densest, up to 95 % of its mass."""
    if plane.prior is None:
        return _squares(plane) <= _RADIUS**2
    (level,) = _levels(plane.prior, (_INSIDE,))
    found: npt.NDArray[np.bool_] = plane.prior >= level
    return found


def _levels(density: npt.NDArray[np.floating], shares: Sequence[float]) -> list[float]:
    """Return levels: the region where the gridded density is above a level holds that share of its mass."""
    falling = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(falling) / falling.sum()
    return [float(falling[min(int(np.searchsorted(mass, share)), len(falling) - 1)]) for share in shares]


def _field(data: AggregateFigureData, plane: Plane, holes: npt.NDArray[np.bool_]) -> bytes:
    reach = float(plane.axis[-1])
    # no margin: a place in the picture is a place in the plane
    figure = Figure(figsize=(2.4, 2.4))
    axis = figure.add_axes((0, 0, 1, 1))
    levels = np.linspace(0, plane.density.max(), 9)[1:]
    axis.contourf(plane.axis, plane.axis, plane.density, levels=levels, cmap="Blues", extend="max")
    if holes.any():
        axis.contourf(plane.axis, plane.axis, holes, levels=[0.5, 1.5], colors=[PALETTE[3]], alpha=0.55)
    _draws(axis, data)
    if plane.prior is None:
        angle = np.linspace(0, 2 * np.pi, 200)
        for radius in (1, 2, 3):
            axis.plot(radius * np.cos(angle), radius * np.sin(angle), "--", color="black", linewidth=0.7)
    else:
        # a flat density gives equal levels, and contour() wants increasing ones
        lines = sorted(set(_levels(plane.prior, _SHARES)))
        axis.contour(
            plane.axis,
            plane.axis,
            plane.prior,
            levels=lines,
            colors="black",
            linestyles="--",
            linewidths=0.7,
        )
    axis.set_xlim(-reach, reach)
    axis.set_ylim(-reach, reach)
    axis.set_axis_off()
    return png(figure)


def _draws(axis: Axes, data: AggregateFigureData) -> None:
    """Draw some of q(z), each class in a colour and named where it lies."""
    z = data.z[:_MAX_DRAWS]
    label = None if data.label is None else data.label[:_MAX_DRAWS]
    for place, number in enumerate([None] if label is None else sorted(set(label.tolist()))):
        own = z if label is None else z[label == number]
        colour = "black" if number is None else PALETTE[place % len(PALETTE)]
        axis.plot(own[:, 0], own[:, 1], ".", color=colour, markersize=2, alpha=0.8)
        if number is not None:
            box = {"facecolor": "white", "edgecolor": colour, "alpha": 0.85, "boxstyle": "round,pad=0.1"}
            axis.annotate(str(number), np.median(own, axis=0), fontsize=6, ha="center", va="center", bbox=box)


def unit_views(rows: pd.DataFrame, data: AggregateFigureData | None, title: str) -> Iterator[UnitView]:
    """Yield the units of a model, the largest rate first: rate and marginal KL, its marginal, its traversal.

    Args:
        rows: of the model.
        data: what is known of its latent space.
        title: of the model.
    """
    rate, kl = per_unit(rows, "rate")["value"], per_unit(rows, "marginal_kl")["value"]
    order = [unit for unit in rate.sort_values(ascending=False, kind="stable").index if unit in kl.index]
    most = [max(float(values.max()), 1e-12) if len(values) else 1.0 for values in (rate, kl)]
    for unit in order[:_MAX_UNITS]:
        own = [
            (float(values[unit]), max(0.0, float(values[unit])) / top)
            for values, top in zip((rate, kl), most, strict=True)
        ]
        marginal, traversal = "", None
        if data is not None and unit < len(data.density):
            marginal = _path(data, unit)
            traversal = _traversal(data, unit, title)
        yield UnitView(unit, own[0], own[1], marginal, traversal)


def _traversal(data: AggregateFigureData, unit: int, title: str) -> Picture | None:
    lines = data.traversals
    if lines is None or unit not in lines.units:
        return None
    images = lines.shown[lines.units.index(unit)]
    alt = f"Decoded values of unit {unit} from {lines.at[0]:g} to {lines.at[-1]:g}, all others at 0, {title}"
    return embedded(tiled(images, len(images)), alt, large=is_large(images))


def _path(data: AggregateFigureData, unit: int) -> str:
    return svg_path(np.interp(_points(), data.grid, data.density[unit], left=0, right=0))


def _points() -> npt.NDArray[np.floating]:
    return np.linspace(-_REACH, _REACH, _POINTS)


def svg_path(density: npt.NDArray[np.floating]) -> str:
    """Return a density on the points of a unit's picture as an SVG path; the picture's height is a density of 0.8."""
    across = np.linspace(0, _WIDTH, len(density))
    up = _HEIGHT * (1 - np.minimum(density, 0.8) / 0.8)
    return "M" + " ".join(f"{x:.0f},{y:.1f}" for x, y in zip(across, up, strict=True))


def normal_path() -> str:
    """Return the density of N(0, 1) as `svg_path` draws it."""
    return svg_path(np.exp(-0.5 * _points() ** 2) / np.sqrt(2 * np.pi))

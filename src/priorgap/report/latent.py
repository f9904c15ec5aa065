"""The page's section on one model's latent space: the plane of two units, and each unit by itself."""

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

# In two dimensions N(0, I) has the share _INSIDE of its mass within _RADIUS. A point there is a hole where q has less
# than the share _HOLE of the prior's density.
_RADIUS, _HOLE, _INSIDE = 2.448, 0.1, 0.95
# The shares of its mass that N(0, I) in two dimensions has within 1, 2 and 3 standard deviations.
_SHARES = (0.393, 0.865, 0.989)
_MAX_UNITS, _MAX_DRAWS = 32, 500
STANDARD, OWN = "N(0, I)", "the model's own prior"
# The drawing of a unit's density: half its width in latent units, its number of points, and the picture's size.
_REACH, _POINTS, _WIDTH, _HEIGHT = 4.5, 61, 240, 70


@dataclass(frozen=True)
class PlaneView:
    """The plane of two units, in the form that a page shows.

    Attributes:
        units: the two units.
        field: q(z), the prior and holes.
        sprite: the decoded points of a grid in one image; None where not available.
        at: the values of either unit on that grid, as text.
        hole_share: the share of the prior's mass in holes, within the region with 95 % of its mass.
        prior: the prior's name in sentences.
    """

    units: tuple[int, int]
    field: Picture
    sprite: Picture | None
    at: tuple[str, ...]
    hole_share: float
    prior: str = STANDARD


@dataclass(frozen=True)
class UnitView:
    """One latent unit, in the form that a page shows.

    Attributes:
        unit: its number.
        rate: the rate in nats, and as a share of the largest.
        kl: the marginal KL, and as a share of the largest.
        marginal: q(z_j) as the path of an SVG; "" where not available.
        traversal: decoded values of the unit; None where not available.
    """

    unit: int
    rate: tuple[float, float]
    kl: tuple[float, float]
    marginal: str = ""
    traversal: Picture | None = None


def plane_view(data: AggregateFigureData, title: str) -> PlaneView | None:
    """Return the plane of the two units with the largest marginal KL; None where it is not available."""
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
    """Return the region in which the prior is densest and has 95 % of its mass."""
    if plane.prior is None:
        return _squares(plane) <= _RADIUS**2
    (level,) = _levels(plane.prior, (_INSIDE,))
    found: npt.NDArray[np.bool_] = plane.prior >= level
    return found


def _levels(density: npt.NDArray[np.floating], shares: Sequence[float]) -> list[float]:
    """Return the density levels above which the gridded density has these shares of its mass."""
    falling = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(falling) / falling.sum()
    return [float(falling[min(int(np.searchsorted(mass, share)), len(falling) - 1)]) for share in shares]


def _field(data: AggregateFigureData, plane: Plane, holes: npt.NDArray[np.bool_]) -> bytes:
    reach = float(plane.axis[-1])
    # There is no margin, so that positions in the picture correspond to positions in the plane.
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
        # A flat density gives equal levels, but contour() needs increasing ones.
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
    """Draw a sample of q(z), each class in a colour and with its name at its place."""
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
    """Yield a model's units, the largest rate first: rate and marginal KL, marginal, traversal.

    Args:
        rows: the model's rows.
        data: the data of its latent space.
        title: the model's title.
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
    """Return a density at the points of a unit's picture as an SVG path; the full height is a density of 0.8."""
    across = np.linspace(0, _WIDTH, len(density))
    up = _HEIGHT * (1 - np.minimum(density, 0.8) / 0.8)
    return "M" + " ".join(f"{x:.0f},{y:.1f}" for x, y in zip(across, up, strict=True))


def normal_path() -> str:
    """Return the density of N(0, 1) as a path like those of `svg_path`."""
    return svg_path(np.exp(-0.5 * _points() ** 2) / np.sqrt(2 * np.pi))

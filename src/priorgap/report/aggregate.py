"""The data behind a page's pictures of one model's latent space, as plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AggregateFigureData:
    """The data for the picture of one model's aggregate posterior over the prior.

    Attributes:
        grid: points [G] at which the marginal densities are given.
        density: q(z_j) at these points, [d, G].
        z: draws of q(z) in two units, [m, 2].
        units: these two units, which have the largest marginal KL.
        label: the class of each draw, [m]; None without classes.
        plane: q(z) in these two units, and decoded points of their plane; None where not available.
        traversals: decoded values along single units; None where not available.
    """

    grid: npt.NDArray[np.floating[Any]]
    density: npt.NDArray[np.floating[Any]]
    z: npt.NDArray[np.floating[Any]]
    units: tuple[int, int] = (0, 1)
    label: npt.NDArray[np.integer[Any]] | None = None
    plane: "Plane | None" = None
    traversals: "Traversals | None" = None

    @classmethod
    def of(cls, found: "Mapping[str, Tensor]") -> Self:
        """Build it from the result of `evaluation.measure.marginals`."""
        label = found.get("label")
        ranked = found["divergence"].argsort(descending=True, stable=True).tolist()
        units = (ranked[0], ranked[min(1, len(ranked) - 1)])
        return cls(
            grid=found["grid"].numpy(),
            density=found["marginals"].numpy(),
            z=found["z"][:, list(units)].numpy(),
            units=units,
            label=None if label is None else label.numpy(),
            plane=Plane.of(found) if "plane_density" in found else None,
            traversals=Traversals.of(found) if "traversed_shown" in found else None,
        )


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of two latent units.

    Attributes:
        units: the two units; the first goes from left to right, the second from bottom to top.
        axis: the coordinates, along both units, at which the density is given, [A].
        density: q at these points, [A, A], with rows from the second unit's lowest value upwards.
        at: the coordinates, along both units, at which the plane is decoded, [G]; empty where it is not.
        shown: images at these points, uint8 [G * G, h, w, c], from the second unit's highest value down; None without
            them.
        prior: the density of a learned prior, in the form of `density`; None for N(0, I).
    """

    units: tuple[int, int]
    axis: npt.NDArray[np.floating[Any]]
    density: npt.NDArray[np.floating[Any]]
    at: npt.NDArray[np.floating[Any]]
    shown: npt.NDArray[np.uint8] | None = None
    prior: npt.NDArray[np.floating[Any]] | None = None

    @classmethod
    def of(cls, found: "Mapping[str, Tensor]") -> Self:
        """Build it from the result of `evaluation.measure.latent_space`."""
        first, second = found["plane_units"].tolist()
        shown = found.get("plane_shown")
        return cls(
            units=(first, second),
            axis=found["plane_axis"].numpy(),
            density=found["plane_density"].numpy(),
            at=found["plane_at"].numpy() if shown is not None else np.empty(0),
            shown=None if shown is None else shown.permute(0, 2, 3, 1).numpy(),
            prior=found["plane_prior"].numpy() if "plane_prior" in found else None,
        )


@dataclass(frozen=True, eq=False)
class Traversals:
    """Decoded values along single units, with all others at 0.

    Attributes:
        units: the units, [K].
        at: their values, [T].
        shown: images, uint8 [K, T, h, w, c].
    """

    units: tuple[int, ...]
    at: npt.NDArray[np.floating[Any]]
    shown: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, found: "Mapping[str, Tensor]") -> Self:
        """Build it from the result of `evaluation.measure.latent_space`."""
        units, at = tuple(found["traversed"].tolist()), found["traversed_at"].numpy()
        images = found["traversed_shown"].permute(0, 2, 3, 1).numpy()
        return cls(units, at, images.reshape(len(units), len(at), *images.shape[1:]))

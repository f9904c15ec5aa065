"""What a page shows of a latent space beside marginals: the plane of two units and single units, decoded."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import Latents
from priorgap.estimators.gaussian import rate_per_unit
from priorgap.evaluation.model import ModelFunctions
from priorgap.modalities import Modality

# the prior has .9995 of its mass between these, in each unit
_REACH = 3.5
_N_DENSITY, _MAX_ROWS = 71, 5000
_MAX_UNITS, _N_TRAVERSED = 12, 9
# numbers of one observation up to which the plane is decoded at the finer grid
_SMALL, _FINE, _COARSE = 1024, 15, 9


def plane_density(
    mean: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"], units: Sequence[int]
) -> dict[str, Tensor]:
    """Return the density of q(z) in two units: the mixture of the posteriors, exact at the points of a grid.

    Args:
        mean: of the posteriors; the first 5,000 are taken.
        log_var: of the posteriors.
        units: the two.
    """
    axis = torch.linspace(-_REACH, _REACH, _N_DENSITY, dtype=torch.float64)
    first, second = (
        _normal(axis, mean[:_MAX_ROWS, unit].double(), log_var[:_MAX_ROWS, unit].double()) for unit in units
    )
    return {
        "plane_axis": axis,
        "plane_density": second.T @ first / len(first),
        "plane_units": torch.tensor(list(units)),
    }


def _normal(axis: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    # a posterior narrower than the grid would be lost between its points
    narrow = 2 * math.log(2 * _REACH / (_N_DENSITY - 1))
    log_var = log_var.clamp_min(narrow)[:, None]
    exponent = (axis - mean[:, None]).square() / log_var.exp() + log_var + math.log(2 * math.pi)
    return torch.exp(-0.5 * exponent)


def decoded_plane(
    test: Latents, functions: ModelFunctions, modality: Modality, units: Sequence[int]
) -> dict[str, Tensor]:
    """Return what the decoder makes of points of the plane of two units, the others at 0; and along single units.

    A conditional model is told the most frequent class, one with contexts the first test row's.

    Returns:
        plane_at [g] and plane_shown [g * g, ...] (rows from the second unit's highest value down), traversed [k]:
        the units with the largest rates, traversed_at [t], and traversed_shown [k * t, ...].
    """
    ranked = _rates(test).argsort(descending=True, stable=True)[:_MAX_UNITS]
    steps = torch.linspace(-3, 3, _N_TRAVERSED)
    lines = torch.zeros(len(ranked), len(steps), test.dim)
    for place, unit in enumerate(ranked.tolist()):
        lines[place, :, unit] = steps
    traversed = _decoded(lines.flatten(0, 1), test, functions, modality)
    n_values = math.prod(traversed.shape[1:])
    at = torch.linspace(-_REACH, _REACH, _FINE if n_values <= _SMALL else _COARSE)
    plane = torch.zeros(len(at), len(at), test.dim)
    plane[:, :, units[1]] = at.flip(0)[:, None]
    plane[:, :, units[0]] = at
    return {
        "plane_at": at,
        "plane_shown": _decoded(plane.flatten(0, 1), test, functions, modality),
        "traversed": ranked,
        "traversed_at": steps,
        "traversed_shown": traversed,
    }


def _rates(test: Latents) -> Tensor:
    if test.log_var is None:
        return test.mean.double().var(0)
    return rate_per_unit(test.mean, test.log_var).mean(0)


def _decoded(z: Tensor, test: Latents, functions: ModelFunctions, modality: Modality) -> Tensor:
    label = None if test.label is None else test.label.mode().values.expand(len(z))
    context = None if test.context is None else test.context[:1].expand(len(z))
    return modality.stored(functions.decoded(z.to(test.mean.dtype), label, context))

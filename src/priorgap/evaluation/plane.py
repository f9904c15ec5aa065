"""Pictures of a latent space for the page: density in the plane of two units, and decoded points."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import Latents
from priorgap.estimators.gaussian import rate_per_unit
from priorgap.evaluation.model import ModelFunctions
from priorgap.modalities import Modality
from priorgap.priors.base import Prior
from priorgap.priors.standard_normal import StandardNormal

# In each unit the prior has this mass within this distance of 0.
_REACH, _MASS = 3.5, 0.9995
_N_DENSITY, _MAX_ROWS = 71, 5000
# The number of draws of a prior, and their kernels' width relative to the best width for a Gaussian: narrower, so
# that separate modes stay separate.
_N_PRIOR, _WIDTH = 20_000, 0.5
_MAX_UNITS, _N_TRAVERSED = 12, 9
# The plane is decoded on the finer grid for observations with at most this many numbers.
_SMALL, _FINE, _COARSE = 1024, 15, 9


def own_draws(prior: Prior | None, generator: torch.Generator) -> Float[Tensor, "n d"] | None:
    """Return draws of a model's learned prior; None where the prior is N(0, I), whose density needs no draws."""
    if prior is None or isinstance(prior, StandardNormal):
        return None
    return prior.sample(_N_PRIOR, generator=generator).detach()


def plane_density(
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    units: Sequence[int],
    prior: Float[Tensor, "m d"] | None = None,
) -> dict[str, Tensor]:
    """Return the density of q(z) in two units: the mixture of the posteriors, exact at the points of a grid.

    Args:
        mean: the posteriors' means, of which the first 5,000 are used.
        log_var: the posteriors' log-variances.
        units: the two units.
        prior: draws of the model's learned prior; None for N(0, I).

    Returns:
        plane_axis [a], plane_density [a, a] and plane_units [2]; with draws of the prior also plane_prior [a, a],
        its density by Gaussian kernels.
    """
    mean, log_var = mean[:_MAX_ROWS], log_var[:_MAX_ROWS]
    reach = _reach(prior, units)
    axis = torch.linspace(-reach, reach, _N_DENSITY, dtype=torch.float64)
    found = {
        "plane_axis": axis,
        "plane_density": _mixture(axis, mean, log_var, units),
        "plane_units": torch.tensor(list(units)),
    }
    if prior is not None:
        width = _WIDTH * prior.double().std(0) * len(prior) ** (-1 / 6)
        found["plane_prior"] = _mixture(axis, prior, (2 * width.log()).expand_as(prior), units)
    return found


def _reach(prior: Tensor | None, units: Sequence[int]) -> float:
    """Return the extent of the plane: that of N(0, I), extended to the draws of a learned prior."""
    if prior is None:
        return _REACH
    ends = prior[:, list(units)].abs().double().quantile(_MASS, dim=0)
    return max(_REACH, float(ends.max()))


def _mixture(axis: Tensor, mean: Tensor, log_var: Tensor, units: Sequence[int]) -> Tensor:
    first, second = (_normal(axis, mean[:, unit].double(), log_var[:, unit].double()) for unit in units)
    return second.T @ first / len(first)


def _normal(axis: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    # A posterior narrower than the grid step could fall between its points, so it is widened to one step.
    narrow = 2 * math.log(float(axis[-1] - axis[0]) / (len(axis) - 1))
    log_var = log_var.clamp_min(narrow)[:, None]
    exponent = (axis - mean[:, None]).square() / log_var.exp() + log_var + math.log(2 * math.pi)
    return torch.exp(-0.5 * exponent)


def decoded_plane(
    test: Latents,
    functions: ModelFunctions,
    modality: Modality,
    units: Sequence[int],
    prior: Float[Tensor, "m d"] | None = None,
) -> dict[str, Tensor]:
    """Return decoded points of the plane of two units, and along single units, with all other units at 0.

    In the plane the other units are at the mean of a learned prior, if its draws are given. A conditional model gets
    the most frequent class, a model with contexts the first test row's context.

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
    reach = _reach(prior, units)
    at = torch.linspace(-reach, reach, _FINE if n_values <= _SMALL else _COARSE)
    others = torch.zeros(test.dim) if prior is None else prior.float().mean(0)
    plane = others.repeat(len(at), len(at), 1)
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

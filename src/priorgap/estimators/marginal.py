"""Mismatch of single units: exact one-dimensional marginals of the aggregate posterior, on a grid."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from priorgap.estimators.checks import check_posteriors
from priorgap.estimators.gaussian import LOG_2PI

_HALF_WIDTH = 10.0
_MIN_GRID, _MAX_GRID = 4096, 65536
_LEVEL_STEP = 0.05  # The spacing of the levels of log s.
_LEVELS = 16  # The number of levels that are processed at a time, which bounds the memory.
_COARSE = 0.1  # From this grid step on N(0, 1) is not smooth between the points.


@dataclass(frozen=True)
class MarginalDivergences:
    """Divergences of each unit's marginal q(z_j) from N(0, 1), and the densities they were computed from.

    Attributes:
        kl: KL(q(z_j) || N(0, 1)), nats; inf where the second moment overflows.
        total_variation: 1/2 integral |q - p|, 0 to 1.
        wasserstein1: integral |F_q - F_p|, in latent units.
        low: the first grid point of each unit.
        step: the distance between a unit's grid points.
        density: q(z_j) at the grid points.
        resolved: whether all of a unit's posteriors are at least a step wide; else kl and density are those of
            widened posteriors.
    """

    kl: Float[Tensor, "d"]
    total_variation: Float[Tensor, "d"]
    wasserstein1: Float[Tensor, "d"]
    low: Float[Tensor, "d"]
    step: Float[Tensor, "d"]
    density: Float[Tensor, "d G"]
    resolved: Bool[Tensor, "d"]

    @property
    def grid(self) -> Float[Tensor, "d G"]:
        """The points of each unit's grid."""
        points = torch.arange(self.density.shape[1], dtype=torch.float64)
        return self.low[:, None] + self.step[:, None] * points


def marginal_divergences(mean: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]) -> MarginalDivergences:
    """Return the divergences of every unit's aggregate marginal from N(0, 1).

    q(z_j) = (1/n) sum_i N(z_j | mean_ij, s_ij^2) is evaluated on a grid of the unit's own: means are binned linearly,
    per level of log s (each s split between two levels so that its variance is kept), and smoothed by FFT. Of the
    mixture of *these* n posteriors it is exact to 1e-3 nat while s is above the step of the grid (at most
    65,536 points): `resolved`. As an estimate for the population it is biased upwards, by about 1 / (n s_j) nats.
    Memory is bounded whatever the posteriors are.

    Example:
        >>> mean, log_var = torch.tensor([[0.0, 2.0]]).repeat(50, 1), torch.zeros(50, 2)
        >>> [round(x, 2) + 0.0 for x in marginal_divergences(mean, log_var).kl.tolist()]  # the second unit: 2²/2
        [0.0, 2.0]
    """
    check_posteriors(mean, log_var)
    mean, std = mean.double(), (0.5 * log_var.double()).exp()
    low = (mean - 6 * std).amin(0).clamp_max(-_HALF_WIDTH)
    high = (mean + 6 * std).amax(0).clamp_min(_HALF_WIDTH)
    # Clamped before the division, because a posterior of zero width would need infinitely many points.
    wanted = float((6 * (high - low) / std.amin(0).clamp_min(1e-300)).max().clamp_max(_MAX_GRID))
    n_grid = min(_MAX_GRID, max(_MIN_GRID, 2 ** math.ceil(math.log2(wanted))))
    step = (high - low) / n_grid
    density = torch.stack(
        [
            _unit_density(mean[:, j], std[:, j], float(low[j]), float(step[j]), n_grid)
            for j in range(mean.shape[1])
        ]
    )
    return _divergences(low, step, density, std.amin(0) >= step)


def _levels(std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return levels of s, and for each s the index of the lower level and the weight of the upper one."""
    bottom, top = float(std.min().log()), float(std.max().log())
    n_levels = max(2, math.ceil((top - bottom) / _LEVEL_STEP) + 1)
    if top - bottom < 1e-9:
        return std.min()[None], torch.zeros(len(std), dtype=torch.long), torch.zeros_like(std)
    level = torch.linspace(bottom, top, n_levels, dtype=torch.float64).exp()
    below = ((std.log() - bottom) / (top - bottom) * (n_levels - 1)).floor().long().clamp(0, n_levels - 2)
    # The weight is linear in the variance, not in log s, so that the mixture keeps its second moment exactly.
    weight = (std.square() - level[below].square()) / (level[below + 1].square() - level[below].square())
    return level, below, weight.clamp(0, 1)


def _unit_density(mean: Tensor, std: Tensor, low: float, step: float, n_grid: int) -> Tensor:
    # Widths are in grid steps. Linear binning adds a variance of 1/6, so that narrower posteriors get this width.
    level, below, upper = _levels((std / step).clamp_min(math.sqrt(1 / 6)))
    position = (mean - low) / step
    cell = position.floor().long().clamp(0, n_grid - 2)
    right = position - cell
    frequency = 2 * math.pi * torch.fft.rfftfreq(2 * n_grid, dtype=torch.float64)
    variance = (level.square() - 1 / 6).clamp_min(0)
    spectrum = torch.zeros(n_grid + 1, dtype=torch.complex128)
    for first in range(0, len(level), _LEVELS):
        histogram = torch.zeros(len(level[first : first + _LEVELS]), n_grid, dtype=torch.float64)
        for offset, level_weight in ((0, 1 - upper), (1, upper)) if len(level) > 1 else ((0, 1 - upper),):
            own = below + offset - first
            rows = ((own >= 0) & (own < len(histogram))).nonzero()[:, 0]
            for shift, cell_weight in ((0, 1 - right), (1, right)):
                place = own[rows] * n_grid + cell[rows] + shift
                histogram.view(-1).index_add_(0, place, level_weight[rows] * cell_weight[rows])
        # The histogram is zero-padded to twice its length, so that the convolution does not wrap around.
        smooth = torch.exp(-0.5 * variance[first : first + _LEVELS, None] * frequency.square())
        spectrum += (torch.fft.rfft(histogram, n=2 * n_grid) * smooth).sum(0)
    density = torch.fft.irfft(spectrum, n=2 * n_grid)[:n_grid]
    found: Tensor = (density / (len(mean) * step)).clamp_min(0)
    return found


def _divergences(low: Tensor, step: Tensor, density: Tensor, resolved: Tensor) -> MarginalDivergences:
    """Return the divergences of densities on their grids, one unit at a time."""
    found = [_unit_divergences(*unit) for unit in zip(low.tolist(), step.tolist(), density, strict=True)]
    kl, variation, wasserstein = (torch.stack(part) for part in zip(*found, strict=True))
    normal = density / (density.sum(1, keepdim=True) * step[:, None])
    return MarginalDivergences(kl, variation, wasserstein, low, step, normal, resolved)


def _unit_divergences(low: float, step: float, density: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grid = low + step * torch.arange(len(density), dtype=torch.float64)
    log_prior = -0.5 * (grid.square() + LOG_2PI)
    prior = log_prior.exp()
    if step > _COARSE:
        # The peak of N(0, 1) may lie between points, so its mass around each point replaces its density there.
        edge = torch.cat([grid, grid[-1:] + step]) - 0.5 * step
        prior = torch.special.ndtr(edge).diff() / step
    q = density / (density.sum() * step)
    log_ratio = torch.where(q > 0, q.clamp_min(1e-300).log() - log_prior, torch.zeros_like(q))
    cdf_gap = (q - prior).cumsum(0) * step
    return (
        (q * log_ratio).sum() * step,
        0.5 * (q - prior).abs().sum() * step,
        cdf_gap.abs().sum() * step,
    )


def on_grid(marginals: MarginalDivergences, grid: Float[Tensor, "m"]) -> Float[Tensor, "d m"]:
    """Return every unit's density at given points, linear between its own grid points and 0 outside.

    Example:
        >>> found = marginal_divergences(torch.zeros(50, 1), torch.zeros(50, 1))
        >>> on_grid(found, torch.tensor([0.0, 99.0])).round(decimals=2).tolist()  # 1 / sqrt(2π), and 0 outside
        [[0.4, 0.0]]
    """
    n_grid = marginals.density.shape[1]
    rows = []
    for low, step, density in zip(marginals.low, marginals.step, marginals.density, strict=True):
        position = (grid - low) / step
        inside = (position >= 0) & (position <= n_grid - 1)
        cell = position.floor().clamp(0, n_grid - 2).long()
        right = position - cell
        value = density[cell] * (1 - right) + density[cell + 1] * right
        rows.append(torch.where(inside, value, torch.zeros_like(value)))
    return torch.stack(rows)

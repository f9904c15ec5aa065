"""Per-unit mismatch: the exact one-dimensional marginals of the aggregate posterior on a grid."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_posteriors
from priorgap.estimators.gaussian import LOG_2PI

_HALF_WIDTH = 10.0
_MIN_GRID, _MAX_GRID = 4096, 65536
_LEVEL_STEP = 0.05  # spacing of the log-s levels


@dataclass(frozen=True)
class MarginalDivergences:
    """Divergences of each unit's marginal q(z_j) from N(0, 1), and the densities they were taken from.

    Attributes:
        kl: KL(q(z_j) || N(0, 1)), nats.
        total_variation: 1/2 integral |q - p|, 0 to 1.
        wasserstein1: integral |F_q - F_p|, in latent units.
        grid: points at which the densities are given.
        density: q(z_j) there.
    """

    kl: Float[Tensor, "d"]
    total_variation: Float[Tensor, "d"]
    wasserstein1: Float[Tensor, "d"]
    grid: Float[Tensor, "G"]
    density: Float[Tensor, "d G"]


def marginal_divergences(mean: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]) -> MarginalDivergences:
    """Return the divergences of every unit's aggregate marginal from N(0, 1).

    q(z_j) = (1/n) sum_i N(z_j | mean_ij, s_ij^2) is evaluated on a grid: means are binned linearly, per level
    of log s (each s split between two levels so that its variance is kept), and smoothed by FFT. Of the
    mixture of *these* n posteriors it is exact to 1e-3 nat while s is above the step of the grid (at most
    65,536 points). As an estimate for the population it is biased upwards, by about 1 / (n s_j) nats.
    """
    check_posteriors(mean, log_var)
    mean, std = mean.double(), (0.5 * log_var.double()).exp()
    low = min(-_HALF_WIDTH, float((mean - 6 * std).min()))
    high = max(_HALF_WIDTH, float((mean + 6 * std).max()))
    wanted = 6 * (high - low) / float(std.min())
    n_grid = min(_MAX_GRID, max(_MIN_GRID, 2 ** math.ceil(math.log2(wanted))))
    step = (high - low) / n_grid
    grid = low + step * torch.arange(n_grid, dtype=torch.float64)
    density = torch.stack(
        [_unit_density(mean[:, j], std[:, j], low, step, n_grid) for j in range(mean.shape[1])]
    )
    return _divergences(grid, density, step)


def _levels(std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return levels of s, and for each s the lower level's index and the upper level's weight."""
    bottom, top = float(std.min().log()), float(std.max().log())
    n_levels = max(2, math.ceil((top - bottom) / _LEVEL_STEP) + 1)
    if top - bottom < 1e-9:
        return std.min()[None], torch.zeros(len(std), dtype=torch.long), torch.zeros_like(std)
    level = torch.linspace(bottom, top, n_levels, dtype=torch.float64).exp()
    below = ((std.log() - bottom) / (top - bottom) * (n_levels - 1)).floor().long().clamp(0, n_levels - 2)
    # linear in the variance, not in log s: the mixture then keeps its second moment exactly
    weight = (std.square() - level[below].square()) / (level[below + 1].square() - level[below].square())
    return level, below, weight.clamp(0, 1)


def _unit_density(mean: Tensor, std: Tensor, low: float, step: float, n_grid: int) -> Tensor:
    level, below, upper = _levels(std)
    position = (mean - low) / step
    cell = position.floor().long().clamp(0, n_grid - 2)
    right = position - cell
    histogram = torch.zeros(len(level) * n_grid, dtype=torch.float64)
    for offset, level_weight in ((0, 1 - upper), (1, upper)) if len(level) > 1 else ((0, 1 - upper),):
        for shift, cell_weight in ((0, 1 - right), (1, right)):
            histogram.index_add_(0, (below + offset) * n_grid + cell + shift, level_weight * cell_weight)
    # zero-padded to twice the length: the convolution must not wrap around
    spectrum = torch.fft.rfft(histogram.view(len(level), n_grid), n=2 * n_grid)
    frequency = 2 * math.pi * torch.fft.rfftfreq(2 * n_grid, d=step, dtype=torch.float64)
    # linear binning has already added a variance of step^2 / 6
    variance = (level.square() - step * step / 6).clamp_min(0)
    smooth = torch.exp(-0.5 * variance[:, None] * frequency.square())
    density = torch.fft.irfft((spectrum * smooth).sum(0), n=2 * n_grid)[:n_grid]
    found: Tensor = (density / (len(mean) * step)).clamp_min(0)
    return found


def _divergences(grid: Tensor, density: Tensor, step: float) -> MarginalDivergences:
    log_prior = -0.5 * (grid.square() + LOG_2PI)
    prior = log_prior.exp()
    q = density / (density.sum(1, keepdim=True) * step)
    log_ratio = torch.where(q > 0, q.clamp_min(1e-300).log() - log_prior, torch.zeros_like(q))
    cdf_gap = (q - prior).cumsum(1) * step
    return MarginalDivergences(
        kl=(q * log_ratio).sum(1) * step,
        total_variation=0.5 * (q - prior).abs().sum(1) * step,
        wasserstein1=cdf_gap.abs().sum(1) * step,
        grid=grid,
        density=q,
    )

"""Laws of posteriors (mean, s) whose aggregate q(z) has a known KL to N(0, I), for benchmarks/bracket.py.

- gaussian: one component; closed form.
- mixture: ten; closed form but for the mutual information of component and z, by 400,000 draws.
- banana, rings: a curved and a doubly connected law of the first two coordinates, the rest standard normal, all
  convolved with one s. The truth is the plane's KL, by quadrature on a grid.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from priorgap.core.latents import Latents
from priorgap.estimators.gaussian import gaussian_log_prob, kl_to_standard_normal
from priorgap.estimators.uncertainty import Estimate

N_COMPONENTS, N_TRUTH, S = 10, 400_000, 0.277
DIMS = (2, 8, 16, 32, 64)
# variance inside a component: what is left of the total of 1 a unit is between the components' centres
WITHIN = {2: 0.25, 8: 0.5, 16: 0.62, 32: 0.7, 64: 0.757}


class Law(Protocol):
    """A population of posteriors, and the truth about it."""

    def posteriors(self, n: int, generator: torch.Generator) -> Latents:
        """Draw n posteriors, float32 as a model would give them."""
        ...

    def truth(self, generator: torch.Generator) -> Estimate:
        """Return KL(q || N(0, I)), nats."""
        ...


@dataclass(frozen=True)
class MixtureWorld:
    """A law of posteriors: weights [c], centres [c, d], Cholesky factors of the means' spread, s [c, d]."""

    weight: Tensor
    centre: Tensor
    factor: Tensor
    std: Tensor

    def covariances(self) -> Tensor:
        """Return the covariance of z in each component."""
        return self.factor @ self.factor.mT + torch.diag_embed(self.std.square())

    def posteriors(self, n: int, generator: torch.Generator) -> Latents:
        """Draw n posteriors, float32 as a model would give them."""
        c = torch.multinomial(self.weight, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.centre.shape[1], generator=generator, dtype=torch.float64)
        mean = self.centre[c]
        for k in range(len(self.weight)):
            mean[c == k] += noise[c == k] @ self.factor[k].T
        return Latents(mean.float(), (2 * self.std[c].log()).float())

    def truth(self, generator: torch.Generator) -> Estimate:
        """Return KL(q || N(0, I)), closed but for the mutual information of component and z."""
        cov = self.covariances()
        root = torch.linalg.cholesky(cov)
        value, variance = 0.0, 0.0
        for k, weight in enumerate(self.weight.tolist()):
            n = round(weight * N_TRUTH)
            noise = torch.randn(n, self.centre.shape[1], generator=generator, dtype=torch.float64)
            z = self.centre[k] + noise @ root[k].T
            pairs = zip(self.centre, cov, strict=True)
            joint = torch.stack([gaussian_log_prob(z, m, v) for m, v in pairs], 1) + self.weight.log()
            log_share = joint.log_softmax(1)
            # averaged over c given z: the same expectation, less scatter than at the c that was drawn
            information = (log_share.exp() * (log_share - self.weight.log())).sum(1)
            value += weight * (kl_to_standard_normal(self.centre[k], cov[k]) - float(information.mean()))
            variance += weight**2 * float(information.var()) / n
        return Estimate(value, math.sqrt(variance))


def make_mixture(d: int, generator: torch.Generator) -> MixtureWorld:
    """Make a world whose q has mean 0 and variance 1 in each unit, and whose rate is near 1.28 d nats."""
    weight = torch.rand(N_COMPONENTS, generator=generator, dtype=torch.float64) + 0.5
    weight /= weight.sum()
    std = S * torch.exp(0.15 * torch.randn(N_COMPONENTS, d, generator=generator, dtype=torch.float64))
    centre = torch.randn(N_COMPONENTS, d, generator=generator, dtype=torch.float64)
    centre -= weight @ centre
    centre *= ((1 - WITHIN[d]) / (weight @ centre.square())).sqrt()
    mixing = torch.randn(N_COMPONENTS, d, d, generator=generator, dtype=torch.float64) / math.sqrt(d)
    shape = 0.7 * torch.eye(d, dtype=torch.float64) + 0.3 * mixing @ mixing.mT
    spread = (WITHIN[d] - weight @ std.square()) / (weight @ shape.diagonal(dim1=1, dim2=2))
    scale = spread.sqrt()
    factor = torch.linalg.cholesky(scale[None, :, None] * shape * scale[None, None, :])
    return MixtureWorld(weight, centre, factor, std)


def make_gaussian(d: int, generator: torch.Generator) -> MixtureWorld:
    """Make one Gaussian, shifted by half a unit in all, with unequal variances and correlations."""
    mixing = torch.randn(1, d, d, generator=generator, dtype=torch.float64) / math.sqrt(d)
    shape = 0.8 * torch.eye(d, dtype=torch.float64) + 0.2 * mixing @ mixing.mT
    centre = torch.randn(1, d, generator=generator, dtype=torch.float64)
    centre *= 0.5 / centre.norm()
    std = torch.full((1, d), S, dtype=torch.float64)
    weight = torch.ones(1, dtype=torch.float64)
    return MixtureWorld(weight, centre, torch.linalg.cholesky((1 - S * S) * shape), std)


@dataclass(frozen=True)
class PlaneWorld:
    """A curve in the first two coordinates, the rest matched: q is the curve's law convolved with one s.

    Attributes:
        d: latent units.
        curve: parameters in (0, 1), [m] -> points [m, 2]; a uniform parameter gives the law of the means.
        nodes: number of nodes -> parameters and weights of a quadrature along the curve.
        width: standard deviation of the means about the curve.
        turn: angle by which the plane is turned.
    """

    d: int
    curve: Callable[[Tensor], Tensor]
    nodes: Callable[[int], tuple[Tensor, Tensor]]
    width: float
    turn: float

    def _points(self, u: Tensor) -> Tensor:
        c, s = math.cos(self.turn), math.sin(self.turn)
        return self.curve(u) @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)

    def posteriors(self, n: int, generator: torch.Generator) -> Latents:
        """Draw n posteriors, float32 as a model would give them."""
        mean = math.sqrt(1 - S * S) * torch.randn(n, self.d, generator=generator, dtype=torch.float64)
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        noise = self.width * torch.randn(n, 2, generator=generator, dtype=torch.float64)
        mean[:, :2] = self._points(u) + noise
        return Latents(mean.float(), torch.full((n, self.d), 2 * math.log(S)))

    def truth(self, generator: torch.Generator) -> Estimate:
        """Return the plane's KL by quadrature, with its change on halving the grid as its error."""
        fine, coarse = self._quadrature(1200, 2000), self._quadrature(600, 1000)
        return Estimate(fine, abs(fine - coarse))

    def _quadrature(self, n_grid: int, n_curve: int) -> float:
        u, weight = self.nodes(n_curve)
        points = self._points(u)
        scale = math.hypot(S, self.width)
        half = float(points.abs().max()) + 8 * scale
        grid = torch.linspace(-half, half, n_grid, dtype=torch.float64)
        step = float(grid[1] - grid[0])

        def kernel(at: Tensor) -> Tensor:
            return torch.exp(-0.5 * ((grid[:, None] - at) / scale).square()) / (
                scale * math.sqrt(2 * math.pi)
            )

        q = (kernel(points[:, 0]) * weight) @ kernel(points[:, 1]).T
        log_p = -0.5 * (grid[:, None].square() + grid.square()) - math.log(2 * math.pi)
        terms = torch.where(q > 0, q * (q.clamp_min(1e-300).log() - log_p), torch.zeros_like(q))
        return float(terms.sum()) * step * step


def make_banana(d: int, generator: torch.Generator) -> PlaneWorld:
    """Make a parabola under a normal law, at unit variances, turned at random."""
    bend = 0.55 + 0.1 * float(torch.rand(1, generator=generator))

    def curve(u: Tensor) -> Tensor:
        a = torch.special.ndtri(u)
        return torch.stack([math.sqrt(1 - S * S) * a, bend * (a.square() - 1)], 1)

    turn = 2 * math.pi * float(torch.rand(1, generator=generator))

    def nodes(n: int) -> tuple[Tensor, Tensor]:
        a = 14 * (torch.arange(n, dtype=torch.float64) + 0.5) / n - 7
        weight = torch.exp(-0.5 * a.square())
        return torch.special.ndtr(a), weight / weight.sum()

    return PlaneWorld(d, curve, nodes, math.sqrt(1 - S * S - 2 * bend * bend), turn)


def make_rings(d: int, generator: torch.Generator) -> PlaneWorld:
    """Make two rings of equal mass about the origin, at unit variances."""
    inner = 0.4 + 0.2 * float(torch.rand(1, generator=generator))
    outer = math.sqrt(4 * (1 - S * S) - inner**2)

    def curve(u: Tensor) -> Tensor:
        angle = 4 * math.pi * u
        radius = torch.where(u < 0.5, inner, outer)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)

    def nodes(n: int) -> tuple[Tensor, Tensor]:
        return (torch.arange(n, dtype=torch.float64) + 0.5) / n, torch.full((n,), 1 / n, dtype=torch.float64)

    return PlaneWorld(d, curve, nodes, 0.0, 0.0)


LAWS: dict[str, Callable[[int, torch.Generator], Law]] = {
    "gaussian": make_gaussian,
    "mixture": make_mixture,
    "banana": make_banana,
    "rings": make_rings,
}

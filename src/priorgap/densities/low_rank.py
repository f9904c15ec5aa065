"""A Gaussian whose covariance is low-rank plus diagonal, for dimensions too large for a matrix."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import Moments, check_full
from priorgap.core.random import isolated
from priorgap.densities.protocols import check_n, stable_cholesky

# Settings of the randomised decomposition: directions beyond the requested ones, and passes over the points.
_BEYOND, _PASSES = 10, 6
# Each unit's own noise keeps at least this share of the unit's variance.
_LEAST_NOISE = 1e-4


@dataclass(frozen=True, eq=False)
class FittedLowRank:
    """N(mean, diag(scale) (F F' + diag noise) diag(scale)), float64; F F' + diag noise has ones on its diagonal.

    Attributes:
        mean: the mean of each unit.
        scale: the standard deviation of each unit.
        factor: F.
        noise: the share of each unit's variance that it shares with no other.
    """

    mean: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]
    factor: Float[Tensor, "d r"]
    noise: Float[Tensor, "d"]
    kind: ClassVar[str] = "low_rank"

    @cached_property
    def _inner(self) -> Float[Tensor, "r r"]:
        """Cholesky factor of I + F' diag(noise)^-1 F (Woodbury)."""
        rank = self.factor.shape[1]
        weighted = self.factor / self.noise[:, None]
        return stable_cholesky(torch.eye(rank, dtype=self.factor.dtype) + self.factor.T @ weighted)

    @property
    def rank(self) -> int:
        """The number of directions."""
        return self.factor.shape[1]

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return the log-density, nats, float64, in O(n d r) without a d x d matrix."""
        u = (z.double() - self.mean) / self.scale
        own = u / self.noise
        quadratic = (u * own).sum(1)
        log_det = self.noise.log().sum() + 2 * self.scale.log().sum()
        if self.rank:
            seen = torch.linalg.solve_triangular(self._inner, (own @ self.factor).T, upper=False)
            quadratic = quadratic - seen.square().sum(0)
            log_det = log_det + 2 * self._inner.diagonal().log().sum()
        found: Tensor = -0.5 * (quadratic + log_det + len(self.mean) * math.log(2 * math.pi))
        return found

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows mean + scale (F w + noise^1/2 eps), float32; eps first."""
        check_n(n)
        noise = torch.randn(n, len(self.mean), generator=generator)
        weights = torch.randn(n, self.rank, generator=generator)
        u = noise * self.noise.sqrt().float() + weights @ self.factor.T.float()
        return u * self.scale.float() + self.mean.float()

    def moments(self) -> Moments:
        """Return the mean and the covariance.

        Raises:
            ValueError: too many dimensions for a matrix.
        """
        check_full(len(self.mean))
        whole = self.factor @ self.factor.T + torch.diag(self.noise)
        return Moments(self.mean, self.scale[:, None] * whole * self.scale)

    def state(self) -> dict[str, Tensor]:
        """Return the four tensors."""
        return {"mean": self.mean, "scale": self.scale, "factor": self.factor, "noise": self.noise}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> Self:
        """Rebuild from `state`'s result."""
        return cls(tensors["mean"], tensors["scale"], tensors["factor"], tensors["noise"])


def directions(
    z: Float[Tensor, "n d"],
    mean: Float[Tensor, "d"],
    scale: Float[Tensor, "d"],
    rank: int,
    *,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "r"], Float[Tensor, "d r"]]:
    """Return the largest eigenvalues of the units' correlation matrix and their directions, from points.

    **Source**: the randomised decomposition of Halko, Martinsson & Tropp (2011), as `torch.svd_lowrank` has it.
    """
    u = ((z - mean.to(z.dtype)) / scale.to(z.dtype)).float()
    most = min(*u.shape)
    with isolated(generator):
        _, values, found = torch.svd_lowrank(u, q=min(rank + _BEYOND, most), niter=_PASSES)
    kept = min(rank, most)
    return values[:kept].double().square() / len(u), found[:, :kept].double()


def low_rank(
    mean: Float[Tensor, "d"],
    scale: Float[Tensor, "d"],
    values: Float[Tensor, "r"],
    along: Float[Tensor, "d r"],
) -> FittedLowRank:
    """Return the Gaussian with these directions of the units' correlation, and with every unit's variance unchanged.

    The other eigenvalues are replaced by their mean (probabilistic principal components); each unit's noise is then
    the rest of its variance. Without directions the result is the diagonal Gaussian.

    **Source**: Tipping & Bishop (1999), "Probabilistic principal component analysis".
    """
    d, rank = len(mean), len(values)
    rest = ((d - values.sum()) / max(1, d - rank)).clamp_min(0)
    factor = along * (values - rest).clamp_min(0).sqrt()
    shared = factor.square().sum(1)
    noise = (1 - shared).clamp_min(_LEAST_NOISE)
    whole = shared + noise
    return FittedLowRank(mean, scale, factor / whole.sqrt()[:, None], noise / whole)

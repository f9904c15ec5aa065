"""One Gaussian, diagonal or full."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import Moments, check_full
from priorgap.densities.protocols import check_n, check_points, stable_cholesky

Covariance = Literal["diag", "full"]


@dataclass(frozen=True, eq=False)
class FittedGaussian:
    """N(mean, cov), float64."""

    mean: Float[Tensor, "d"]
    cov: Float[Tensor, "d d"]
    kind: ClassVar[str] = "gaussian"

    @classmethod
    def from_moments(cls, moments: Moments, covariance: Covariance = "full") -> Self:
        """Return the Gaussian with these moments, or with only the diagonal of the covariance."""
        cov = moments.cov.double()
        return cls(moments.mean.double(), torch.diag(cov.diagonal()) if covariance == "diag" else cov.clone())

    @cached_property
    def cholesky(self) -> Float[Tensor, "d d"]:
        """Lower-triangular factor of the covariance."""
        return stable_cholesky(self.cov)

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log N(z; mean, cov), nats, float64."""
        return gaussian_log_prob(z.double(), self.mean, self.cholesky)

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows mean + L eps, float32."""
        check_n(n)
        noise = torch.randn(n, len(self.mean), generator=generator)
        return (self.mean + noise.double() @ self.cholesky.T).float()

    def moments(self) -> Moments:
        """Return the mean and the covariance."""
        return Moments(self.mean, self.cov)

    def state(self) -> dict[str, Tensor]:
        """Return mean and cov."""
        return {"mean": self.mean, "cov": self.cov}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> Self:
        """Rebuild from `state`'s result."""
        return cls(tensors["mean"], tensors["cov"])


@dataclass(frozen=True, eq=False)
class FittedDiagonal:
    """N(mean, diag variance), float64, for dimensions too large for a matrix."""

    mean: Float[Tensor, "d"]
    variance: Float[Tensor, "d"]
    kind: ClassVar[str] = "diagonal"

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return the log-density, nats, float64."""
        white = (z.double() - self.mean).square() / self.variance
        found: Tensor = -0.5 * (white + self.variance.log() + math.log(2 * math.pi)).sum(1)
        return found

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows mean + s eps, float32."""
        check_n(n)
        noise = torch.randn(n, len(self.mean), generator=generator)
        return noise * self.variance.sqrt().float() + self.mean.float()

    def moments(self) -> Moments:
        """Return the mean and the covariance, d x d."""
        return Moments(self.mean, torch.diag(self.variance))

    def state(self) -> dict[str, Tensor]:
        """Return mean and variance."""
        return {"mean": self.mean, "variance": self.variance}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> Self:
        """Rebuild from `state`'s result."""
        return cls(tensors["mean"], tensors["variance"])


@dataclass(frozen=True)
class Gaussian:
    """The Gaussian with the sample mean and the unbiased sample covariance, or its diagonal."""

    covariance: Covariance

    def __post_init__(self) -> None:
        if self.covariance not in ("diag", "full"):
            raise ValueError(f"covariance={self.covariance!r}: expected diag or full")

    def fit(
        self, z_train: Float[Tensor, "n d"], z_validation: Float[Tensor, "m d"], *, generator: torch.Generator
    ) -> FittedGaussian:
        """Fit to `z_train`; there is nothing to choose and nothing to draw.

        Raises:
            ValueError: there are fewer than two points, or too many dimensions.
        """
        check_points(z_train, "z_train")
        check_full(z_train.shape[1])
        z = z_train.double()
        mean = z.mean(0)
        centred = z - mean
        cov = centred.T @ centred / (len(z) - 1)
        return FittedGaussian.from_moments(Moments(mean, cov), self.covariance)


def gaussian_log_prob(
    z: Float[Tensor, "n d"], mean: Float[Tensor, "d"], cholesky: Float[Tensor, "d d"]
) -> Float[Tensor, "n"]:
    """Return log N(z; mean, L L^T), nats, from the Cholesky factor L."""
    white = torch.linalg.solve_triangular(cholesky, (z - mean).T, upper=False)
    log_det = cholesky.diagonal().log().sum()
    found: Tensor = -0.5 * white.square().sum(0) - log_det - 0.5 * len(mean) * math.log(2 * math.pi)
    return found

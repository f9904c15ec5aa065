"""The contract of densities: hyperparameters whose `fit` returns a fitted distribution of z."""

from typing import ClassVar, Protocol, Self, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import Moments


class TooFewPoints(ValueError):  # noqa: N818
    """There are too few points to fit a density of this kind; the message is the reason, one line."""


@runtime_checkable
class FittedDensity(Protocol):
    """A distribution of z with a log-density and draws; its state is float64 tensors."""

    kind: ClassVar[str]

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z), nats, float64."""
        ...

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows, float32; the first random call is torch.randn(n, d)."""
        ...

    def moments(self) -> Moments:
        """Return the distribution's mean and covariance, float64."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the tensors from which `from_state` restores the distribution exactly."""
        ...

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> Self:
        """Rebuild the distribution from `state`'s result."""
        ...


class Density(Protocol):
    """Frozen hyperparameters of a family of distributions."""

    def fit(
        self, z_train: Float[Tensor, "n d"], z_validation: Float[Tensor, "m d"], *, generator: torch.Generator
    ) -> FittedDensity:
        """Fit to `z_train`; choices, where there are any, are made on `z_validation`.

        Raises:
            TooFewPoints: there are too few points for this density.
        """
        ...


def check_points(z: Float[Tensor, "n d"], name: str) -> None:
    """Refuse fewer than two points, or points that are not finite.

    Raises:
        ValueError: one line that names what was given.
    """
    if z.ndim != 2 or z.shape[1] < 1:
        raise ValueError(f"{name} has shape {tuple(z.shape)}: expected [n, d]")
    if len(z) < 2:
        raise TooFewPoints(f"{name} has {len(z)} points: expected at least 2 to fit a density")
    if not bool(torch.isfinite(z).all()):
        raise ValueError(f"{name} has values that are not finite")


def check_n(n: int) -> None:
    """Refuse a number of draws below 1.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"n={n}: expected at least 1 draw")


def stable_cholesky(cov: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Return the Cholesky factor, after adding the smallest ridge of a list that makes it exist.

    The ridges are relative to the mean variance: a collapsed unit of a deterministic encoder has variance 0.

    Raises:
        ValueError: the matrix is not positive definite even with a ridge of 1e-6 of its mean variance.
    """
    scale = cov.diagonal().mean().clamp_min(torch.finfo(cov.dtype).tiny)
    identity = torch.eye(len(cov), dtype=cov.dtype)
    for ridge in (0.0, 1e-12, 1e-10, 1e-8, 1e-6):
        factor, info = torch.linalg.cholesky_ex(cov + ridge * scale * identity)
        if int(info) == 0:
            found: Tensor = factor
            return found
    raise ValueError("the covariance is not positive semi-definite: expected that of a set of draws")

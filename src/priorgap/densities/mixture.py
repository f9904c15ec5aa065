"""A mixture of full-covariance Gaussians, started by k-means and fitted by EM."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import Moments, check_full
from priorgap.core.random import draw_seed
from priorgap.densities.em import expectation_maximisation
from priorgap.densities.gaussian import gaussian_log_prob
from priorgap.densities.protocols import TooFewPoints, check_n, check_points, stable_cholesky

# k-means only starts EM; on a subsample of this size it gives an equally good start in a fraction of the
# time.
_KMEANS_POINTS = 5_000
_KMEANS_ITERATIONS = 30
_TOLERANCE = 1e-3
_LOG_PROB_ROWS = 16_384


@dataclass(frozen=True, eq=False)
class FittedMixture:
    """sum_k weight_k N(mean_k, cov_k), float64."""

    weight: Float[Tensor, "k"]
    mean: Float[Tensor, "k d"]
    cov: Float[Tensor, "k d d"]
    kind: ClassVar[str] = "mixture"

    @property
    def n_components(self) -> int:
        """Number of components k."""
        return len(self.weight)

    @cached_property
    def cholesky(self) -> Float[Tensor, "k d d"]:
        """Lower-triangular factors of the covariances."""
        return torch.stack([stable_cholesky(c) for c in self.cov])

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return the mixture's log-density, nats, float64, in bounded memory for any n."""
        return torch.cat([self._log_prob(rows) for rows in z.split(_LOG_PROB_ROWS)])

    def _log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        exact = z.double()
        terms = [
            self.weight[k].log() + gaussian_log_prob(exact, self.mean[k], self.cholesky[k])
            for k in range(self.n_components)
        ]
        return torch.logsumexp(torch.stack(terms), 0)

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows, float32, exchangeable: noise first, then each row's component."""
        check_n(n)
        noise = torch.randn(n, self.mean.shape[1], generator=generator).double()
        uniform = torch.rand(n, generator=generator, dtype=torch.float64)
        chosen = torch.searchsorted(self.weight.cumsum(0), uniform).clamp_max(self.n_components - 1)
        z = torch.empty_like(noise)
        for k in range(self.n_components):
            rows = (chosen == k).nonzero(as_tuple=True)[0]
            z[rows] = self.mean[k] + noise[rows] @ self.cholesky[k].T
        return z.float()

    def moments(self) -> Moments:
        """Return the mean and covariance of the mixture, by total variance."""
        mean = self.weight @ self.mean
        centred = self.mean - mean
        within = torch.einsum("k,kij->ij", self.weight, self.cov)
        return Moments(mean, within + torch.einsum("k,ki,kj->ij", self.weight, centred, centred))

    def state(self) -> dict[str, Tensor]:
        """Return weight, mean and cov."""
        return {"weight": self.weight, "mean": self.mean, "cov": self.cov}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> Self:
        """Rebuild from `state`'s result."""
        return cls(tensors["weight"], tensors["mean"], tensors["cov"])


@dataclass(frozen=True)
class GaussianMixture:
    """Mixtures of full Gaussians by EM; the number of components is chosen by validation log-likelihood.

    Every unit is standardised before the fit and restored after it, so that the fit does not change when a
    unit is shifted or scaled and the ridge on the covariances is relative to the unit's variance.

    Attributes:
        n_components: one number, or the candidates among which the validation log-likelihood chooses.
        n_fit: EM uses at most this many rows, a random subset of those given.
        max_iter: the largest number of EM steps for each candidate.
        reg_covar: EM adds this to each diagonal, relative to the unit's variance.
    """

    n_components: int | Sequence[int]
    n_fit: int
    max_iter: int
    reg_covar: float

    def __post_init__(self) -> None:
        # YAML gives lists, but a field of a frozen dataclass must be hashable.
        if not isinstance(self.n_components, int):
            object.__setattr__(self, "n_components", tuple(self.n_components))
        if not self.candidates or min(self.candidates) < 1:
            raise ValueError(f"n_components={self.n_components}: expected integers of at least 1")
        for key, least in (("n_fit", 2), ("max_iter", 1)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least {least}")
        if not self.reg_covar >= 0:
            raise ValueError(f"reg_covar={self.reg_covar}: expected a number of at least 0")
        if min(self.candidates) > max(1, self.n_fit // 2):
            raise ValueError(
                f"n_components={self.n_components}: expected at most half of the n_fit={self.n_fit} points"
            )

    @property
    def candidates(self) -> tuple[int, ...]:
        """The numbers of components that are tried."""
        return (self.n_components,) if isinstance(self.n_components, int) else tuple(self.n_components)

    def fit(
        self, z_train: Float[Tensor, "n d"], z_validation: Float[Tensor, "m d"], *, generator: torch.Generator
    ) -> FittedMixture:
        """Fit every candidate to `z_train`; return the one with the best mean log-density on `z_validation`.

        Candidates with more components than half the points are skipped.

        Raises:
            TooFewPoints: fewer than two points; too few for every candidate; a choice without validation.
            ValueError: too many dimensions.
        """
        check_points(z_train, "z_train")
        check_full(z_train.shape[1])
        rows = torch.randperm(len(z_train), generator=generator)[: self.n_fit]
        z = z_train[rows].double()
        possible = [k for k in self.candidates if k == 1 or 2 * k <= len(z)]
        if not possible:
            raise TooFewPoints(
                f"n_components={self.n_components}: expected at most half of the {len(z)} points"
            )
        if len(possible) > 1 and len(z_validation) == 0:
            raise TooFewPoints(f"n_components={self.n_components}: expected validation points to choose by")
        fitted = [self._fit_one(z, k, generator=generator) for k in possible]
        if len(fitted) == 1:
            return fitted[0]
        scores = [float(f.log_prob(z_validation).mean()) for f in fitted]
        return fitted[int(np.argmax(scores))]

    def _fit_one(self, z: Float[Tensor, "n d"], k: int, *, generator: torch.Generator) -> FittedMixture:
        centre, scale = z.mean(0), z.std(0)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        weight, mean, cov = _em((z - centre) / scale, k, self.max_iter, self.reg_covar, draw_seed(generator))
        return FittedMixture(weight, centre + scale * mean, cov * scale[:, None] * scale[None, :])


def _em(
    z: Float[Tensor, "n d"], k: int, max_iter: int, reg_covar: float, seed: int
) -> tuple[Float[Tensor, "k"], Float[Tensor, "k d"], Float[Tensor, "k d d"]]:
    """Run EM from a k-means start; scikit-learn's k-means draws only from its own seeded RandomState."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    points = z.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # The rows come in random order, so that the first ones are a random subset.
        kmeans = KMeans(k, n_init=1, max_iter=_KMEANS_ITERATIONS, random_state=seed)
        cluster = kmeans.fit(points[:_KMEANS_POINTS]).predict(points)
    weight, mean, cov = (torch.from_numpy(a) for a in _start(points, cluster, k, reg_covar))
    return expectation_maximisation(
        z, weight, mean, cov, max_iter=max_iter, tolerance=_TOLERANCE, ridge=reg_covar
    )


def _start(z: np.ndarray, cluster: np.ndarray, k: int, reg_covar: float) -> tuple[np.ndarray, ...]:
    """Return the clusters' weights, means and covariances; small clusters are shrunk to the pooled covariance."""
    n, d = z.shape
    pooled = np.atleast_2d(np.cov(z.T))
    weight, mean, cov = np.empty(k), np.empty((k, d)), np.empty((k, d, d))
    for j in range(k):
        points = z[cluster == j]
        mean[j] = points.mean(0) if len(points) else z.mean(0)
        centred = points - mean[j]
        # d + 1 pseudo-points make every initial covariance positive definite.
        cov[j] = (centred.T @ centred + (d + 1) * pooled * 0.1) / (len(points) + d + 1)
        cov[j] += max(reg_covar, 1e-9) * np.eye(d)
        weight[j] = (len(points) + 1) / (n + k)
    return weight / weight.sum(), mean, cov

"""Synthetic data with a closed-form solution: linear Gaussian data, and the linear VAE that is optimal on them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split


@dataclass(frozen=True)
class LinearOptimum:
    """The linear VAE that maximises the expected ELBO on Gaussian data, for a fixed decoder sigma; float64.

    Attributes:
        encoder_weight: [d, D], mean(x) = encoder_weight x + encoder_bias.
        encoder_bias: [d].
        log_var: [d], the posterior's, the same for every x.
        decoder_weight: [D, d], x = decoder_weight z + decoder_bias + sigma * noise.
        decoder_bias: [D].
        rate: [d], E KL(q(z_j|x) || p(z_j)) over the population, nats.
        elbo: the expected ELBO, nats; for this model also the expected log-likelihood.
    """

    encoder_weight: Float[Tensor, "d D"]
    encoder_bias: Float[Tensor, "d"]
    log_var: Float[Tensor, "d"]
    decoder_weight: Float[Tensor, "D d"]
    decoder_bias: Float[Tensor, "D"]
    rate: Float[Tensor, "d"]
    elbo: float


@dataclass(frozen=True)
class LinearGaussian:
    """x = W u + b + noise * e with u, e standard normal, for which every quantity of a linear VAE is known.

    At the optimum of the objective the aggregate posterior is exactly N(0, I), whatever sigma, while the rate
    grows without bound as sigma falls.

    Attributes:
        n_features: D, the dimension of x.
        latent_dim: the number of columns of W.
        noise: the standard deviation of the isotropic part.
        n_train: rows of the training split.
        n_validation: rows of the validation split.
        n_test: rows of the test split.
        data_seed: the seed of W, b and the draws.
    """

    name: str = "linear_gaussian"
    n_features: int = 16
    latent_dim: int = 4
    noise: float = 0.5
    n_train: int = 4000
    n_validation: int = 1000
    n_test: int = 2000
    data_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.latent_dim <= self.n_features:
            raise ValueError(
                f"latent_dim={self.latent_dim}: expected an integer from 1 to n_features={self.n_features}"
            )
        if not 0 < self.noise < math.inf:
            raise ValueError(f"noise={self.noise}: expected a positive number")
        for key in ("n_train", "n_validation", "n_test"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)}: expected at least 1")

    def weight(self) -> Float[Tensor, "D k"]:
        """Return W: orthogonal columns with lengths falling from 2 to 1, in a random rotation."""
        generator = stream(self.data_seed, "synthetic", "weight")
        square = torch.randn(self.n_features, self.latent_dim, generator=generator, dtype=torch.float64)
        columns = torch.linalg.qr(square).Q
        found: Tensor = columns * torch.linspace(2.0, 1.0, self.latent_dim, dtype=torch.float64)
        return found

    def mean(self) -> Float[Tensor, "D"]:
        """Return b, the population mean of x."""
        generator = stream(self.data_seed, "synthetic", "mean")
        return torch.randn(self.n_features, generator=generator, dtype=torch.float64)

    def covariance(self) -> Float[Tensor, "D D"]:
        """Return the population covariance W W' + noise^2 I."""
        weight = self.weight()
        return weight @ weight.T + self.noise**2 * torch.eye(self.n_features, dtype=torch.float64)

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n D"]:
        """Draw n rows of x, float64."""
        u = torch.randn(n, self.latent_dim, generator=generator, dtype=torch.float64)
        e = torch.randn(n, self.n_features, generator=generator, dtype=torch.float64)
        return u @ self.weight().T + self.mean() + self.noise * e

    def optimum(self, latent_dim: int, sigma: float) -> LinearOptimum:
        """Return the optimal linear VAE with `latent_dim` units and decoder standard deviation `sigma`.

        With eigenvalues l_1 >= l_2 ... and eigenvectors u_j of the covariance: decoder column
        sqrt(max(l_j - sigma^2, 0)) u_j, posterior variance sigma^2 / l_j and rate log(l_j / sigma^2) / 2
        for the units with l_j > sigma^2; the others are switched off (the posterior is the prior).

        **Source**: Tipping & Bishop 1999 (probabilistic PCA), with sigma fixed.

        Raises:
            ValueError: latent_dim is not from 1 to n_features, or sigma is not positive.
        """
        if not 1 <= latent_dim <= self.n_features:
            raise ValueError(f"latent_dim={latent_dim}: expected an integer from 1 to {self.n_features}")
        if not sigma > 0:
            raise ValueError(f"sigma={sigma}: expected a positive number")
        cov, mean = self.covariance(), self.mean()
        values, vectors = torch.linalg.eigh(cov)
        values, vectors = values.flip(0)[:latent_dim], vectors.flip(1)[:, :latent_dim]
        active = values > sigma**2
        length = (values - sigma**2).clamp(min=0).sqrt()
        encoder = torch.where(active, length / values, torch.zeros_like(values))[:, None] * vectors.T
        ratio = torch.where(active, values / sigma**2, torch.ones_like(values))
        decoder = vectors * length
        model_cov = decoder @ decoder.T + sigma**2 * torch.eye(self.n_features, dtype=torch.float64)
        elbo = -0.5 * (
            self.n_features * math.log(2 * math.pi)
            + float(torch.logdet(model_cov))
            + float(torch.linalg.solve(model_cov, cov).trace())
        )
        return LinearOptimum(encoder, -encoder @ mean, -ratio.log(), decoder, mean, 0.5 * ratio.log(), elbo)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return drawn splits; nothing is read from `root` and nothing is downloaded."""
        sizes = {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}
        train, validation, test = (
            Split(
                self.draw(n, generator=stream(self.data_seed, "synthetic", part)).float(),
                None,
                "float_vector",
            )
            for part, n in sizes.items()
        )
        provenance = {"source": "drawn", "data_seed": self.data_seed, "sizes": list(sizes.values())}
        return Dataset(self.name, train, validation, test, None, official=True, provenance=provenance)

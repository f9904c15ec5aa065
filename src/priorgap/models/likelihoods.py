"""The meaning of the decoder's raw output: p(x|z), its loss, its mean, its draws."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from priorgap.modalities import GapLayout
from priorgap.tables.layout import TableLayout

_LOG_2PI = math.log(2 * math.pi)


class Likelihood(nn.Module, ABC):
    """p(x|z) as a function of the decoder's raw output, factorised over the dimensions of x.

    Attributes:
        name: the name in messages, and of the file in conf/likelihood.
        unit_interval: whether x must be in [0, 1].
        absorbs_alpha: whether a learned scale compensates any weight of the reconstruction (`ElboLoss`).
        of_mean: whether E[x|z] determines p(x|z), so that `draw_at` can draw from it.
        smooth: whether `mean` has a gradient, through which a GAN is trained.
    """

    name: str
    unit_interval: ClassVar[bool] = False
    absorbs_alpha: ClassVar[bool] = False
    of_mean: ClassVar[bool] = False
    smooth: ClassVar[bool] = True

    def for_table(self, table: TableLayout | None) -> "Likelihood":
        """Return the likelihood with parameters for a table's columns; None: the data are no table.

        Raises:
            ValueError: the likelihood is one of tables, and the data are no table.
        """
        return self

    def for_gaps(self, gaps: GapLayout | None) -> "Likelihood":
        """Return the likelihood with parameters for missing-indicators; None: the data have none.

        Raises:
            ValueError: the data have missing-indicators, and the likelihood would treat these and missing values as
                ordinary values.
        """
        if gaps is not None and gaps.about:
            raise ValueError(
                f"likelihood={self.name}: the windows have missing-indicators (data.missing=mask); expected "
                "likelihood=gaussian_with_gaps, with decode=draw"
            )
        return self

    def for_shape(self, shape: tuple[int, ...]) -> "Likelihood":
        """Return the likelihood with options that depend on the kind of data resolved; images have three axes."""
        return self

    def generated(self, n_dims: int) -> "tuple[Likelihood, int]":
        """Return the distribution to which loss weights refer, and how many of x's n_dims dimensions it covers."""
        return self, n_dims

    @abstractmethod
    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return the negative log-likelihood without its constant, summed over dimensions, nats."""

    @abstractmethod
    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return E[x|z], or, where that is not a possible observation, one that represents it."""

    def expectation(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return E[x|z], even where it is not a possible observation."""
        return self.mean(raw)

    @abstractmethod
    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z) with its normaliser, summed over dimensions, nats.

        Args:
            raw: the decoder's output.
            x: the data.
            sigma: the standard deviation that the objective implies (`ElboLoss.sigma_x`); None means the likelihood's
                own. Ignored by likelihoods without such a parameter.
        """

    @abstractmethod
    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw x ~ p(x|z), on the CPU."""

    def draw_at(
        self, mean: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw x ~ p(x|z) given E[x|z], on the CPU; only where `of_mean` holds."""
        raise NotImplementedError(f"{self.name}: E[x|z] does not decide p(x|z)")

    def squared_error(self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]) -> Float[Tensor, "n"]:
        """Return |x - E[x|z]|^2, summed over dimensions."""
        return (self.expectation(raw) - x).square().flatten(1).sum(1)


class Bernoulli(Likelihood):
    """Independent Bernoulli dimensions with logits `raw`; x in [0, 1], where grey values count as probabilities."""

    name = "bernoulli"
    unit_interval: ClassVar[bool] = True
    of_mean: ClassVar[bool] = True

    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return the cross-entropy, summed over dimensions, nats."""
        return functional.binary_cross_entropy_with_logits(raw, x, reduction="none").flatten(1).sum(1)

    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return sigmoid(raw)."""
        return raw.sigmoid()

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return the cross-entropy, which has no constant and no sigma."""
        return self.reconstruction_loss(raw, x)

    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw zeros and ones."""
        return self.draw_at(self.mean(raw.cpu()), generator=generator)

    def draw_at(
        self, mean: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw zeros and ones with these probabilities."""
        uniform = torch.rand(mean.shape, generator=generator, dtype=mean.dtype)
        return (uniform < mean).to(mean.dtype)


class Gaussian(Likelihood):
    """x ~ N(m(raw), sigma^2 I) with a fixed sigma.

    Attributes:
        sigma: the standard deviation at alpha = beta = 1; the objective scales it (`ElboLoss.sigma_x`).
        squash: whether m is the sigmoid (so that images stay in [0, 1]) or the identity; None means the sigmoid
            exactly for images, resolved by `for_shape`.
    """

    name = "gaussian"
    of_mean: ClassVar[bool] = True

    def __init__(self, sigma: float = 1.0, squash: bool | None = None) -> None:
        super().__init__()
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma={sigma}: expected a positive number")
        self.sigma = float(sigma)
        self.squash = squash

    def for_shape(self, shape: tuple[int, ...]) -> "Gaussian":
        """Return the likelihood with `squash` resolved: the sigmoid exactly for images."""
        return Gaussian(self.sigma, len(shape) == 3 if self.squash is None else self.squash)

    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return |x - m|^2 / (2 sigma^2)."""
        return self.squared_error(raw, x) * (0.5 / self.sigma**2)

    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return m: sigmoid(raw) or raw.

        Raises:
            RuntimeError: `squash` is still None; build the model with `build_vae` or call `for_shape`.
        """
        if self.squash is None:
            raise RuntimeError("Gaussian(squash=None): call for_shape(shape) first")
        return raw.sigmoid() if self.squash else raw

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return |x - m|^2 / (2 sigma^2) + D/2 log(2 pi sigma^2), D the number of dimensions."""
        scale = self.sigma if sigma is None else sigma
        n_dims = math.prod(x.shape[1:])
        constant = 0.5 * n_dims * (_LOG_2PI + 2 * math.log(scale))
        return self.squared_error(raw, x) * (0.5 / scale**2) + constant

    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw the mean plus noise; the result may leave [0, 1]."""
        return self.draw_at(self.mean(raw.cpu()), generator=generator, sigma=sigma)

    def draw_at(
        self, mean: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw the mean plus noise."""
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + (self.sigma if sigma is None else sigma) * noise

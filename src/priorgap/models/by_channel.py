"""Likelihoods of unbounded values with one learned scale for each channel: Gaussian, and Student's t."""

import math
from abc import abstractmethod
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.models.learned_scale import check_positive
from priorgap.models.likelihoods import Likelihood

_LOG_2PI = math.log(2 * math.pi)


class _ByChannel(Likelihood):
    """x = raw + scale_c noise, independent over steps and channels; the channel is the last axis of x.

    A vector's channels are its columns, those of a series [steps, channels] are the same at all steps. The scales are
    learned with the model, so that none has to be chosen; they absorb alpha (`ElboLoss.in_sum_units`). The mean is
    the decoder's raw output.

    Attributes:
        initial_scale: the initial value of all scales.
        log_scale: the learned parameters, one for each channel; they exist only after `for_shape`.
    """

    absorbs_alpha: ClassVar[bool] = True
    of_mean: ClassVar[bool] = True

    def __init__(self, initial_scale: float, n_channels: int | None = None) -> None:
        super().__init__()
        check_positive("initial_scale", initial_scale)
        self.initial_scale = float(initial_scale)
        start = torch.full((n_channels or 0,), math.log(initial_scale))
        self.log_scale = nn.Parameter(start)

    @abstractmethod
    def _with_channels(self, n_channels: int) -> Self:
        """Return the same likelihood with this number of channels, each with a scale."""

    @abstractmethod
    def _standard(self, squares: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return -log p of noise without its constant, given its squares."""

    @abstractmethod
    def _constant(self) -> float:
        """Return the constant that `_standard` leaves out."""

    @abstractmethod
    def _noise(self, like: Float[Tensor, "n ..."], *, generator: torch.Generator) -> Float[Tensor, "n ..."]:
        """Return draws of the noise, on the CPU."""

    def for_shape(self, shape: tuple[int, ...]) -> Self:
        """Return the likelihood with a scale for each channel.

        Raises:
            ValueError: the data are images, whose values stay in [0, 1].
        """
        if len(shape) == 3:
            raise ValueError(
                f"likelihood={self.name}: for vectors and series, the data have shape {list(shape)}; expected "
                "likelihood=learned_gaussian"
            )
        return self._with_channels(shape[-1])

    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z) without its constant."""
        squares = ((x - raw) * (-self.log_scale).exp()).square()
        return (self._standard(squares) + self.log_scale).flatten(1).sum(1)

    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return raw, which is the mean."""
        return raw

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z) at the learned scales; sigma is ignored."""
        return self.reconstruction_loss(raw, x) + math.prod(x.shape[1:]) * self._constant()

    @torch.no_grad()
    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw raw plus scaled noise."""
        return self.draw_at(raw.cpu(), generator=generator)

    @torch.no_grad()
    def draw_at(
        self, mean: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw the mean plus scaled noise."""
        scale = self.log_scale.exp().to(mean.device, mean.dtype)
        return mean + scale * self._noise(mean, generator=generator)


class GaussianByChannel(_ByChannel):
    """x ~ N(raw, sigma_c^2) with one learned sigma for each channel.

    At a stationary point sigma_c^2 is channel c's mean squared error.
    """

    name = "gaussian_by_channel"

    def _with_channels(self, n_channels: int) -> "GaussianByChannel":
        return GaussianByChannel(self.initial_scale, n_channels)

    def _standard(self, squares: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        return 0.5 * squares

    def _constant(self) -> float:
        return 0.5 * _LOG_2PI

    def _noise(self, like: Float[Tensor, "n ..."], *, generator: torch.Generator) -> Float[Tensor, "n ..."]:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)


class StudentT(_ByChannel):
    """x = raw + s_c t, t with Student's distribution of nu degrees of freedom, with one learned s for each channel.

    Its tails are heavier than a Gaussian's, so that single outliers affect the mean and the scale less. The standard
    deviation of x is s_c sqrt(nu / (nu - 2)).

    Attributes:
        nu: degrees of freedom, above 2, so that the variance is finite.
    """

    name = "student_t"

    def __init__(self, initial_scale: float, nu: float, n_channels: int | None = None) -> None:
        super().__init__(initial_scale, n_channels)
        if not 2 < nu < math.inf:
            raise ValueError(f"nu={nu}: expected a number above 2")
        self.nu = float(nu)

    def _with_channels(self, n_channels: int) -> "StudentT":
        return StudentT(self.initial_scale, self.nu, n_channels)

    def _standard(self, squares: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        return 0.5 * (self.nu + 1) * torch.log1p(squares / self.nu)

    def _constant(self) -> float:
        half = 0.5 * self.nu
        return math.lgamma(half) - math.lgamma(half + 0.5) + 0.5 * math.log(self.nu * math.pi)

    def _noise(self, like: Float[Tensor, "n ..."], *, generator: torch.Generator) -> Float[Tensor, "n ..."]:
        normal = torch.randn(like.shape, generator=generator, dtype=torch.float64)
        # chi^2 with nu degrees of freedom is twice a gamma variable of shape nu / 2.
        shape = torch.full(like.shape, 0.5 * self.nu, dtype=torch.float64)
        chi2 = 2 * torch._standard_gamma(shape, generator=generator)
        return (normal * (self.nu / chi2).sqrt()).to(like.dtype)

"""Likelihoods with a learned width: one scale for all dimensions, trained with the model."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from priorgap.models.likelihoods import Likelihood

_LOG_2PI = math.log(2 * math.pi)
_N_LEVELS = 256
# The distance between two levels of an 8-bit image in [0, 1].
_STEP = 1 / (_N_LEVELS - 1)


def check_positive(key: str, value: float) -> None:
    """Refuse a scale that is not positive.

    Raises:
        ValueError: one line, with the key.
    """
    if not 0 < value < math.inf:
        raise ValueError(f"{key}={value}: expected a positive number")


def start_above(min_sigma: float, initial_sigma: float) -> float:
    """Return log(initial_sigma - min_sigma), the initial parameter of a scale that stays above min_sigma.

    Raises:
        ValueError: min_sigma is not positive, or not below initial_sigma; one line.
    """
    if not 0 < min_sigma < initial_sigma < math.inf:
        raise ValueError(
            f"likelihood.min_sigma={min_sigma}, likelihood.initial_sigma={initial_sigma}: expected positive "
            "numbers, the second the larger"
        )
    return math.log(initial_sigma - min_sigma)


class LearnedGaussian(Likelihood):
    """x ~ N(m(raw), sigma^2 I) with one learned sigma, shared by all dimensions and observations.

    At a stationary point sigma^2 is the mean squared error per dimension, so that no weight has to be chosen:
    alpha is absorbed (`ElboLoss.in_sum_units`).

    **Source**: Rybkin, Daniilidis & Levine (2021), "Simple and effective VAE training with calibrated decoders"
    (the sigma-VAE).

    Attributes:
        initial_sigma: the initial sigma.
        squash: whether m is the sigmoid or the identity; None means the sigmoid exactly for images.
        log_sigma: the learned parameter.
    """

    name = "learned_gaussian"
    absorbs_alpha: ClassVar[bool] = True
    of_mean: ClassVar[bool] = True

    def __init__(self, initial_sigma: float, squash: bool | None) -> None:
        super().__init__()
        check_positive("initial_sigma", initial_sigma)
        self.initial_sigma = float(initial_sigma)
        self.squash = squash
        self.log_sigma = nn.Parameter(torch.tensor(math.log(initial_sigma)))

    @property
    def sigma(self) -> float:
        """The learned standard deviation."""
        return float(self.log_sigma.detach().exp())

    def for_shape(self, shape: tuple[int, ...]) -> "LearnedGaussian":
        """Return the likelihood with `squash` resolved: the sigmoid exactly for images."""
        squash = len(shape) == 3 if self.squash is None else self.squash
        return LearnedGaussian(self.initial_sigma, squash)

    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return |x - m|^2 / (2 sigma^2) + D log sigma, without the constant D/2 log(2 pi)."""
        n_dims = math.prod(x.shape[1:])
        return self.squared_error(raw, x) * (0.5 * (-2 * self.log_sigma).exp()) + n_dims * self.log_sigma

    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return m: sigmoid(raw) or raw.

        Raises:
            RuntimeError: `squash` is still None; build the model with `build_vae` or call `for_shape`.
        """
        if self.squash is None:
            raise RuntimeError("LearnedGaussian(squash=None): call for_shape(shape) first")
        return raw.sigmoid() if self.squash else raw

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z) at the learned sigma, or at the given one."""
        log_sigma = self.log_sigma if sigma is None else torch.tensor(math.log(sigma), dtype=raw.dtype)
        n_dims = math.prod(x.shape[1:])
        quadratic = self.squared_error(raw, x) * (0.5 * (-2 * log_sigma).exp())
        return quadratic + n_dims * (log_sigma + 0.5 * _LOG_2PI)

    @torch.no_grad()
    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw the mean plus noise; the result may leave [0, 1]."""
        return self.draw_at(self.mean(raw.cpu()), generator=generator, sigma=sigma)

    @torch.no_grad()
    def draw_at(
        self, mean: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw the mean plus noise."""
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return mean + (self.sigma if sigma is None else sigma) * noise


class DiscretizedLogistic(Likelihood):
    """A distribution on the 256 levels k / 255 of an image: the logistic with mean sigmoid(raw), one learned scale s.

    Level k has the logistic's mass between k - 1/2 and k + 1/2 levels; the outermost levels have the rest on
    their side. It is a probability, not a density, and can be compared only with other distributions on 256 levels.

    **Source**: Salimans et al. (2017), "PixelCNN++", with one component and one scale.

    Attributes:
        initial_scale: the initial s, in grey values of [0, 1].
        log_scale: the learned parameter.
    """

    name = "discretized_logistic"
    unit_interval: ClassVar[bool] = True

    def __init__(self, initial_scale: float) -> None:
        super().__init__()
        check_positive("initial_scale", initial_scale)
        self.initial_scale = float(initial_scale)
        self.log_scale = nn.Parameter(torch.tensor(math.log(initial_scale)))

    def for_shape(self, shape: tuple[int, ...]) -> "DiscretizedLogistic":
        """Return a likelihood for images.

        Raises:
            ValueError: the data are not images.
        """
        if len(shape) != 3:
            raise ValueError(
                f"likelihood={self.name}: the data have shape {list(shape)}; expected images [c, h, w]"
            )
        return DiscretizedLogistic(self.initial_scale)

    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z): the normaliser depends on s, so nothing is left out.

        sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)) keeps its precision far from the mean.
        """
        inverse = (-self.log_scale).exp()
        centred = x - raw.sigmoid()
        above, below = (centred + 0.5 * _STEP) * inverse, (centred - 0.5 * _STEP) * inverse
        log_above, log_below = functional.logsigmoid(above), functional.logsigmoid(-below)
        inside = log_above + log_below + torch.log(-torch.expm1(-_STEP * inverse))
        log_p = torch.where(x < 0.5 * _STEP, log_above, torch.where(x > 1 - 0.5 * _STEP, log_below, inside))
        return -log_p.flatten(1).sum(1)

    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return E[x|z] = sum_k P(x > level k) / 255 as an integral, s (log(1 + e^(m/s)) - log(1 + e^((m-1)/s))).

        Accurate to 1e-3 of a grey value where s is at least one level, and always to half a level.
        """
        scale = self.log_scale.exp()
        centre = raw.sigmoid()
        return scale * (functional.softplus(centre / scale) - functional.softplus((centre - 1) / scale))

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z); sigma is ignored."""
        return self.reconstruction_loss(raw, x)

    @torch.no_grad()
    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw from the logistic, and round to the nearest of the 256 levels."""
        uniform = torch.rand(raw.shape, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
        x = raw.cpu().sigmoid() + self.log_scale.exp().cpu() * uniform.logit().to(raw.dtype)
        return (x.clamp(0, 1) / _STEP).round() * _STEP

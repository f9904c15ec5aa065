"""The VampPrior: a mixture of the model's own posteriors at learned pseudo-inputs."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.priors.base import Prior, check_count
from priorgap.priors.mixture import mixture_log_prob

Squash = Literal["sigmoid", "hardtanh"]
_INITIAL_STD = 0.5
# With this gain the steepest slope of the sigmoid is 1, so that a step in u is about a step in grey values, and no
# value has a zero gradient.
_SIGMOID_GAIN = 4.0


@dataclass(frozen=True)
class Vamp:
    """Sizes of a `VampPrior`.

    Attributes:
        dim: dimension of z.
        n_pseudo_inputs: K.
        squash: how raw pseudo-inputs become images: "sigmoid" (of 4 raw) or "hardtanh" (raw cut to [0, 1], as
            published); None is sigmoid.
        initial_mean, initial_std: mean and standard deviation of the normal distribution from which raw pseudo-inputs
        start; None is 0 and 0.5.
    """

    dim: int
    n_pseudo_inputs: int
    squash: Squash | None = None
    initial_mean: float | None = None
    initial_std: float | None = None

    def __post_init__(self) -> None:
        check_count("dim", self.dim)
        check_count("n_pseudo_inputs", self.n_pseudo_inputs)
        if self.squash is not None and self.squash not in get_args(Squash):
            raise ValueError(f"squash={self.squash}: expected sigmoid, hardtanh or null")
        mean, std = self._start
        if not math.isfinite(mean):
            raise ValueError(f"initial_mean={mean}: expected a number, or null")
        if not 0 < std < math.inf:
            raise ValueError(f"initial_std={std}: expected a number above 0, or null")
        if self.squash == "hardtanh" and not 0 <= mean <= 1:
            # Outside of [0, 1] the gradient is 0, and such pseudo-inputs would stay black or white.
            raise ValueError(f"initial_mean={mean}: with squash=hardtanh expected a number from 0 to 1")

    @property
    def _start(self) -> tuple[float, float]:
        mean, std = self.initial_mean, self.initial_std
        return 0.0 if mean is None else mean, _INITIAL_STD if std is None else std

    def build(self, encoder: nn.Module, shape: tuple[int, ...]) -> "VampPrior":
        """Draw the pseudo-inputs."""
        mean, std = self._start
        return VampPrior(
            self.dim,
            self.n_pseudo_inputs,
            encoder,
            shape,
            squash=self.squash or "sigmoid",
            initial_mean=mean,
            initial_std=std,
        )


class VampPrior(Prior):
    """p(z) = (1/K) sum_k q(z | u_k), u_k learned pseudo-inputs, q the model's own encoder.

    The encoder belongs to the model and is not registered here: its weights are in the model's state only once, and
    move between devices and precisions with the model, not with the prior.

    **Source**: Tomczak & Welling (2018), "VAE with a VampPrior".

    Attributes:
        raw_inputs: pseudo-inputs [K, *shape]; images are squashed, so that they stay in [0, 1].
    """

    def __init__(
        self,
        dim: int,
        n_pseudo_inputs: int,
        encoder: nn.Module,
        shape: tuple[int, ...],
        *,
        squash: Squash = "sigmoid",
        initial_mean: float = 0.0,
        initial_std: float = _INITIAL_STD,
    ) -> None:
        super().__init__(dim)
        self.raw_inputs = nn.Parameter(initial_mean + initial_std * torch.randn(n_pseudo_inputs, *shape))
        self._squash = squash
        # The encoder is wrapped in a tuple, because a module that is set as an attribute becomes part of the state.
        self._encoder = (encoder,)

    def pseudo_inputs(self) -> Float[Tensor, "k ..."]:
        """Return u in the form of data: images in [0, 1], vectors unchanged."""
        if self.raw_inputs.ndim != 4:
            return self.raw_inputs
        if self._squash == "hardtanh":
            return nn.functional.hardtanh(self.raw_inputs, 0.0, 1.0)
        return (_SIGMOID_GAIN * self.raw_inputs).sigmoid()

    def components(self) -> tuple[Float[Tensor, "k d"], Float[Tensor, "k d"]]:
        """Return means and log-variances of q(z | u_k)."""
        mean, log_var = self._encoder[0](self.pseudo_inputs()).chunk(2, dim=1)
        return mean, log_var

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log (1/K) sum_k N(z | mean_k, s_k^2), nats."""
        mean, log_var = (t.to(z.dtype) for t in self.components())
        log_weight = torch.full_like(mean[:, 0], -math.log(len(mean)))
        return mixture_log_prob(z, log_weight, mean, 0.5 * log_var)

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows: the noise first, then the choice among all K components.

        Raises:
            ValueError: n is below 1.
        """
        check_count("n", n)
        mean, log_var = self.components()
        noise = torch.randn(n, self.dim, generator=generator)
        part = torch.randint(len(mean), (n,), generator=generator)
        return mean[part] + (0.5 * log_var).exp()[part] * noise

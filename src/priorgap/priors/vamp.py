"""The VampPrior: a mixture of the model's own posteriors at learned pseudo-inputs."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.priors.base import Prior, check_count
from priorgap.priors.mixture import mixture_log_prob

_INITIAL_STD = 0.5
# the steepest slope of sigmoid(4 u) is 1: a step in u is a step in grey values, and no value is a dead end
_SIGMOID_GAIN = 4.0


@dataclass(frozen=True)
class Vamp:
    """Sizes of a `VampPrior`.

    Attributes:
        dim: dimension of z.
        n_pseudo_inputs: K.
    """

    dim: int
    n_pseudo_inputs: int

    def __post_init__(self) -> None:
        check_count("dim", self.dim)
        check_count("n_pseudo_inputs", self.n_pseudo_inputs)

    def build(self, encoder: nn.Module, shape: tuple[int, ...]) -> "VampPrior":
        """Draw the pseudo-inputs."""
        return VampPrior(self.dim, self.n_pseudo_inputs, encoder, shape)


class VampPrior(Prior):
    """p(z) = (1/K) sum_k q(z | u_k), u_k learned pseudo-inputs, q the model's own encoder.

    The encoder is the model's, used here but not registered: its weights stand in the model's state once, and
    move between devices and precisions with the model, not with the prior.

    **Source**: Tomczak & Welling (2018), "VAE with a VampPrior".

    Attributes:
        raw_inputs: pseudo-inputs [K, *shape]; images are sigmoid(4 raw), so that they stay in [0, 1].
    """

    def __init__(self, dim: int, n_pseudo_inputs: int, encoder: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__(dim)
        self.raw_inputs = nn.Parameter(_INITIAL_STD * torch.randn(n_pseudo_inputs, *shape))
        # in a tuple: a module that is set as an attribute becomes a part of the state
        self._encoder = (encoder,)

    def pseudo_inputs(self) -> Float[Tensor, "k ..."]:
        """Return u as data: images in [0, 1], vectors as they are."""
        images = self.raw_inputs.ndim == 4
        return (_SIGMOID_GAIN * self.raw_inputs).sigmoid() if images else self.raw_inputs

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
        """Draw n rows: the noise first, then which of all K components.

        Raises:
            ValueError: n is below 1.
        """
        check_count("n", n)
        mean, log_var = self.components()
        noise = torch.randn(n, self.dim, generator=generator)
        part = torch.randint(len(mean), (n,), generator=generator)
        return mean[part] + (0.5 * log_var).exp()[part] * noise

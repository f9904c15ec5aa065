"""The continuous Bernoulli likelihood: the Bernoulli's cross-entropy made a density on [0, 1]."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from priorgap.models.likelihoods import Likelihood

_LOG_2 = math.log(2.0)
# Below this size the closed forms divide two small numbers, so series are used, which are exact to 1e-9
# there.
_SMALL = 0.1


class ContinuousBernoulli(Likelihood):
    """p(x|z) = C(l) exp(l x) / (1 + exp l) on [0, 1] in each dimension, l = raw, C(l) = l / tanh(l / 2).

    The cross-entropy of grey values is not the negative logarithm of a density; with the factor C it is. The
    mean is not sigmoid(l); `mean` returns the mean.

    **Source**: Loaiza-Ganem & Cunningham (2019), "The continuous Bernoulli".
    """

    name = "continuous_bernoulli"
    unit_interval: ClassVar[bool] = True

    def reconstruction_loss(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z); the normaliser depends on raw, so nothing is left out."""
        cross_entropy = functional.binary_cross_entropy_with_logits(raw, x, reduction="none")
        return (cross_entropy - log_normaliser(raw)).flatten(1).sum(1)

    def mean(self, raw: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return 1 / (1 - exp(-l)) - 1 / l, by its series near l = 0."""
        small = raw.abs() < _SMALL
        safe = torch.where(small, torch.ones_like(raw), raw)
        near = 0.5 + raw / 12 - raw**3 / 720
        return torch.where(small, near, -1 / torch.expm1(-safe) - 1 / safe)

    def negative_log_likelihood(
        self, raw: Float[Tensor, "n ..."], x: Float[Tensor, "n ..."], *, sigma: float | None = None
    ) -> Float[Tensor, "n"]:
        """Return -log p(x|z); there is no sigma."""
        return self.reconstruction_loss(raw, x)

    def draw(
        self, raw: Float[Tensor, "n ..."], *, generator: torch.Generator, sigma: float | None = None
    ) -> Float[Tensor, "n ..."]:
        """Draw by the inverse distribution function, log(1 + u (exp(l) - 1)) / l, mirrored for l > 0."""
        uniform = torch.rand(raw.shape, generator=generator, dtype=raw.dtype)
        raw = raw.cpu()
        negative = -raw.abs().clamp(min=1e-6)
        low = torch.log1p(uniform * torch.expm1(negative)) / negative
        return torch.where(raw > 0, 1 - low, low).clamp(0, 1)


def log_normaliser(raw: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return log(l / tanh(l / 2)), stable near l = 0 (by its series) and at any size."""
    small = raw.abs() < _SMALL
    size = torch.where(small, torch.ones_like(raw), raw).abs()
    far = size.log() - torch.log1p(-2 / (size.exp() + 1))
    square = raw.square()
    near = _LOG_2 + square / 12 - 7 * square.square() / 1440
    return torch.where(small, near, far)

"""A mixture of Gaussians as a prior, trained with the model."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.priors.base import Prior, check_count

Covariance = Literal["diag", "full"]
_LOG_2PI = math.log(2 * math.pi)
# The variance 1 is shared equally between the means and the components, so that the initial distribution is about
# N(0, I).
_INITIAL_STD = math.sqrt(0.5)
_CHUNK_ELEMENTS = 2**22
# The largest error of a squared distance, in nats, that is accepted for speed.
_EXPANDED_ERROR = 1e-9


@dataclass(frozen=True)
class Mixture:
    """Sizes of a `MixturePrior`.

    Attributes:
        dim: dimension of z.
        n_components: K.
        covariance: the form of each component's covariance, "diag" or "full".
    """

    dim: int
    n_components: int
    covariance: Covariance

    def __post_init__(self) -> None:
        check_count("dim", self.dim)
        check_count("n_components", self.n_components)
        if self.covariance not in get_args(Covariance):
            raise ValueError(f"covariance={self.covariance}: expected diag or full")

    def build(self, encoder: nn.Module, shape: tuple[int, ...]) -> "MixturePrior":
        """Draw the means; all components start with the same weight and spread."""
        return MixturePrior(self.dim, self.n_components, full=self.covariance == "full")


class MixturePrior(Prior):
    """p(z) = sum_k w_k N(z | m_k, L_k L_k'), L_k diagonal or lower triangular with a positive diagonal.

    Attributes:
        logits: w = softmax(logits), [K].
        mean: m, [K, d].
        log_std: log of the diagonal of L, [K, d].
        lower: L below its diagonal (the rest is not read), [K, d, d]; None for diagonal components.
    """

    lower: nn.Parameter | None

    def __init__(self, dim: int, n_components: int, *, full: bool) -> None:
        super().__init__(dim)
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.mean = nn.Parameter(_INITIAL_STD * torch.randn(n_components, dim))
        self.log_std = nn.Parameter(torch.full((n_components, dim), math.log(_INITIAL_STD)))
        self.lower = nn.Parameter(torch.zeros(n_components, dim, dim)) if full else None

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log sum_k w_k N(z | m_k, L_k L_k'), nats."""
        log_weight = self.logits.to(z.dtype).log_softmax(0)
        mean, log_std = self.mean.to(z.dtype), self.log_std.to(z.dtype)
        factor = None if self.lower is None else self._factor().to(z.dtype)
        return mixture_log_prob(z, log_weight, mean, log_std, factor)

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows: the noise first, then the components.

        Raises:
            ValueError: n is below 1.
        """
        check_count("n", n)
        noise = torch.randn(n, self.dim, generator=generator)
        part = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        if self.lower is None:
            return self.mean[part] + self.log_std.exp()[part] * noise
        return self.mean[part] + (self._factor()[part] @ noise[:, :, None]).squeeze(2)

    def _factor(self) -> Float[Tensor, "k d d"]:
        assert self.lower is not None
        return self.lower.tril(-1) + torch.diag_embed(self.log_std.exp())


def mixture_log_prob(
    z: Float[Tensor, "n d"],
    log_weight: Float[Tensor, "k"],
    mean: Float[Tensor, "k d"],
    log_std: Float[Tensor, "k d"],
    factor: Float[Tensor, "k d d"] | None = None,
) -> Float[Tensor, "n"]:
    """Return the log-density of a Gaussian mixture, nats, in memory that does not grow with n.

    Args:
        z: the points.
        log_weight: logs of the weights.
        mean: the components' means.
        log_std: logs of the components' standard deviations, or of the diagonal of `factor`.
        factor: Cholesky factors of the covariances; None for diagonal ones.
    """
    constant = log_weight - log_std.sum(1) - 0.5 * mean.shape[1] * _LOG_2PI
    if factor is None and _may_be_expanded(z, mean, log_std):
        return torch.logsumexp(constant - 0.5 * _expanded_distances(z, mean, log_std), 1)
    parts = []
    for rows in z.split(max(1, _CHUNK_ELEMENTS // mean.numel())):
        centred = rows[:, None, :] - mean
        if factor is None:
            white = centred * (-log_std).exp()
        else:
            white = torch.linalg.solve_triangular(factor, centred.permute(1, 2, 0), upper=False)
            white = white.permute(2, 0, 1)
        parts.append(torch.logsumexp(constant - 0.5 * white.square().sum(2), 1))
    return torch.cat(parts)


def _may_be_expanded(z: Tensor, mean: Tensor, log_std: Tensor) -> bool:
    """Return whether |z|² - 2 z m + |m|² is precise enough: in float64, with all points near the components."""
    if z.dtype != torch.float64 or len(z) == 0 or z.requires_grad:
        return False
    size = torch.maximum(z.detach().abs().amax(0), mean.detach().abs().amax(0)) * (
        -log_std.detach()
    ).exp().amax(0)
    return bool(4 * size.square().sum() * torch.finfo(z.dtype).eps < _EXPANDED_ERROR)


def _expanded_distances(z: Tensor, mean: Tensor, log_std: Tensor) -> Float[Tensor, "n k"]:
    """Return the squared distances in standard deviations by two matrix products."""
    precision = (-2 * log_std).exp()
    cross = z.square() @ precision.T - 2 * z @ (precision * mean).T
    return cross + (precision * mean.square()).sum(1)

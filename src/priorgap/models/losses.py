"""The training objective alpha * reconstruction + beta * KL, and the meaning of its weights."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.models.likelihoods import Gaussian, Likelihood
from priorgap.priors.base import Prior


@dataclass(frozen=True)
class LossTerms:
    """The loss terms of a batch before weighting, nats.

    Attributes:
        reconstruction: the likelihood's loss of each row.
        rate: KL of each row and unit; or, with `drawn`, one unbiased draw of its sum, [n, 1].
        drawn: whether the rate is a Monte Carlo draw, because the prior has no closed form.
    """

    reconstruction: Float[Tensor, "n"]
    rate: Float[Tensor, "n d"]
    drawn: bool = False


def objective(
    terms: LossTerms, alpha: float, beta: float, free_bits: float | None = None
) -> Float[Tensor, ""]:
    """Return the mean over the batch of alpha * reconstruction + beta * (KL summed over units).

    With `free_bits` = f the KL of each unit counts as max(f, its mean over the batch): up to f the use of a unit
    costs nothing.

    **Source**: Kingma et al. (2016), "Improving variational inference with inverse autoregressive flow" (free
    bits, by the mean over a minibatch; here each unit is a group of its own).
    """
    if free_bits is None:
        return alpha * terms.reconstruction.mean() + beta * terms.rate.sum(1).mean()
    return alpha * terms.reconstruction.mean() + beta * terms.rate.mean(0).clamp(min=free_bits).sum()


@dataclass(frozen=True)
class ElboLoss:
    """Weights of the two terms of the negative ELBO.

    Only alpha / beta matters, up to the optimiser's scale. With `reduction="sum"` the reconstruction is the
    negative log-likelihood without its constant, summed over the D dimensions (Gaussian: SSE / (2 sigma^2)).
    With `reduction="mean"` alpha weighs a mean over dimensions as it is often coded: the mean squared error
    for the Gaussian, which is 2 alpha sigma^2 / D in sum units, and the mean cross-entropy for the Bernoulli,
    alpha / D in sum units. The KL is a sum over units in both. A likelihood with a learned sigma absorbs alpha: alpha
    |x - m|^2 / (2 sigma^2) + D log sigma has its minimum over sigma at alpha times the mean squared error, where the
    weight of the error no longer depends on alpha.

    Attributes:
        alpha: weight of the reconstruction, above 0.
        beta: weight of the KL, 0 or more.
        reduction: the units of alpha.
        beta_warmup_epochs: epochs W of training at a lower weight of the KL, beta (e + 1) / (W + 1) in epoch e
            from 0; None for no warm-up. Validation losses, and so early stopping, always use beta.
        free_bits: nats that each unit's KL, averaged over a batch, may have at no cost (`objective`); None for none.
            Validation losses do not use them.
    """

    alpha: float = 1.0
    beta: float = 1.0
    reduction: Literal["sum", "mean"] = "sum"
    beta_warmup_epochs: int | None = None
    free_bits: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"loss.alpha={self.alpha}: expected a number above 0")
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"loss.beta={self.beta}: expected a number of at least 0")
        if self.reduction not in ("sum", "mean"):
            raise ValueError(f"loss.reduction={self.reduction}: expected sum or mean")
        epochs, bits = self.beta_warmup_epochs, self.free_bits
        if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1):
            raise ValueError(f"loss.beta_warmup_epochs={epochs}: expected an integer of at least 1, or null")
        if bits is not None and not 0 < bits < math.inf:
            raise ValueError(f"loss.free_bits={bits}: expected a number above 0, or null")

    def beta_at(self, epoch: int) -> float:
        """Return the weight of the KL in an epoch of training, counted from 0."""
        if self.beta_warmup_epochs is None:
            return self.beta
        return self.beta * min(1.0, (epoch + 1) / (self.beta_warmup_epochs + 1))

    def check_prior(self, prior: Prior) -> None:
        """Refuse a prior for which the objective is not defined.

        Raises:
            ValueError: there are free bits, and the prior has no KL of single units.
        """
        zero = torch.zeros(1, prior.dim)
        if self.free_bits is not None and prior.kl(zero, zero) is None:
            raise ValueError(
                f"loss.free_bits={self.free_bits}: {type(prior).__name__} has no KL per unit; expected null, or "
                "prior=standard_normal"
            )

    def in_sum_units(self, likelihood: Likelihood, n_dims: int) -> "ElboLoss":
        """Return the same objective with alpha for `reduction="sum"`; alpha is 1 where the likelihood absorbs it."""
        likelihood, n_dims = likelihood.generated(n_dims)
        if likelihood.absorbs_alpha:
            return replace(self, alpha=1.0, reduction="sum")
        if self.reduction == "sum":
            return self
        factor = 2 * likelihood.sigma**2 if isinstance(likelihood, Gaussian) else 1.0
        return replace(self, alpha=self.alpha * factor / n_dims, reduction="sum")

    def sigma_x(self, likelihood: Likelihood, n_dims: int) -> float | None:
        """Return the decoder's standard deviation that the weights imply, sigma sqrt(beta / alpha).

        None where there is none: for a likelihood other than a Gaussian with fixed sigma, or beta = 0.
        """
        likelihood, n_dims = likelihood.generated(n_dims)
        if not isinstance(likelihood, Gaussian) or self.beta == 0:
            return None
        return likelihood.sigma * math.sqrt(self.beta / self.in_sum_units(likelihood, n_dims).alpha)

    def describe(self, likelihood: Likelihood, n_dims: int) -> str:
        """Return one line that states the weights, their units and the sigma they imply."""
        likelihood, n_dims = likelihood.generated(n_dims)
        alpha = self.in_sum_units(likelihood, n_dims).alpha
        line = f"alpha={self.alpha:g}, beta={self.beta:g}, reduction={self.reduction}"
        if self.reduction == "mean":
            line += f" (alpha={alpha:.6g} on the sum over {n_dims} dimensions)"
        if likelihood.absorbs_alpha:
            return f"{line}; {likelihood.name} likelihood: its learned sigma absorbs alpha"
        sigma = self.sigma_x(likelihood, n_dims)
        if sigma is not None:
            return f"{line}; Gaussian likelihood: sigma_x = {sigma:.6g}"
        return f"{line}; {likelihood.name} likelihood: the weights imply no sigma_x"

"""Lower and upper bounds of KL(q(z) || p(z)), and a biased number that papers often report instead."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.checks import check_posteriors, check_vector
from priorgap.estimators.gaussian import standard_normal_log_prob
from priorgap.estimators.mixture import mixture_log_prob
from priorgap.estimators.uncertainty import Estimate, mean_estimate, normal_quantile

LogDensity = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bracket:
    """A lower and an upper end of KL(q || p), nats; each end bounds it in expectation.

    Attributes:
        lower, upper: the ends, with standard errors over images.
        largest_share: the larger of both ends' `largest_share`; None where it is not known.
    """

    lower: Estimate
    upper: Estimate
    largest_share: float | None = None

    def limits(self, level: float = 0.975) -> tuple[float, float]:
        """Return (lower point - z se, upper point + z se), at least 0, each end a one-sided limit at `level`.

        The limits are asymptotic: they assume that a mean over images is normal, which needs more images where tails
        are heavy (`heavy_tails`).
        """
        z = normal_quantile(level)
        low, high = self.lower.value - z * _known(self.lower), self.upper.value + z * _known(self.upper)
        return max(0.0, low), max(0.0, high)

    def resolved(self, tolerance: float = 0.5, *, level: float = 0.975) -> bool:
        """Return whether the limits are at most `tolerance` nats apart."""
        low, high = self.limits(level)
        return high - low <= tolerance


def _known(estimate: Estimate) -> float:
    if estimate.std_error is None:
        raise ValueError("an end of the bracket has no standard error: expected at least 2 images")
    return estimate.std_error


def kl_lower_bound(log_f: Float[Tensor, "n *k"], log_p: Float[Tensor, "n *k"]) -> Estimate:
    """Return the mean of log f(z) - log p(z) over held-out draws: a lower end of KL(q || p).

    E_q[log f - log p] = KL(q || p) - KL(q || f) <= KL(q || p), for any density f that was neither fitted nor
    chosen on these draws. The result is exactly the gain in ELBO when f replaces p as the prior.

    Args:
        log_f: log f at k draws of the posterior of each of n held-out images ([n] is taken as k = 1).
        log_p: log p at the same draws.

    Returns:
        Nats. Biased downwards as a point estimate, by KL(q || f). The draws of an image are averaged before
        the standard error is taken over images.

    Example:
        >>> z = torch.full((4, 1), 2.0)
        >>> log_f, log_p = standard_normal_log_prob(z - 2.0), standard_normal_log_prob(z)
        >>> kl_lower_bound(log_f, log_p).value
        2.0
    """
    if log_f.shape != log_p.shape or log_f.ndim not in (1, 2):
        raise ValueError(f"log_f has shape {tuple(log_f.shape)}: expected [n, k], that of log_p")
    gain = log_f.double() - log_p.double()
    return mean_estimate(gain if gain.ndim == 1 else gain.mean(1))


def kl_upper_bound(
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    *,
    generator: torch.Generator,
    n_draws: int = 1,
    log_prior: LogDensity = standard_normal_log_prob,
) -> Estimate:
    """Return KL(q_n || p) of the mixture q_n over n held-out posteriors: an upper end of KL(q || p).

    q_n = (1/n) sum_i q(z|x_i) has mean q, and KL is convex: E KL(q_n || p) >= KL(q || p). Each posterior's
    draws are scored by the mixture that contains it, which is a stratified draw of q_n itself.

    Args:
        mean: posterior means of images on which the encoder was not trained.
        log_var: their log-variances.
        generator: draws z.
        n_draws: draws a posterior.
        log_prior: log p.

    Returns:
        Nats. Biased upwards; it is at least rate - log n, so it saturates when the rate exceeds log n. The
        standard error is over images, with the mixture held fixed.

    Raises:
        ValueError: fewer than 2 images or n_draws < 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> mean, log_var = torch.zeros(200, 2), torch.zeros(200, 2)
        >>> round(abs(kl_upper_bound(mean, log_var, generator=g).value), 6)  # q(z) is the prior
        0.0
    """
    return mean_estimate(
        kl_upper_terms(mean, log_var, generator=generator, n_draws=n_draws, log_prior=log_prior)
    )


def kl_upper_terms(
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    *,
    generator: torch.Generator,
    n_draws: int = 1,
    log_prior: LogDensity = standard_normal_log_prob,
) -> Float[Tensor, "n"]:
    """Return each image's contribution to `kl_upper_bound`, which is their mean; same arguments and errors.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> tuple(kl_upper_terms(torch.zeros(50, 2), torch.zeros(50, 2), generator=g).shape)
        (50,)
    """
    check_posteriors(mean, log_var, min_rows=2)
    if n_draws < 1:
        raise ValueError(f"n_draws={n_draws}: expected an integer >= 1")
    return _in_sample_terms(mean, log_var, mean, log_var, n_draws, log_prior, generator)


def largest_share(terms: Float[Tensor, "n"]) -> float:
    """Return the share of one term in the sum of squared deviations from the mean: 0 for equal terms, at most 1.

    It vanishes as n grows if the terms have a finite variance, which a standard error requires; otherwise it does not
    vanish for any n.

    Raises:
        ValueError: fewer than 2 terms.

    Example:
        >>> round(largest_share(torch.tensor([0.0, 0.0, 0.0, 4.0])), 2)
        0.75
    """
    check_vector("terms", terms, min_length=2)
    squared = (terms.double() - terms.double().mean()).square()
    total = float(squared.sum())
    return float(squared.max()) / total if total > 0 else 0.0


def heavy_tails(share: float, n: int) -> bool:
    """Return whether the largest of n terms has a larger share than squares of normal variables would give it.

    Those have a share of about (2 log n)² / (2 n); the limit is one and a half times that, and at least 0.1.

    Example:
        >>> heavy_tails(0.9, 1000), heavy_tails(0.001, 1000)
        (True, False)
    """
    return share > max(0.1, 1.5 * (2 * math.log(n)) ** 2 / (2 * n))


def upper_floor(rate: float, n: int) -> float:
    """Return a floor for every distribution-free upper limit of KL(q || p) from n images: rate - 2 log n, or 0.

    KL(q || p) = rate - I(x; z), and a lower limit of mutual information that holds for every distribution with
    reasonable probability is at most about 2 log n. Where the floor is above 0 the mismatch cannot be resolved from n
    images.

    **Source**: McAllester & Stratos (2020), "Formal limitations on the measurement of mutual information".

    Raises:
        ValueError: n is below 1.

    Example:
        >>> round(upper_floor(20.0, 10_000), 2)  # 20 - 2 log 10,000
        1.58
    """
    if n < 1:
        raise ValueError(f"n={n}: expected an integer >= 1")
    return max(0.0, rate - 2 * math.log(n))


def rows_per_parameter(n: int, dim: int) -> float:
    """Return n over the number of parameters of a full Gaussian, d (d + 3) / 2.

    Below 2 a lower end of 0 is no evidence against a mismatch, because no fitted density could have shown one.

    Example:
        >>> rows_per_parameter(650, 10)
        10.0
    """
    return n / (dim * (dim + 3) / 2)


def train_mixture_kl(
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    *,
    n_draws: int,
    generator: torch.Generator,
    log_prior: LogDensity = standard_normal_log_prob,
) -> Estimate:
    """Return KL(q_n || p) for the mixture q_n over all *training* posteriors: a description, not an end.

    Published tables report it as "KL of the aggregate posterior" (Hoffman & Johnson 2016). It is at least rate - log
    n and mostly reflects log n; moreover, training posteriors are not draws from the population.

    Args:
        mean: posterior means of all training images.
        log_var: their log-variances.
        n_draws: how many images, at random without replacement, are drawn from and averaged over.
        generator: chooses the images and draws z.
        log_prior: log p.

    Raises:
        ValueError: n_draws is not from 2 to n.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> mean, log_var = torch.zeros(200, 2), torch.zeros(200, 2)
        >>> round(abs(train_mixture_kl(mean, log_var, n_draws=100, generator=g).value), 6)
        0.0
    """
    check_posteriors(mean, log_var, min_rows=2)
    if not 2 <= n_draws <= len(mean):
        raise ValueError(f"n_draws={n_draws}: expected an integer from 2 to {len(mean)}")
    chosen = torch.randperm(len(mean), generator=generator)[:n_draws]
    return mean_estimate(
        _in_sample_terms(mean[chosen], log_var[chosen], mean, log_var, 1, log_prior, generator)
    )


def _in_sample_terms(
    mean: Tensor,
    log_var: Tensor,
    mixture_mean: Tensor,
    mixture_log_var: Tensor,
    n_draws: int,
    log_prior: LogDensity,
    generator: torch.Generator,
) -> Tensor:
    """Return, per posterior, the mean over its draws of log mixture - log prior."""
    noise = torch.randn((n_draws, *mean.shape), generator=generator, dtype=mean.dtype)
    z = (mean + (0.5 * log_var).exp() * noise).reshape(-1, mean.shape[1])
    terms = mixture_log_prob(z, mixture_mean, mixture_log_var) - log_prior(z).double()
    return terms.view(n_draws, len(mean)).mean(0)

"""Lower bounds of log p(x) by importance weighting, and what the encoder loses against the best posterior."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from priorgap.estimators.checks import check_posteriors
from priorgap.estimators.gaussian import LOG_2PI

# Maps (z [m, d], row of each z's image [m]) to log p(x | z) [m] in nats; differentiable in z.
LogLikelihood = Callable[[Tensor, Tensor], Tensor]
LogDensity = Callable[[Tensor], Tensor]


def unit_log_prob(z: Float[Tensor, "m d"]) -> Float[Tensor, "m"]:
    """Return log N(z | 0, I), nats, float64, differentiable (and unchecked: called at every step).

    Example:
        >>> round(float(unit_log_prob(torch.zeros(1, 2))), 3)  # -log 2π
        -1.838
    """
    return -0.5 * (z.double().square() + LOG_2PI).sum(1)


def importance_weighted_bounds(
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    *,
    n_draws: Sequence[int],
    log_likelihood: LogLikelihood,
    generator: torch.Generator,
    log_prior: LogDensity = unit_log_prob,
    chunk: int = 1000,
) -> Float[Tensor, "n k"]:
    """Return importance-weighted lower bounds of log p(x_i), one column for each number of draws k.

    log (1/k) sum over k draws z of q(z|x_i) of w, w = p(x_i|z) p(z) / q(z|x_i). Its expectation is the ELBO at k = 1,
    grows with k and never exceeds log p(x_i). All columns use the same max(n_draws) draws: a smaller k takes the mean
    over all complete groups of k draws. Memory is `chunk` rows of z and max(n_draws) weights.

    Args:
        mean, log_var: posteriors of n images.
        n_draws: numbers of draws, each at least 1.
        log_likelihood: log p(x|z) of image i at rows z, including its normalising constant.
        generator: draws z, image by image, so that results do not depend on `chunk`.
        log_prior: log p(z).
        chunk: the number of rows of z that are decoded at a time.

    Returns:
        Nats, float64. Biased downwards as an estimate of log p(x_i), about Var(w / E w) / 2k.

    **Source**: Burda et al. (2016), "Importance weighted autoencoders".

    Raises:
        ValueError: no numbers of draws, or one below 1.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> mean, log_var = torch.zeros(2, 1), torch.zeros(2, 1)
        >>> bounds = importance_weighted_bounds(
        ...     mean, log_var, n_draws=[1, 10], generator=g,
        ...     log_likelihood=lambda z, rows: torch.zeros(z.shape[:-1], dtype=torch.float64),
        ... )
        >>> bounds.abs().max().item() < 1e-9  # the posterior is exact, and p(x|z) = 1
        True
    """
    check_posteriors(mean, log_var)
    if not n_draws or min(n_draws) < 1:
        raise ValueError(f"n_draws={list(n_draws)}: expected integers >= 1")
    most = max(n_draws)
    bounds = torch.empty(len(mean), len(n_draws), dtype=torch.float64)
    group = max(1, chunk // most)
    for start in range(0, len(mean), group):
        rows = torch.arange(start, min(start + group, len(mean)))
        noise = torch.stack(
            [torch.randn(most, mean.shape[1], generator=generator, dtype=mean.dtype) for _ in rows]
        )
        pairs = (noise.flatten(0, 1).split(chunk), rows.repeat_interleave(most).split(chunk))
        log_w = torch.cat(
            [_log_weight(mean, log_var, e, i, log_likelihood, log_prior) for e, i in zip(*pairs, strict=True)]
        ).view(len(rows), most)
        for column, k in enumerate(n_draws):
            whole = log_w[:, : most // k * k].unflatten(1, (-1, k))
            bounds[rows, column] = (whole.logsumexp(2) - math.log(k)).mean(1)
    return bounds


def _log_weight(
    mean: Tensor,
    log_var: Tensor,
    noise: Float[Tensor, "m d"],
    image: Int[Tensor, "m"],
    log_likelihood: LogLikelihood,
    log_prior: LogDensity,
) -> Float[Tensor, "m"]:
    """Return log p(x|z) + log p(z) - log q(z|x) at z = mean + s noise, float64."""
    z = mean[image] + (0.5 * log_var[image]).exp() * noise
    log_q = -0.5 * (noise.double().square() + log_var[image].double() + LOG_2PI).sum(1)
    return log_likelihood(z, image).double() + log_prior(z).double() - log_q


def amortisation_gaps(
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    *,
    log_likelihood: LogLikelihood,
    generator: torch.Generator,
    log_prior: LogDensity = unit_log_prob,
    n_steps: int = 300,
    n_draws: int = 4,
    learning_rate: float = 0.03,
    n_final: int = 32,
) -> Float[Tensor, "n"]:
    """Return each image's ELBO at an optimised (mean, log_var) minus its ELBO at the encoder's, nats.

    Adam starts at the encoder's values and optimises each image separately, with the path gradient of log p(x, z) -
    log q(z), which has no noise where q is the true posterior. Both ELBOs are then taken at the same `n_final` fresh
    draws. 0 in expectation for an encoder that is optimal among diagonal Gaussians, else positive; the search may
    fall short of the best posterior, so it is a lower bound of the gap (and can come out slightly negative).

    Args:
        mean, log_var: the encoder's posteriors of n images.
        log_likelihood: log p(x|z) of image i at rows z, differentiable in z.
        generator: makes all draws.
        log_prior: log p(z), differentiable.
        n_steps: gradient steps.
        n_draws: draws of z for each image and step.
        learning_rate: Adam's, in posterior standard deviations of the mean; it falls to 0 (half a cosine).
        n_final: draws of z for each image for the two ELBOs.

    **Source**: Cremer et al. (2018), "Inference suboptimality in variational autoencoders"; gradient of Roeder et
    al. (2017), "Sticking the landing".

    Raises:
        ValueError: n_steps, n_draws or n_final below 1, or a learning rate that is not positive.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> gaps = amortisation_gaps(
        ...     torch.full((3, 1), 2.0), torch.zeros(3, 1), generator=g,
        ...     log_likelihood=lambda z, rows: torch.zeros(z.shape[:-1], dtype=torch.float64),
        ... )
        >>> 1.0 < float(gaps.mean()) < 3.0  # the best posterior is the prior, KL 2²/2 away
        True
    """
    check_posteriors(mean, log_var)
    for name, value in (("n_steps", n_steps), ("n_draws", n_draws), ("n_final", n_final)):
        if value < 1:
            raise ValueError(f"{name}={value}: expected an integer >= 1")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate={learning_rate}: expected a positive number")
    mean, log_var = mean.detach(), log_var.detach()
    scale = (0.5 * log_var).exp()
    shift, stretch = torch.zeros_like(mean).requires_grad_(), torch.zeros_like(mean).requires_grad_()
    # With a large eps Adam's steps are proportional to small gradients, such as the rounding errors at an optimal
    # encoder, instead of scaling them up.
    optimizer = torch.optim.Adam([shift, stretch], lr=learning_rate, eps=0.1)
    for step in range(n_steps):
        optimizer.param_groups[0]["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / n_steps))
        noise = torch.randn((n_draws, *mean.shape), generator=generator, dtype=mean.dtype)
        at_mean, at_log_var = mean + scale * shift, log_var + stretch
        z = (at_mean + (0.5 * at_log_var).exp() * noise).flatten(0, 1)
        image = torch.arange(len(mean)).repeat(n_draws)
        # q's own parameters are held fixed in its density, because their part of the gradient is noise with mean 0.
        still = (at_mean.detach(), at_log_var.detach())
        joint = log_likelihood(z, image).double() + log_prior(z).double()
        loss = -(joint - _diagonal_log_prob(z, *(t.repeat(n_draws, 1) for t in still))).sum() / n_draws
        (shift.grad, stretch.grad) = torch.autograd.grad(loss, [shift, stretch])
        optimizer.step()
    best = (mean + scale * shift.detach(), log_var + stretch.detach())
    return _paired_gain((mean, log_var), best, log_likelihood, log_prior, n_final, generator)


def _diagonal_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    white = (z - mean).double().square() * torch.exp(-log_var.double())
    return -0.5 * (white + log_var.double() + LOG_2PI).sum(1)


@torch.no_grad()
def _paired_gain(
    before: tuple[Tensor, Tensor],
    after: tuple[Tensor, Tensor],
    log_likelihood: LogLikelihood,
    log_prior: LogDensity,
    n_final: int,
    generator: torch.Generator,
) -> Float[Tensor, "n"]:
    """Return for each image the difference of two posteriors' ELBOs, at common noise."""
    n = len(before[0])
    gain, image = torch.zeros(n, dtype=torch.float64), torch.arange(n)
    for _ in range(n_final):
        noise = torch.randn(before[0].shape, generator=generator, dtype=before[0].dtype)
        ours, theirs = (_log_weight(*q, noise, image, log_likelihood, log_prior) for q in (after, before))
        gain += (ours - theirs) / n_final
    return gain

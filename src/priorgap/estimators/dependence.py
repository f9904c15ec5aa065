"""KL(q || N(0, I)) split into dimension-wise KL and total correlation, with a lower and an upper end of each."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.bracket import Bracket, kl_lower_bound, kl_upper_bound
from priorgap.estimators.checks import check_matrix, check_posteriors
from priorgap.estimators.gaussian import LOG_2PI, standard_normal_log_prob
from priorgap.estimators.marginal import MarginalDivergences, marginal_divergences
from priorgap.estimators.uncertainty import Estimate, mean_estimate

# The weight of N(0, 1) in a fitted marginal, which keeps it positive everywhere; it costs at most this many nats a
# unit.
_FLOOR = 1e-3


@dataclass(frozen=True)
class Dependence:
    """KL(q || N(0, I)) = dimension_wise + total_correlation, nats; each end bounds its part in expectation.

    Attributes:
        dimension_wise: sum of KL(q(z_j) || N(0, 1)).
        total_correlation: KL(q || product of its marginals), the dependence between units.
    """

    dimension_wise: Bracket
    total_correlation: Bracket


def marginal_log_prob(
    marginals: MarginalDivergences, z: Float[Tensor, "m d"], *, floor: float = 0.0
) -> Float[Tensor, "m"]:
    """Return the sum over units of log of (1 - floor) q_j(z_j) + floor N(z_j | 0, 1), nats.

    q_j is linear between the points of its grid, and 0 outside (log 1e-300 stands for log 0).

    Example:
        >>> from priorgap.estimators.marginal import marginal_divergences
        >>> marginals = marginal_divergences(torch.zeros(50, 2), torch.zeros(50, 2))
        >>> round(float(marginal_log_prob(marginals, torch.zeros(1, 2))), 2)  # -log 2π
        -1.84
    """
    check_matrix("z", z, n_columns=len(marginals.kl))
    density = marginals.density
    n_grid = density.shape[1]
    position = (z.double() - marginals.low) / marginals.step
    inside = (position >= 0) & (position <= n_grid - 1)
    cell = position.floor().long().clamp(0, n_grid - 2)
    right = position - cell
    unit = torch.arange(z.shape[1])
    value = density[unit, cell] * (1 - right) + density[unit, cell + 1] * right
    value = torch.where(inside, value, torch.zeros_like(value))
    normal = torch.exp(-0.5 * (z.double().square() + LOG_2PI))
    return ((1 - floor) * value + floor * normal).clamp_min(1e-300).log().sum(1)


def dependence_brackets(
    train_marginals: MarginalDivergences,
    mean: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    *,
    log_f: Callable[[Tensor], Tensor],
    n_draws: int,
    generator: torch.Generator,
) -> Dependence:
    """Return ends of the dimension-wise KL and of the total correlation of q against N(0, I).

    g_j: marginals of the training posteriors (with a floor of 0.1 % N(0, 1)); q_n: the mixture over the test
    posteriors, q_nj its marginals, both scored in-sample; f: a density fitted to training posteriors.

    - dimension-wise, lower: mean over test draws of sum_j log g_j - log p; upper: sum_j KL(q_nj || p), exact.
    - total correlation, lower: mean of log f - sum_j log q_nj; upper: mean of log q_n - sum_j log g_j.

    Each is the lower (upper) end of one part minus the upper (lower) end of the other, term by term, so that the
    standard errors over images are those of the differences, with f, g and q_n held fixed.

    Args:
        train_marginals: `marginal_divergences` of training posteriors.
        mean, log_var: posteriors of images on which the encoder was not trained.
        log_f: log-density fitted on training posteriors and chosen on validation ones.
        n_draws: draws a test posterior.
        generator: draws z.

    Raises:
        ValueError: fewer than 2 images or n_draws < 1.

    Example:
        >>> from priorgap.estimators.gaussian import standard_normal_log_prob
        >>> from priorgap.estimators.marginal import marginal_divergences
        >>> g = torch.Generator().manual_seed(0)
        >>> mean = log_var = torch.zeros(200, 2)
        >>> found = dependence_brackets(
        ...     marginal_divergences(mean, log_var), mean, log_var,
        ...     log_f=standard_normal_log_prob, n_draws=4, generator=g,
        ... )
        >>> abs(found.dimension_wise.lower.value) < 0.01, abs(found.total_correlation.lower.value) < 0.01
        (True, True)
    """
    check_posteriors(mean, log_var, min_rows=2)
    if n_draws < 1:
        raise ValueError(f"n_draws={n_draws}: expected an integer >= 1")

    def log_g(z: Tensor) -> Tensor:
        return marginal_log_prob(train_marginals, z, floor=_FLOOR)

    own = marginal_divergences(mean, log_var)
    noise = torch.randn((n_draws, *mean.shape), generator=generator, dtype=mean.dtype)
    z = (mean + (0.5 * log_var).exp() * noise).reshape(-1, mean.shape[1])
    at = {
        name: log(z).double().view(n_draws, len(mean)).T
        for name, log in (
            ("f", log_f),
            ("g", log_g),
            ("p", standard_normal_log_prob),
            ("own", lambda rows: marginal_log_prob(own, rows)),
        )
    }
    scatter = mean_estimate((at["own"] - at["p"]).mean(1)).std_error
    correlation = kl_upper_bound(mean, log_var, generator=generator, n_draws=n_draws, log_prior=log_g)
    return Dependence(
        Bracket(kl_lower_bound(at["g"], at["p"]), Estimate(float(own.kl.sum()), scatter)),
        Bracket(kl_lower_bound(at["f"], at["own"]), correlation),
    )

"""How much of the prior the aggregate posterior does not cover: holes, reverse divergence, effective sample size."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.estimators.bootstrap import bootstrap_std_error
from priorgap.estimators.checks import check_vector
from priorgap.estimators.copying import near_copy_excess
from priorgap.estimators.uncertainty import Estimate, mean_estimate


def hole_curve(
    log_f_prior: Float[Tensor, "n"], log_f_heldout: Float[Tensor, "m"], levels: Sequence[float]
) -> list[Estimate]:
    """Return H(delta) = P_p(log f(z) < Q_delta), Q_delta the delta quantile of log f under held-out draws of q.

    It is the share of prior draws whose density f is below that of all but a fraction delta of q's own draws.
    H(delta) = delta at q = p, whatever f (up to ties); towards 1 as p leaves q. The standard error has the binomial
    part and the quantile's. Unbiased at q = p; f decides which regions are tested, so that a poor f misses holes.

    Args:
        log_f_prior: log f at independent draws of the prior.
        log_f_heldout: log f at independent draws of q that f was not fitted on.
        levels: deltas, each above 0 and at most 1/2.

    Raises:
        ValueError: a level outside (0, 1/2], or fewer than 1 / level - 1 held-out draws.

    Example:
        >>> inside = torch.arange(1.0, 101.0)
        >>> [one.value for one in hole_curve(torch.zeros(50), inside, [0.1])]  # all prior draws lie in the hole
        [1.0]
    """
    # This is the statistic of near copies, applied to log-densities in place of distances.
    found = [(level, near_copy_excess(log_f_prior, log_f_heldout, level)) for level in levels]
    return [Estimate(excess.value + level, excess.std_error) for level, excess in found]


def kl_prior_to_density(log_p: Float[Tensor, "n"], log_f: Float[Tensor, "n"]) -> Estimate:
    """Return KL(p || f), the mean of log p - log f over draws of p. Nats; unbiased.

    It measures how much of the prior a fitted f leaves uncovered. It bounds KL(p || q) neither from below nor from
    above, because f is not q.

    Raises:
        ValueError: lengths differ.

    Example:
        >>> kl_prior_to_density(torch.tensor([0.0, 0.0]), torch.tensor([-1.0, -3.0])).value
        2.0
    """
    check_vector("log_p", log_p)
    check_vector("log_f", log_f)
    if len(log_p) != len(log_f):
        raise ValueError(f"log_f has {len(log_f)} values: expected {len(log_p)}, as log_p has")
    return mean_estimate(log_p.double() - log_f.double())


def effective_share(log_weight_p: Float[Tensor, "n"], log_weight_q: Float[Tensor, "m"]) -> float:
    """Return the effective sample size of prior draws with weights w = q/p, as a share of their number.

    (E_p w)² / E_p w², the smaller of two estimates. Kish's (sum w)² / (n sum w²) over draws of p never sees the
    largest weights when few draws of p fall there, and is then far too large. E_p w² = E_q w E_p w gives the other,
    E_p w / E_q w, whose denominator is an average over draws of q, which do fall there.

    Returns:
        1 for q = p, towards 0 as q leaves p; biased upwards where both samples miss the largest weights.

    Example:
        >>> round(effective_share(torch.zeros(10), torch.zeros(10)), 6)  # q is the prior
        1.0
    """
    at_p, at_q = log_weight_p.double(), log_weight_q.double()
    log_mean = torch.logsumexp(at_p, 0) - math.log(len(at_p))
    log_square = torch.logsumexp(2 * at_p, 0) - math.log(len(at_p))
    log_mean_q = torch.logsumexp(at_q, 0) - math.log(len(at_q))
    return min(1.0, math.exp(float(2 * log_mean - log_square)), math.exp(float(log_mean - log_mean_q)))


def effective_share_estimate(
    log_weight_p: Float[Tensor, "n"],
    log_weight_q: Float[Tensor, "m"],
    *,
    generator: torch.Generator,
    n_repeats: int = 200,
) -> Estimate:
    """Return `effective_share` with a bootstrap standard error, over the draws of p and of q.

    The standard error uses only the weights that were drawn, and is too small where the value is biased upwards
    because few draws dominate it.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> found = effective_share_estimate(torch.zeros(10), torch.zeros(10), generator=g)
        >>> round(found.value, 6), round(found.std_error, 6)
        (1.0, 0.0)
    """
    check_vector("log_weight_p", log_weight_p, min_length=2)
    check_vector("log_weight_q", log_weight_q, min_length=2)

    def statistic(rows_p: Tensor, rows_q: Tensor) -> float:
        return effective_share(log_weight_p[rows_p], log_weight_q[rows_q])

    sizes = (len(log_weight_p), len(log_weight_q))
    spread = bootstrap_std_error(statistic, sizes, generator=generator, n_repeats=n_repeats)
    return Estimate(effective_share(log_weight_p, log_weight_q), spread)

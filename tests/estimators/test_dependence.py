"""Dimension-wise KL and total correlation on Gaussian aggregates, where both are known."""

import math

import pytest
import torch

from priorgap.estimators.bracket import kl_lower_bound
from priorgap.estimators.dependence import dependence_brackets, marginal_log_prob
from priorgap.estimators.gaussian import gaussian_log_prob, standard_normal_log_prob
from priorgap.estimators.marginal import marginal_divergences

S = 0.4


def posteriors(n, factor, generator, shift=0.0):
    """Posteriors of one s whose aggregate is N(shift, F F' + s² I)."""
    mean = shift + torch.randn(n, len(factor), generator=generator) @ factor.T
    return mean, torch.full_like(mean, 2 * math.log(S))


def gaussian_truth(factor, shift):
    cov = factor @ factor.T + S * S * torch.eye(len(factor))
    variance = cov.diagonal().double()
    wise = 0.5 * (shift**2 + variance - 1 - variance.log()).sum()
    correlation = 0.5 * (variance.log().sum() - torch.logdet(cov.double()))
    return cov, float(wise), float(correlation)


def brackets(factor, generator, shift=0.0, n=3000, log_f=None):
    cov, wise, correlation = gaussian_truth(factor, shift)
    train = marginal_divergences(*posteriors(n, factor, generator, shift))
    exact = log_f or (lambda z: gaussian_log_prob(z, torch.full((len(cov),), shift), cov))
    test = posteriors(n, factor, generator, shift)
    return dependence_brackets(train, *test, log_f=exact, n_draws=2, generator=generator), wise, correlation


MATCHED = math.sqrt(1 - S * S) * torch.eye(2)
CORRELATED = math.sqrt(1 - S * S) * torch.tensor([[1.0, 0.0], [0.8, 0.6]])
SCALED = 0.3 * torch.eye(2)


@pytest.mark.parametrize(
    ("factor", "shift"), [(MATCHED, 0.0), (MATCHED, 1.0), (CORRELATED, 0.0), (SCALED, 0.0), (0 * SCALED, 0.0)]
)
def test_both_brackets_hold_the_truth(factor, shift, generator):
    found, wise, correlation = brackets(factor, generator, shift)
    for bracket, truth in ((found.dimension_wise, wise), (found.total_correlation, correlation)):
        low, high = bracket.limits()
        assert low - 1e-6 <= truth <= high + 1e-6
        assert high - low < 0.12
    total = found.dimension_wise.lower.value + found.total_correlation.lower.value
    assert total <= wise + correlation + 3 * found.dimension_wise.lower.std_error


def test_detects_where_the_mismatch_sits(generator):
    shifted, _, _ = brackets(MATCHED, generator, 1.0)
    assert shifted.dimension_wise.limits()[0] > 0.8 and shifted.total_correlation.limits()[1] < 0.1
    correlated, _, _ = brackets(CORRELATED, generator)
    assert correlated.dimension_wise.limits()[1] < 0.1 and correlated.total_correlation.limits()[0] > 0.2


def test_half_the_modes(generator):
    """q on two of the four corners: each unit alone looks the same, the pair does not."""
    n = 4000

    def law(both):
        sign = torch.where(torch.rand(n, generator=generator) < 0.5, 1.0, -1.0)
        other = torch.where(torch.rand(n, generator=generator) < 0.5, 1.0, -1.0)
        mean = 0.9 * torch.stack([sign, other if both else sign], 1)
        return mean, torch.full((n, 2), 2 * math.log(S))

    def corners(points):
        def log_prob(z):
            terms = [-0.5 * ((z.double() - 0.9 * torch.tensor(c)) / S).square().sum(1) for c in points]
            return torch.stack(terms).logsumexp(0) - math.log(len(points) * 2 * math.pi * S * S)

        return log_prob

    pair = [(1.0, 1.0), (-1.0, -1.0)]
    four = [*pair, (1.0, -1.0), (-1.0, 1.0)]
    half = dependence_brackets(
        marginal_divergences(*law(False)), *law(False), log_f=corners(pair), n_draws=1, generator=generator
    )
    full = dependence_brackets(
        marginal_divergences(*law(True)), *law(True), log_f=corners(four), n_draws=1, generator=generator
    )
    assert half.total_correlation.limits()[0] > 0.5
    low, high = full.total_correlation.limits()
    assert low <= 0 <= high < 0.05
    assert half.dimension_wise.lower.value == pytest.approx(full.dimension_wise.lower.value, abs=0.05)


def test_one_unit_has_no_total_correlation(generator):
    found, _, _ = brackets(0.8 * torch.eye(1), generator)
    low, high = found.total_correlation.limits()
    assert low <= 0 <= high < 0.05


def test_the_wrong_end_of_the_marginals_breaks_the_lower_end(generator):
    """Negative control: marginals fitted elsewhere, in place of the upper ones, claim dependence there is not."""
    n, d = 3000, 2
    test = posteriors(n, MATCHED, generator)
    z = test[0] + S * torch.randn(n, d, generator=generator)
    poor = marginal_divergences(*posteriors(30, MATCHED, generator))  # 30 images: far from q's marginals
    wrong = kl_lower_bound(standard_normal_log_prob(z), marginal_log_prob(poor, z, floor=1e-3))
    assert wrong.value - 3 * wrong.std_error > 0
    right = dependence_brackets(
        poor, *test, log_f=standard_normal_log_prob, n_draws=1, generator=generator
    ).total_correlation
    assert right.limits()[0] <= 0 <= right.limits()[1]


def test_marginal_log_prob_is_the_exact_mixture(generator):
    mean, log_var = torch.randn(50, 2, generator=generator), torch.randn(50, 2, generator=generator) - 1
    z = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    std = (0.5 * log_var.double()).exp()
    exact = (
        (torch.exp(-0.5 * ((z[:, None] - mean) / std).square()) / (std * math.sqrt(2 * math.pi)))
        .mean(1)
        .log()
        .sum(1)
    )
    found = marginal_divergences(mean, log_var)
    torch.testing.assert_close(marginal_log_prob(found, z), exact, atol=2e-3, rtol=0)
    far = torch.tensor([[1e3, 0.0]])
    assert float(marginal_log_prob(found, far)) < -600
    both = marginal_log_prob(found, z, floor=0.5) - standard_normal_log_prob(z)
    assert float(both.min()) >= 2 * math.log(0.5) - 1e-9


def test_marginals_are_normalised_with_the_floor(generator):
    found = marginal_divergences(0.3 * torch.randn(100, 1, generator=generator), torch.full((100, 1), -3.0))
    x = torch.linspace(-9.5, 9.5, 200_001).double()[:, None]
    total = marginal_log_prob(found, x, floor=0.1).exp().sum() * 19 / 200_000
    assert float(total) == pytest.approx(1, abs=1e-5)


def test_bad_input(generator):
    found = marginal_divergences(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="z has 3 columns: expected 2"):
        marginal_log_prob(found, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="n_draws=0"):
        dependence_brackets(
            found, torch.zeros(3, 2), torch.zeros(3, 2), log_f=standard_normal_log_prob, n_draws=0,
            generator=generator,
        )  # fmt: skip

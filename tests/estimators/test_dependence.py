"""Dimension-wise KL and total correlation on Gaussian aggregates, where both are known."""

import math

import pytest
import torch
from refusals import drawn_from_its_generator, refused, seeded

from priorgap.estimators.bracket import kl_lower_bound, kl_upper_bound
from priorgap.estimators.dependence import dependence_brackets, marginal_log_prob
from priorgap.estimators.gaussian import gaussian_log_prob, standard_normal_log_prob
from priorgap.estimators.marginal import MarginalDivergences, marginal_divergences

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


def test_marginals_between_and_beyond_the_points_of_the_grid():
    density = torch.tensor([[0.2, 0.6, 0.4], [0.5, 0.1, 0.3]]).double()
    zero = torch.zeros(2).double()
    one = torch.ones(2).double()
    # at -1, 0 and 1
    given = MarginalDivergences(zero, zero, zero, -one, one, density, one > 0)
    z = torch.tensor([[0.25, -0.5], [-1.0, 1.0]]).double()
    expected = torch.tensor([0.75 * 0.6 + 0.25 * 0.4, 0.2]) * torch.tensor([0.3, 0.3])
    torch.testing.assert_close(marginal_log_prob(given, z), expected.double().log())
    normal = torch.exp(standard_normal_log_prob(z[:1, :1])) * 0.1
    other = torch.exp(standard_normal_log_prob(z[:1, 1:])) * 0.1
    mixed = ((0.9 * 0.55 + normal) * (0.9 * 0.3 + other)).log()
    torch.testing.assert_close(marginal_log_prob(given, z[:1], floor=0.1), mixed)
    beyond = torch.tensor([[1.001, 0.0], [-1.001, 0.0]]).double()
    assert marginal_log_prob(given, beyond).tolist() == pytest.approx([math.log(1e-300) + math.log(0.1)] * 2)


def test_every_end_step_by_step(generator):
    train = marginal_divergences(*posteriors(200, CORRELATED, generator))
    mean, log_var = (t.double() for t in posteriors(60, CORRELATED, generator))

    def log_f(z):
        return standard_normal_log_prob(0.9 * z)

    def found(g):
        return dependence_brackets(train, mean, log_var, log_f=log_f, n_draws=3, generator=g)

    same, own = seeded(), marginal_divergences(mean, log_var)
    noise = torch.randn(3, 60, 2, generator=same, dtype=torch.float64)
    z = mean + (0.5 * log_var).exp() * noise

    def average(log):
        return torch.stack([log(rows) for rows in z]).mean(0)

    def mean_of(x):
        return float(x.mean()), float(x.std()) / math.sqrt(60)

    def log_g(rows):
        return marginal_log_prob(train, rows, floor=1e-3)

    g, p, f = average(log_g), average(standard_normal_log_prob), average(log_f)
    alone = average(lambda rows: marginal_log_prob(own, rows))
    upper = kl_upper_bound(mean, log_var, generator=same, n_draws=3, log_prior=log_g)
    parts = drawn_from_its_generator(found)
    for end, expected in (
        (parts.dimension_wise.lower, mean_of(g - p)),
        (parts.dimension_wise.upper, (float(own.kl.sum()), mean_of(alone - p)[1])),
        (parts.total_correlation.lower, mean_of(f - alone)),
        (parts.total_correlation.upper, (upper.value, upper.std_error)),
    ):
        assert (end.value, end.std_error) == pytest.approx(expected, rel=1e-9)


def test_whole_messages(generator):
    mean, log_var = posteriors(4, MATCHED, generator)
    train = marginal_divergences(mean, log_var)

    def call(m, v, n=1):
        return dependence_brackets(
            train, m, v, log_f=standard_normal_log_prob, n_draws=n, generator=generator
        )

    call(mean[:2], log_var[:2])
    refused(lambda: call(mean, log_var, 0), "n_draws=0: expected an integer >= 1")
    refused(lambda: call(mean[:1], log_var[:1]), "mean has 1 rows: expected at least 2")
    refused(lambda: call(mean, log_var[:3]), "log_var has shape (3, 2): expected that of mean, (4, 2)")
    refused(lambda: marginal_log_prob(train, mean[:, :1]), "z has 1 columns: expected 2")
    refused(lambda: marginal_log_prob(train, mean[0]), "z has shape (2,): expected [n, D] with D >= 1")

"""Holes, KL(p || f) and the effective sample size against closed forms."""

import math

import pytest
import torch
from refusals import drawn_from_its_generator, refused, seeded
from scipy import stats

from priorgap.estimators.gaussian import gaussian_log_prob, kl_gaussian, standard_normal_log_prob
from priorgap.estimators.overlap import (
    effective_share,
    effective_share_estimate,
    hole_curve,
    kl_prior_to_density,
)

LEVELS = (0.001, 0.01, 0.1, 0.5)


def normal(n, generator, scale=1.0, shift=0.0, d=2):
    return shift + scale * torch.randn(n, d, generator=generator, dtype=torch.float64)


def wide_log_prob(z, scale=1.0):
    return standard_normal_log_prob(z / scale) - z.shape[1] * math.log(scale)


def half_modes(n, generator):
    """Half of N(0, I): the prior's other half is a hole."""
    z = normal(n, generator)
    z[:, 0] = z[:, 0].abs()
    return z


def half_log_prob(z):
    return torch.where(z[:, 0] > 0, standard_normal_log_prob(z) + math.log(2), torch.tensor(-1e3).double())


def covers(estimate, truth, z=3.0):
    return abs(estimate.value - truth) <= z * estimate.std_error


def test_same_law_gives_delta(generator):
    p, q = normal(20_000, generator), normal(20_000, generator)
    for level, found in zip(LEVELS, hole_curve(wide_log_prob(p), wide_log_prob(q), LEVELS), strict=True):
        assert covers(found, level)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.2])
def test_scaled_gaussian_in_closed_form(scale, generator):
    """f = q = N(0, s² I): log f < its delta quantile where |z|² > s² times chi-squared's 1 - delta quantile."""
    p, q = normal(20_000, generator), normal(20_000, generator, scale)
    found = hole_curve(wide_log_prob(p, scale), wide_log_prob(q, scale), LEVELS)
    for level, estimate in zip(LEVELS, found, strict=True):
        truth = stats.chi2(2).sf(scale**2 * stats.chi2(2).ppf(1 - level))
        assert covers(estimate, truth)


def test_the_quantiles_error_is_in_the_standard_error(generator):
    """Few held-out draws: the scatter of repeats is the stated one; the binomial part alone misses most."""
    values, errors = [], []
    for _ in range(300):
        p, q = normal(4000, generator), normal(300, generator, 0.6)
        (found,) = hole_curve(wide_log_prob(p, 0.6), wide_log_prob(q, 0.6), [0.05])
        values.append(found.value)
        errors.append(found.std_error)
    scatter = float(torch.tensor(values).std())
    assert sum(errors) / 300 == pytest.approx(scatter, rel=0.2)
    mean = sum(values) / 300
    assert math.sqrt(mean * (1 - mean) / 4000) < 0.5 * scatter  # negative control


def test_holes_are_found_half_the_modes_shift_collapse(generator):
    p = normal(5000, generator)
    laws = {
        "half": (half_log_prob, half_modes(5000, generator), 0.5),
        "shift": (lambda z: wide_log_prob(z - 2), normal(5000, generator, shift=2.0), 0.2),
        "collapse": (lambda z: wide_log_prob(z, 0.01), normal(5000, generator, 0.01), 0.99),
    }
    for log_f, q, least in laws.values():
        (found,) = hole_curve(log_f(p), log_f(q), [0.01])
        assert found.value - 3 * found.std_error > 0.9 * least


def test_a_density_fitted_on_the_scored_draws_claims_holes(generator):
    """Negative control: q = p, but f is a narrow mixture on the very draws that set its quantile."""
    from priorgap.estimators.mixture import mixture_log_prob

    p, q, fresh = (normal(1000, generator, d=4) for _ in range(3))
    narrow = torch.full((1000, 4), 2 * math.log(0.1))
    (cheat,) = hole_curve(mixture_log_prob(p, q, narrow), mixture_log_prob(q, q, narrow), [0.01])
    (honest,) = hole_curve(mixture_log_prob(p, q, narrow), mixture_log_prob(fresh, q, narrow), [0.01])
    assert covers(honest, 0.01) and not covers(cheat, 0.01) and cheat.value > 0.5


def test_kl_of_gaussians(generator):
    mean, cov = torch.tensor([0.5, -1.0]).double(), torch.tensor([[1.5, 0.4], [0.4, 0.7]]).double()
    p = normal(20_000, generator)
    found = kl_prior_to_density(standard_normal_log_prob(p), gaussian_log_prob(p, mean, cov))
    eye = torch.eye(2).double()
    truth = kl_gaussian(torch.zeros(2).double(), eye, mean, cov)
    assert covers(found, truth)
    # negative control: the other direction is another number
    assert not covers(found, kl_gaussian(mean, cov, torch.zeros(2).double(), eye))
    same = kl_prior_to_density(standard_normal_log_prob(p), standard_normal_log_prob(p))
    assert same.value == 0


def test_effective_share_in_closed_form_with_its_scatter(generator):
    """w = N(m, 1) / N(0, 1): 1 / E_p w² = exp(-m²)."""
    m, values, errors = 0.7, [], []
    for _ in range(100):
        p, q = (
            normal(2000, generator, d=1)[:, 0],
            normal(2000, generator, d=1)[:, 0] + m,
        )
        found = effective_share_estimate(
            m * p - m * m / 2, m * q - m * m / 2, generator=generator, n_repeats=30
        )
        values.append(found.value)
        errors.append(found.std_error)
    mean, scatter = sum(values) / 100, float(torch.tensor(values).std())
    assert mean == pytest.approx(math.exp(-(m**2)), abs=4 * scatter / 10 + 0.01)
    assert sum(errors) / 100 == pytest.approx(scatter, rel=0.3)


def test_effective_share_same_law_is_one_and_far_law_is_near_nothing(generator):
    one = effective_share_estimate(torch.zeros(50), torch.zeros(50), generator=generator)
    assert (one.value, one.std_error) == (1.0, 0.0)
    m = 3.5
    p, q = normal(2000, generator, d=1)[:, 0], normal(2000, generator, d=1)[:, 0] + m
    at_p, at_q = m * p - m * m / 2, m * q - m * m / 2
    assert effective_share(at_p, at_q) < 100 * math.exp(-(m**2))
    # negative control: Kish's formula alone, which draws of p without large weights mislead
    assert float(at_p.exp().sum() ** 2 / (2 * at_p).exp().sum()) / 2000 > 100 * math.exp(-(m**2))


def test_bad_input(generator):
    with pytest.raises(ValueError, match="log_f has 2 values: expected 3"):
        kl_prior_to_density(torch.zeros(3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"q=0.6"):
        hole_curve(torch.zeros(5), torch.zeros(500), [0.6])
    with pytest.raises(ValueError, match="at least 2"):
        effective_share_estimate(torch.zeros(1), torch.zeros(5), generator=generator)


def test_effective_share_by_hand():
    """Weights 1, 3 under p: (E w)² / E w² = 4/5; under q their mean is 4 or 1, so E_p w / E_q w is 1/2 or 2."""
    at_p = torch.tensor([1.0, 3.0]).double().log()
    assert effective_share(at_p, torch.tensor([2.0, 6.0, 4.0]).log()) == pytest.approx(0.5)
    assert effective_share(at_p, torch.tensor([1.0, 1.0, 1.0]).log()) == pytest.approx(0.8)
    # a common factor of the weights changes nothing, however large
    assert effective_share(at_p + 900, torch.tensor([2.0, 6.0]).double().log() + 900) == pytest.approx(0.5)


def test_effective_shares_error_is_the_bootstraps(generator):
    p, q = torch.randn(30, generator=generator), torch.randn(20, generator=generator)
    same, values = seeded(), []
    for _ in range(200):
        i, j = (torch.randint(0, n, (n,), generator=same) for n in (30, 20))
        values.append(effective_share(p[i], q[j]))
    found = drawn_from_its_generator(lambda g: effective_share_estimate(p, q, generator=g))
    assert found.value == effective_share(p, q)
    few = torch.tensor(values[:7], dtype=torch.float64).std()
    error = effective_share_estimate(p, q, generator=seeded(), n_repeats=7).std_error
    assert error == pytest.approx(float(few), rel=1e-9)
    assert found.std_error == pytest.approx(float(torch.tensor(values, dtype=torch.float64).std()), rel=1e-9)


def test_holes_by_hand():
    heldout = torch.arange(1.0, 10.0)  # ranks 1 to 9 of 10: the 0.1 quantile is 1, the 1/2 quantile 5
    found = hole_curve(torch.tensor([0.0, 0.5, 4.0, 9.0]), heldout, [0.1, 0.5])
    assert [f.value for f in found] == pytest.approx([0.5, 0.75])


def test_whole_messages(generator):
    two, bad = torch.zeros(2), torch.tensor([0.0, math.nan])
    effective_share_estimate(two, two, generator=generator)
    assert kl_prior_to_density(torch.ones(1), torch.zeros(1)).value == 1
    for name, pair in (("log_p", (bad, two)), ("log_f", (two, bad))):
        line = f"{name} has values that are not finite: expected finite numbers"
        refused(lambda p=pair: kl_prior_to_density(*p), line)
    refused(lambda: kl_prior_to_density(two, two[:1]), "log_f has 1 values: expected 2, as log_p has")
    for name, pair in (("log_weight_p", (two[:1], two)), ("log_weight_q", (two, two[:1]))):
        line = f"{name} has 1 values: expected at least 2"
        refused(lambda p=pair: effective_share_estimate(*p, generator=generator), line)

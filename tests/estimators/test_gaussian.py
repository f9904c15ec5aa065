"""Closed forms against numerical integration, Monte Carlo and loops."""

import pytest
import torch
from refusals import refused
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from priorgap.estimators.gaussian import (
    aggregate_moments,
    column_blocks,
    gaussian_log_prob,
    kl_gaussian,
    kl_to_standard_normal,
    mirrored,
    rate_per_unit,
    sample_moments,
    standard_normal_log_prob,
)


def random_cov(d: int, generator: torch.Generator) -> torch.Tensor:
    root = torch.randn(d, d + 2, generator=generator, dtype=torch.float64)
    return root @ root.T / d


def test_rate_equals_torch_distributions(generator):
    mean, log_var = torch.randn(50, 3, generator=generator), torch.randn(50, 3, generator=generator)
    expected = kl_divergence(Normal(mean.double(), (0.5 * log_var.double()).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(rate_per_unit(mean, log_var), expected)


def test_rate_is_zero_only_at_the_prior():
    zero = torch.zeros(4, 2)
    assert rate_per_unit(zero, zero).abs().max() == 0
    assert (rate_per_unit(zero + 0.1, zero) > 0).all()
    assert (rate_per_unit(zero, zero + 0.1) > 0).all()
    assert (rate_per_unit(zero, zero - 0.1) > 0).all()


def test_rate_keeps_its_digits_near_zero():
    """1/2 (e^v - 1 - v) is v^2 / 4 for small v; the plain float32 form returns rounding noise there."""
    log_var = torch.full((1, 1), 1e-5, dtype=torch.float64)
    assert float(rate_per_unit(torch.zeros(1, 1), log_var)) == pytest.approx(2.5e-11, rel=1e-4)
    naive = 0.5 * (log_var.float().exp() - 1 - log_var.float())
    assert float(naive) != pytest.approx(2.5e-11, rel=1e-1)


def test_log_probs_equal_torch_distributions(generator):
    z = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    mean, cov = torch.randn(4, generator=generator, dtype=torch.float64), random_cov(4, generator)
    torch.testing.assert_close(gaussian_log_prob(z, mean, cov), MultivariateNormal(mean, cov).log_prob(z))
    torch.testing.assert_close(standard_normal_log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(1))


def test_kl_gaussian_equals_torch_distributions(generator):
    mean_p, mean_q = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    cov_p, cov_q = random_cov(4, generator), random_cov(4, generator)
    expected = kl_divergence(MultivariateNormal(mean_p, cov_p), MultivariateNormal(mean_q, cov_q))
    value = kl_gaussian(mean_p, cov_p, mean_q, cov_q)
    assert value == pytest.approx(float(expected), rel=1e-10)
    # negative control: the divergence the other way round is another number
    assert kl_gaussian(mean_q, cov_q, mean_p, cov_p) != pytest.approx(float(expected), rel=1e-3)
    to_standard = kl_divergence(
        MultivariateNormal(mean_p, cov_p), MultivariateNormal(torch.zeros(4).double(), torch.eye(4).double())
    )
    assert kl_to_standard_normal(mean_p, cov_p) == pytest.approx(float(to_standard), rel=1e-10)


def test_kl_gaussian_is_zero_for_equal_laws(generator):
    mean, cov = torch.randn(3, generator=generator), random_cov(3, generator)
    assert kl_gaussian(mean, cov, mean, cov) == pytest.approx(0, abs=1e-12)


def test_aggregate_moments_follow_total_variance(generator):
    mean, log_var = torch.randn(4000, 2, generator=generator), torch.randn(4000, 2, generator=generator) - 1
    mean[:, 1] += mean[:, 0]
    centre, cov = aggregate_moments(mean, log_var)
    index = torch.randint(4000, (400_000,), generator=generator)
    z = mean[index] + (0.5 * log_var[index]).exp() * torch.randn(400_000, 2, generator=generator)
    torch.testing.assert_close(z.double().mean(0), centre, atol=0.02, rtol=0)
    torch.testing.assert_close(z.T.double().cov(), cov, atol=0.03, rtol=0)
    # negative control: the moments of the means alone lack E s^2
    assert (z.T.double().cov() - mean.T.double().cov()).diagonal().min() > 0.3


def test_aggregate_moments_are_unbiased(generator):
    """The mean over many small sets is the population's covariance; dividing by n misses it."""
    covs = [aggregate_moments(torch.randn(4, 1, generator=generator), None)[1] for _ in range(4000)]
    average = float(torch.stack(covs).mean())
    assert average == pytest.approx(1.0, abs=0.06)
    assert average * 3 / 4 != pytest.approx(1.0, abs=0.06)


def test_aggregate_moments_of_one_image():
    centre, cov = aggregate_moments(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    assert centre.tolist() == [1.0, 2.0]
    torch.testing.assert_close(cov, torch.eye(2, dtype=torch.float64))


def test_sample_moments_survive_a_mean_far_above_the_sd(generator):
    x = torch.randn(3000, 3, generator=generator, dtype=torch.float64) + 1e6
    mean, cov = sample_moments(x, chunk=700)
    torch.testing.assert_close(cov, x.T.cov(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(mean, x.mean(0))
    # negative control: raw sums of squares in float32 lose every digit
    raw = (x.float().T @ x.float() / len(x) - torch.outer(x.float().mean(0), x.float().mean(0))).double()
    assert (raw - cov).abs().max() > 1


def test_sample_moments_do_not_depend_on_the_chunk(generator):
    x = torch.randn(1000, 5, generator=generator)
    for one, other in zip(sample_moments(x, chunk=1000), sample_moments(x, chunk=7), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rate_per_unit(torch.zeros(3), torch.zeros(3)), "mean has shape (3,)"),
        (lambda: rate_per_unit(torch.zeros(3, 2), torch.zeros(3, 1)), "log_var has shape (3, 1)"),
        (lambda: sample_moments(torch.zeros(1, 2)), "x has 1 rows: expected at least 2"),
        (lambda: sample_moments(torch.full((3, 2), float("nan"))), "x has 3 rows that are not finite"),
        (lambda: standard_normal_log_prob(torch.zeros(0, 2)), "z has 0 rows"),
        (lambda: gaussian_log_prob(torch.zeros(2, 3), torch.zeros(2), torch.eye(2)), "z has 3 columns"),
        (lambda: kl_to_standard_normal(torch.zeros(2), torch.ones(2, 2)), "cov_p is not positive definite"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value) and "\n" not in str(error.value)


def test_moments_of_many_columns_and_of_two_rows(generator):
    """More columns than one block of the symmetric product."""
    x = torch.randn(40, 300, generator=generator, dtype=torch.float64) + 1
    mean, cov = sample_moments(x, chunk=9)
    torch.testing.assert_close(cov, x.T.cov(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mean, x.mean(0), rtol=1e-12, atol=1e-12)
    assert torch.equal(cov, cov.T)
    two = torch.tensor([[1.0, 5.0], [3.0, 1.0]])
    assert (
        sample_moments(two)[1].tolist()
        == aggregate_moments(two, None)[1].tolist()
        == [[2.0, -4.0], [-4.0, 8.0]]
    )
    one = aggregate_moments(two[:1], None)
    assert [t.dtype for t in one] == [torch.float64] * 2 and one[1].tolist() == [[0, 0], [0, 0]]


def test_blocks_of_columns_and_mirrors():
    assert column_blocks(5, size=2) == [(0, 2), (2, 4), (4, 5)]
    assert column_blocks(300) == [(0, 256), (256, 300)]
    lower = torch.tensor([[1.0, 9.0, 9.0], [2.0, 3.0, 9.0], [4.0, 5.0, 6.0]])
    assert mirrored(lower).tolist() == [[1, 2, 4], [2, 3, 5], [4, 5, 6]]


def test_float32_moments_are_worked_in_float64(generator):
    mean, cov = torch.randn(4, generator=generator), random_cov(4, generator).float()
    z = torch.randn(5, 4, generator=generator)
    exact = gaussian_log_prob(z.double(), mean.double(), cov.double())
    torch.testing.assert_close(gaussian_log_prob(z, mean, cov), exact, rtol=1e-12, atol=0)
    zero, eye = torch.zeros(4), torch.eye(4)
    exact = kl_gaussian(mean.double(), cov.double(), zero.double(), eye.double())
    assert kl_gaussian(mean, cov, zero, eye) == pytest.approx(exact, rel=1e-12)
    assert kl_to_standard_normal(mean, cov) == pytest.approx(exact, rel=1e-12)
    assert standard_normal_log_prob(z).dtype == rate_per_unit(z, z).dtype == torch.float64


def test_whole_messages():
    x, bad, eye = torch.zeros(2, 2), -torch.eye(2), torch.eye(2)
    zero = torch.zeros(2)
    line = "{} is not positive definite: expected a covariance of full rank"
    refused(lambda: gaussian_log_prob(x, zero, bad), line.format("cov"))
    refused(lambda: kl_gaussian(zero, bad, zero, eye), line.format("cov_p"))
    refused(lambda: kl_gaussian(zero, eye, zero, bad), line.format("cov_q"))
    refused(lambda: gaussian_log_prob(x[:, :1], zero, eye), "z has 1 columns: expected 2")
    refused(lambda: standard_normal_log_prob(zero), "z has shape (2,): expected [n, D] with D >= 1")
    refused(lambda: sample_moments(x[:1]), "x has 1 rows: expected at least 2")
    for call in (rate_per_unit, aggregate_moments):
        refused(lambda c=call: c(x, x[:1]), "log_var has shape (1, 2): expected that of mean, (2, 2)")
        refused(lambda c=call: c(x[:0], x[:0]), "mean has 0 rows: expected at least 1")

"""The moment parts against closed forms, and their bias against simulation."""

import math

import pytest
import torch

from priorgap.estimators.decomposition import moment_decomposition
from priorgap.estimators.gaussian import aggregate_moments, kl_to_standard_normal


def test_parts_add_up_to_the_gaussian_divergence(generator):
    mean = torch.randn(50_000, 3, generator=generator) @ torch.randn(3, 3, generator=generator) + 0.4
    log_var = torch.randn(50_000, 3, generator=generator) - 1
    parts = moment_decomposition(mean, log_var, generator=generator)
    whole = kl_to_standard_normal(*aggregate_moments(mean, log_var))
    assert parts.kl_diag.value + parts.kl_corr.value == pytest.approx(whole, abs=2e-3)


def test_known_correlation(generator):
    rho, n = 0.8, 100_000
    x = torch.randn(n, 2, generator=generator)
    mean = torch.stack([x[:, 0], rho * x[:, 0] + math.sqrt(1 - rho * rho) * x[:, 1]], 1)
    parts = moment_decomposition(mean, None, generator=generator)
    expected = -0.5 * math.log(1 - rho * rho)
    assert abs(parts.kl_corr.value - expected) < 4 * parts.kl_corr.std_error
    assert abs(parts.kl_diag.value) < 4 * parts.kl_diag.std_error + 1e-4
    # degenerate twin: a model that is uncorrelated but mis-scaled has the parts the other way round
    wide = moment_decomposition(2 * x, None, generator=generator)
    assert wide.kl_corr.value < 1e-3 and wide.kl_diag.value > 1.5


def test_debiased_where_the_plug_in_is_not(generator):
    """q = N(0, I): both parts are 0; the plug-in is off by d(d+3)/4n in all, the jackknife is not."""
    n, d, repeats = 300, 8, 60
    plain, debiased = 0.0, 0.0
    for _ in range(repeats):
        mean = torch.randn(n, d, generator=generator)
        parts = moment_decomposition(mean, None, generator=generator)
        debiased += (parts.kl_diag.value + parts.kl_corr.value) / repeats
        plain += kl_to_standard_normal(*aggregate_moments(mean, None)) / repeats
    assert plain == pytest.approx(d * (d + 3) / (4 * n), rel=0.15)
    assert abs(debiased) < 0.006 < plain


def test_collapsed_units_have_no_bias_to_remove(generator):
    """With all units collapsed the textbook correction d(d+3)/4n would go below the true 0."""
    mean, log_var = torch.zeros(300, 8), torch.zeros(300, 8)
    parts = moment_decomposition(mean, log_var, generator=generator)
    assert parts.kl_diag.value == pytest.approx(0, abs=1e-9)
    assert parts.kl_corr.value == pytest.approx(0, abs=1e-9)
    assert 8 * 11 / (4 * 300) > 0.07


def test_standard_errors_are_those_of_repeated_samples(generator):
    values, errors = [], []
    for _ in range(60):
        mean = torch.randn(500, 3, generator=generator) * 1.3
        kl_diag = moment_decomposition(mean, None, generator=generator).kl_diag
        values.append(kl_diag.value)
        errors.append(kl_diag.std_error)
    ratio = torch.tensor(errors).mean() / torch.tensor(values).std()
    assert 0.7 < float(ratio) < 1.4


def test_negentropy_is_invisible_to_moments(generator):
    sign = torch.where(torch.rand(20_000, 1, generator=generator) < 0.5, 1.0, -1.0)
    s = 0.2
    parts = moment_decomposition(
        sign * math.sqrt(1 - s * s), torch.full((20_000, 1), 2 * math.log(s)), generator=generator
    )
    assert abs(parts.kl_diag.value) < 1e-3


def test_few_images_and_constant_units(generator):
    assert moment_decomposition(torch.randn(5, 1, generator=generator), None, generator=generator)
    with pytest.raises(ValueError, match="unit 1 of mean is constant"):
        moment_decomposition(
            torch.stack([torch.randn(9, generator=generator), torch.zeros(9)], 1), None, generator=generator
        )
    with pytest.raises(ValueError, match="mean has 2 rows: expected at least 3"):
        moment_decomposition(torch.randn(2, 1, generator=generator), None, generator=generator)
    with pytest.raises(ValueError, match="covariance of z is singular"):
        moment_decomposition(torch.randn(5, 9, generator=generator), None, generator=generator)

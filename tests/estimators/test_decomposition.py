"""The moment parts against closed forms, and their bias against simulation."""

import math

import pytest
import torch
from refusals import drawn_from_its_generator, refused, seeded

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
    with pytest.raises(ValueError, match="latent unit 1 is constant"):
        moment_decomposition(
            torch.stack([torch.randn(9, generator=generator), torch.zeros(9)], 1), None, generator=generator
        )
    with pytest.raises(ValueError, match="mean has 2 rows: expected at least 3"):
        moment_decomposition(torch.randn(2, 1, generator=generator), None, generator=generator)
    with pytest.raises(ValueError, match="covariance of the latent units is singular"):
        moment_decomposition(torch.randn(5, 9, generator=generator), None, generator=generator)


def closed_parts(mean, log_var):
    """Both parts from the moments of the aggregate, one number each."""
    centre, cov = aggregate_moments(mean, log_var)
    variance = cov.diagonal()
    scale = variance.sqrt()
    return (
        0.5 * float((centre.square() + variance - 1 - variance.log()).sum()),
        -0.5 * float(torch.logdet(cov / scale[:, None] / scale[None])),
    )


@pytest.mark.parametrize("with_log_var", [True, False])
@pytest.mark.parametrize(("n", "n_groups"), [(50, 20), (50, 7), (9, 30)])
def test_is_the_delete_group_jackknife_of_the_closed_form(n, n_groups, with_log_var, generator):
    """Group by group, each left out of the moments anew; means far from 0 cost no digits."""
    mean = 100 + torch.randn(n, 3, generator=generator) @ torch.randn(3, 3, generator=generator)
    log_var = torch.randn(n, 3, generator=generator) - 1 if with_log_var else None
    found = moment_decomposition(mean, log_var, generator=seeded(), n_groups=n_groups)
    g = min(n, n_groups)
    group = torch.empty(n, dtype=torch.long)
    group[torch.randperm(n, generator=seeded())] = torch.arange(n) % g
    left_out = [
        closed_parts(mean[group != k], None if log_var is None else log_var[group != k]) for k in range(g)
    ]
    for part, whole, values in zip(
        (found.kl_diag, found.kl_corr), closed_parts(mean, log_var), zip(*left_out, strict=True), strict=True
    ):
        values = torch.tensor(values, dtype=torch.float64)
        assert part.value == pytest.approx(float(g * whole - (g - 1) * values.mean()), rel=1e-9)
        spread = (g - 1) / g * (values - values.mean()).square().sum()
        assert part.std_error == pytest.approx(math.sqrt(float(spread)), rel=1e-7)


def test_twenty_groups_unless_asked_otherwise(generator):
    mean = torch.randn(60, 2, generator=generator)
    found = drawn_from_its_generator(lambda g: moment_decomposition(mean, None, generator=g))
    assert found == moment_decomposition(mean, None, generator=seeded(), n_groups=20)


def test_whole_messages(generator):
    x = torch.randn(9, 3, generator=generator)
    moment_decomposition(x[:3, :1], None, generator=generator)
    line = "latent unit {} is constant: its divergence from the prior is infinite"
    for units in ((0,), (2,), (1, 2)):
        y = x.clone()
        y[:, list(units)] = 1.0
        refused(lambda y=y: moment_decomposition(y, None, generator=generator), line.format(units[0]))
    refused(
        lambda: moment_decomposition(x[:4].repeat(1, 3), None, generator=generator),
        "the covariance of the latent units is singular: expected more rows than units",
    )
    refused(
        lambda: moment_decomposition(x, x[:, :2], generator=generator),
        "log_var has shape (9, 2): expected that of mean, (9, 3)",
    )
    refused(
        lambda: moment_decomposition(x[:2], None, generator=generator), "mean has 2 rows: expected at least 3"
    )

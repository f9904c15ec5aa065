"""The bootstrap against closed forms, and where it must not be used."""

import math

import pytest
import torch

from priorgap.estimators.bootstrap import bootstrap_std_error
from priorgap.estimators.mixture import mixture_log_prob


def test_of_a_mean_is_the_closed_form(generator):
    x = torch.randn(400, generator=generator).double()
    got = bootstrap_std_error(lambda i: float(x[i].mean()), [400], generator=generator, n_repeats=2000)
    assert got == pytest.approx(float(x.std()) / 20, rel=4 / math.sqrt(4000))


def test_samples_are_resampled_independently(generator):
    x, y = torch.randn(300, generator=generator).double(), 3 * torch.randn(200, generator=generator).double()
    got = bootstrap_std_error(
        lambda i, j: float(x[i].mean() - y[j].mean()), [300, 200], generator=generator, n_repeats=2000
    )
    assert got == pytest.approx(math.hypot(float(x.std()) / 300**0.5, float(y.std()) / 200**0.5), rel=0.07)


def test_a_constant_has_none(generator):
    assert bootstrap_std_error(lambda i: 2.0, [10], generator=generator) == 0


def test_duplicates_shift_a_mixture(generator):
    """Why images are never resampled into a distance or a mixture: the statistic itself moves."""
    mean, log_var = torch.randn(300, 8, generator=generator), torch.full((300, 8), -4.0)
    everything = float(mixture_log_prob(mean, mean, log_var).mean())
    rows = torch.randint(0, 300, (300,), generator=generator)
    resampled = float(mixture_log_prob(mean[rows], mean[rows], log_var[rows]).mean())
    assert resampled > everything + 0.3


def test_bad_input(generator):
    with pytest.raises(ValueError, match=r"sizes=\[1\]"):
        bootstrap_std_error(lambda i: 0.0, [1], generator=generator)
    with pytest.raises(ValueError, match=r"sizes=\[\]"):
        bootstrap_std_error(lambda: 0.0, [], generator=generator)
    with pytest.raises(ValueError, match="n_repeats=1"):
        bootstrap_std_error(lambda i: 0.0, [5], generator=generator, n_repeats=1)

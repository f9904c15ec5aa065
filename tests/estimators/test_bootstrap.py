"""The bootstrap against closed forms, and where it must not be used."""

import math

import pytest
import torch
from refusals import drawn_from_its_generator, refused

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


def test_rows_are_drawn_from_all_rows_200_times(generator):
    seen = []
    bootstrap_std_error(lambda i, j: float(seen.append((i, j)) or 0), [3, 5], generator=generator)
    assert len(seen) == 200
    for k, n in enumerate((3, 5)):
        rows = [pair[k] for pair in seen]
        assert all(len(r) == n for r in rows)
        assert torch.cat(rows).unique().tolist() == list(range(n))


def test_the_spread_keeps_the_digits_of_float64(generator):
    x = torch.rand(50, generator=generator).double()
    plain, far = (
        bootstrap_std_error(
            lambda i, c=c: float(x[i].mean()) + c, [50], generator=torch.Generator().manual_seed(1)
        )
        for c in (0.0, 1e6)
    )
    assert far == pytest.approx(plain, rel=1e-6)


def test_least_sizes_and_whole_messages(generator):
    x = torch.rand(9, generator=generator)
    drawn_from_its_generator(
        lambda g: bootstrap_std_error(lambda i: float(x[i].sum()), [9], generator=g, n_repeats=2)
    )
    assert bootstrap_std_error(lambda i: float(i.sum()), [2], generator=generator) > 0
    for sizes, n, line in (
        ([], 5, "sizes=[]: expected integers >= 2"),
        ([4, 1], 5, "sizes=[4, 1]: expected integers >= 2"),
        ([4], 1, "n_repeats=1: expected an integer >= 2"),
    ):
        refused(
            lambda s=sizes, n=n: bootstrap_std_error(lambda *i: 0.0, s, generator=generator, n_repeats=n),
            line,
        )

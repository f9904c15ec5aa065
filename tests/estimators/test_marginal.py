"""Marginal divergences against quadrature of the exact mixture."""

import math
from dataclasses import replace

import pytest
import torch
from refusals import refused

from priorgap.estimators import marginal
from priorgap.estimators.gaussian import kl_to_standard_normal, rate_per_unit
from priorgap.estimators.marginal import _levels, marginal_divergences, on_grid


def quadrature(mean, std, step=1e-3, half=12.0):
    """KL, TV, W1 of the exact one-dimensional mixture from N(0, 1) by a fine Riemann sum."""
    x = torch.arange(-half, half, step, dtype=torch.float64)
    mean, std = mean.double(), std.double()
    q = torch.zeros_like(x)
    for m, s in zip(mean, std, strict=True):
        q += torch.exp(-0.5 * ((x - m) / s).square()) / (s * math.sqrt(2 * math.pi))
    q /= len(mean)
    log_p = -0.5 * (x.square() + math.log(2 * math.pi))
    p = log_p.exp()
    kl = torch.where(q > 0, q * (q.clamp_min(1e-300).log() - log_p), torch.zeros_like(q)).sum() * step
    tv = 0.5 * (q - p).abs().sum() * step
    w1 = ((q - p).cumsum(0) * step).abs().sum() * step
    return float(kl), float(tv), float(w1)


@pytest.mark.parametrize("scale", [0.0, 0.7])
def test_equals_quadrature(scale, generator):
    mean = torch.randn(200, 3, generator=generator) * torch.tensor([1.0, 0.3, 2.0]) + torch.tensor(
        [0.0, 1.0, -1.0]
    )
    log_var = scale * torch.randn(200, 3, generator=generator) + torch.tensor([-1.0, -3.0, -5.0])
    result = marginal_divergences(mean, log_var)
    for j in range(3):
        kl, tv, w1 = quadrature(mean[:, j], (0.5 * log_var[:, j].double()).exp())
        assert float(result.kl[j]) == pytest.approx(kl, abs=3e-4)
        assert float(result.total_variation[j]) == pytest.approx(tv, abs=3e-4)
        assert float(result.wasserstein1[j]) == pytest.approx(w1, abs=3e-4)


def test_closed_form_of_a_single_gaussian():
    mean, log_var = torch.tensor([[0.5, 0.0, -2.0]]), torch.tensor([[0.0, -1.4, 0.8]])
    result = marginal_divergences(mean, log_var)
    for j in range(3):
        cov = log_var[0, j].double().exp().view(1, 1)
        assert float(result.kl[j]) == pytest.approx(kl_to_standard_normal(mean[0, j : j + 1], cov), abs=1e-5)
    assert float(result.wasserstein1[0]) == pytest.approx(0.5, abs=1e-4)


def test_same_law_gives_zero_and_collapse_gives_zero(generator):
    """Total variance 1: a linear VAE's unit; and a collapsed unit, mean 0 and s = 1."""
    n = 20_000
    quantiles = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    mean = torch.stack([quantiles * math.sqrt(1 - 0.09), torch.zeros(n)], 1)
    log_var = torch.tensor([2 * math.log(0.3), 0.0]).expand(n, 2)
    result = marginal_divergences(mean, log_var)
    assert result.kl.abs().max() < 1e-4 and result.total_variation.max() < 2e-3


def test_detects_shift_scale_point_and_two_modes(generator):
    n = 5000
    noise = torch.randn(n, generator=generator)
    sign = torch.where(torch.arange(n) % 2 == 0, 1.0, -1.0)
    mean = torch.stack([noise * 0.8 + 1, noise * 0.2, torch.zeros(n), sign * 0.954], 1)
    log_var = torch.tensor([-1.0, -3.0, 2 * math.log(0.01), 2 * math.log(0.3)]).expand(n, 4)
    kl = marginal_divergences(mean, log_var).kl
    assert kl[0] > 0.4
    assert kl[1] > 0.3
    assert kl[2] == pytest.approx(-0.5 + math.log(100), abs=0.01)
    assert kl[3] > 0.3
    # negative control: two moments see nothing in the two-mode unit, whose variance is 1
    assert abs(float(mean[:, 3].var() + 0.09) - 1) < 0.01


def test_density_is_normalised_and_keeps_mean_and_variance(generator):
    mean, log_var = torch.randn(500, 2, generator=generator), torch.randn(500, 2, generator=generator) - 3
    result = marginal_divergences(mean, log_var)
    step = float(result.step[0])
    assert torch.equal(result.step, result.step[:1].expand(2))
    torch.testing.assert_close(result.density.sum(1) * step, torch.ones(2, dtype=torch.float64))
    first = (result.density * result.grid).sum(1) * step
    second = (result.density * result.grid.square()).sum(1) * step
    torch.testing.assert_close(first, mean.double().mean(0), atol=1e-6, rtol=0)
    expected = (mean.double().square() + log_var.double().exp()).mean(0)
    torch.testing.assert_close(second, expected, atol=1e-5, rtol=0)


def test_far_units_are_inside_the_grid():
    result = marginal_divergences(torch.tensor([[50.0], [51.0]]), torch.zeros(2, 1))
    assert float(result.kl[0]) > 1000 and result.grid[0, -1] > 51
    assert float(result.wasserstein1[0]) == pytest.approx(50.5, rel=1e-3)


def test_the_rate_is_not_the_mismatch(generator):
    """An informative unit has a large rate and no mismatch."""
    mean = torch.randn(20_000, 1, generator=generator) * math.sqrt(1 - 0.01)
    log_var = torch.full((20_000, 1), math.log(0.01))
    assert float(rate_per_unit(mean, log_var).mean()) > 2
    assert float(marginal_divergences(mean, log_var).kl) < 0.01


def test_bias_for_the_population_is_about_one_over_n_s(generator):
    """q = N(0, 1): the truth is 0 and what is left is the bias that the docstring states."""
    n, s = 500, 0.1
    kl = [
        float(
            marginal_divergences(
                math.sqrt(1 - s * s) * torch.randn(n, 1, generator=generator),
                torch.full((n, 1), 2 * math.log(s)),
            ).kl
        )
        for _ in range(30)
    ]
    assert 0.5 < sum(kl) / 30 * n * s < 1.6


def test_levels_of_s_keep_its_variance():
    std = torch.tensor([0.1, 0.13, 0.5, 0.9, 1.0]).double()
    level, below, upper = _levels(std)
    assert float(level[0]) == pytest.approx(0.1) and float(level[-1]) == pytest.approx(1.0)
    gaps = level.log().diff()
    assert float(gaps.max()) <= 0.05 + 1e-9 and float(gaps.max() - gaps.min()) < 1e-9
    assert len(level) == math.ceil(math.log(10) / 0.05) + 1
    mixed = (1 - upper) * level[below].square() + upper * level[below + 1].square()
    torch.testing.assert_close(mixed, std.square(), rtol=1e-9, atol=0)
    assert float(upper.min()) >= 0 and float(upper.max()) <= 1
    one = _levels(torch.full((3,), 0.7).double())
    assert one[0].tolist() == pytest.approx([0.7]) and one[1].tolist() == one[2].tolist() == [0, 0, 0]
    pair = _levels(torch.tensor([0.7, 0.701]).double())
    assert pair[0].tolist() == pytest.approx([0.7, 0.701]) and pair[1].tolist() == [0, 0]
    assert pair[2].tolist() == pytest.approx([0, 1])


def test_the_grid_holds_six_steps_a_standard_deviation():
    def grid(mean, std):
        log_var = torch.full((1, 1), 2 * math.log(std), dtype=torch.float64)
        return marginal_divergences(torch.full((1, 1), float(mean)), log_var).grid[0]

    for mean, std, low, high, n in (
        (0, 1.0, -10, 10, 4096),  # the least
        (0, 0.01, -10, 10, 16384),  # 6 * 20 / 0.01 = 12,000, to a power of 2
        (0, 1e-4, -10, 10, 65536),  # the most
        (30, 1.0, -10, 36, 4096),
        (-30, 2.0, -42, 10, 4096),
    ):
        found = grid(mean, std)
        step = float(found[1] - found[0])
        assert len(found) == n and found.dtype == torch.float64
        assert (float(found[0]), float(found[-1]) + step) == pytest.approx((low, high), rel=1e-9)


def test_a_spike_and_a_wide_unit_by_hand():
    """Two far spikes of 0.001: densities, distances and divergence of two Gaussians that do not overlap."""
    mean = torch.tensor([[-1.0], [1.0]])
    found = marginal_divergences(mean, torch.full((2, 1), 2 * math.log(0.01)))
    truth = -math.log(2) - 0.5 - math.log(0.01) + 0.5 * (1 + 1e-4)
    assert float(found.kl) == pytest.approx(truth, abs=1e-4)
    assert 0.96 < float(found.total_variation) < 0.98  # the spikes cover 0.03 of N(0, 1)
    assert float(found.density.min()) >= 0


def test_whole_messages():
    x = torch.zeros(2, 2)
    refused(
        lambda: marginal_divergences(x, x[:, :1]), "log_var has shape (2, 1): expected that of mean, (2, 2)"
    )
    refused(lambda: marginal_divergences(x[:0], x[:0]), "mean has 0 rows: expected at least 1")


def test_units_of_very_different_scales_have_grids_of_their_own():
    """s = 0.003 beside a unit spread over +-900: on one grid for both it gave 0.198."""
    n = 200
    generator = torch.Generator().manual_seed(1)
    narrow = torch.randn(n, generator=generator)
    mean = torch.stack([narrow, torch.linspace(-900, 900, n)], 1)
    log_var = torch.tensor([2 * math.log(0.003), 0.0]).expand(n, 2)
    both, alone = marginal_divergences(mean, log_var), marginal_divergences(mean[:, :1], log_var[:, :1])
    truth = quadrature(mean[:, 0], torch.full((n,), 0.003), step=1e-4)
    assert float(both.kl[0]) == pytest.approx(truth[0], abs=1e-3)
    assert float(both.kl[0]) == pytest.approx(float(alone.kl[0]), abs=1e-9)
    assert both.resolved.tolist() == [True, True]
    # a unit that has both scales itself is named
    mixed = marginal_divergences(mean.sum(1, keepdim=True), log_var[:, :1])
    assert mixed.resolved.tolist() == [False]


def test_far_and_wide_posteriors_have_divergences_without_nan():
    found = marginal_divergences(torch.tensor([[-1000.0], [1000.0]]), torch.tensor([[-1000.0], [1000.0]]))
    assert float(found.kl) == math.inf and not bool(found.resolved)
    assert 0 <= float(found.total_variation) <= 1 + 1e-9 and float(found.wasserstein1) > 1e200
    wide = marginal_divergences(torch.zeros(1, 1), torch.full((1, 1), 2 * math.log(1e4)))
    assert float(wide.kl) == pytest.approx(0.5 * 1e8 - 0.5 - math.log(1e4), rel=1e-4)
    assert float(wide.total_variation) == pytest.approx(1, abs=2e-3)


def test_levels_in_pieces_give_the_same(generator, monkeypatch):
    mean, log_var = torch.randn(300, 1, generator=generator), 3 * torch.randn(300, 1, generator=generator) - 3
    whole = marginal_divergences(mean, log_var)
    monkeypatch.setattr(marginal, "_LEVELS", 3)
    torch.testing.assert_close(
        marginal_divergences(mean, log_var).density, whole.density, atol=1e-12, rtol=1e-9
    )


def test_densities_on_one_grid():
    mean = torch.tensor([[0.0, 300.0], [0.5, 310.0]])
    found = marginal_divergences(mean, torch.zeros(2, 2))
    grid = found.grid[0]
    shared = on_grid(found, grid)
    torch.testing.assert_close(shared[0], found.density[0])
    assert float(shared[1].max()) < 1e-12
    assert float(on_grid(found, torch.tensor([305.0]).double())[1]) > 0


def test_densities_at_other_points_are_linear_between_the_grid_s_and_zero_beyond_its_ends():
    found = marginal_divergences(torch.zeros(2, 1), torch.zeros(2, 1))
    by_hand = replace(
        found,
        low=torch.tensor([1.0, 10.0]).double(),
        step=torch.tensor([0.5, 2.0]).double(),
        density=torch.tensor([[4.0, 2.0, 6.0], [1.0, 3.0, 5.0]]).double(),
    )
    points = torch.tensor([0.99, 1.0, 1.25, 1.5, 1.9, 2.0, 2.01, 9.9, 10.0, 13.0, 14.0, 14.1, 1e300]).double()
    expected = [
        [0.0, 4.0, 3.0, 2.0, 5.2, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 4.0, 5.0, 0.0, 0.0],
    ]
    torch.testing.assert_close(on_grid(by_hand, points), torch.tensor(expected).double())

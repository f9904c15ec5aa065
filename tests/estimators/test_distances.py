"""MMD, sliced Wasserstein and the radius test: closed forms, nulls, detection, wrong variants."""

import math

import pytest
import torch
from refusals import drawn_from_its_generator, refused, seeded
from scipy import stats

from priorgap.estimators.distances import (
    _kernel_sums,
    minus_null,
    radius_test,
    sliced_wasserstein,
    squared_mmd,
)
from priorgap.estimators.uncertainty import Estimate


def normal(n, generator, scale=1.0, shift=0.0, d=3):
    return shift + scale * torch.randn(n, d, generator=generator, dtype=torch.float64)


def one_sided(n, generator, d=3):
    z = normal(n, generator, d=d)
    z[:, 0] = z[:, 0].abs()
    return z


def kernel(x, y, scale):
    return scale / (scale + (x[:, None] - y[None]).square().sum(2))


def test_mmd_equals_the_double_loop(generator):
    a, b = normal(40, generator), normal(30, generator, shift=0.5)
    within_a = (kernel(a, a, 6.0).sum() - 40) / (40 * 39)
    within_b = (kernel(b, b, 6.0).sum() - 30) / (30 * 29)
    expected = float(within_a + within_b - 2 * kernel(a, b, 6.0).mean())
    assert squared_mmd(a, b).value == pytest.approx(expected, abs=1e-12)
    assert squared_mmd(a, b, scale=1.0).value != pytest.approx(expected, abs=1e-3)
    assert squared_mmd(a, b).value == pytest.approx(squared_mmd(b, a).value, abs=1e-12)


def population_mmd(shift, d=3, scale=6.0):
    """By quadrature: E k for x - y ~ N(m, 2 I) is E over chi-squared of C / (C + 2 chi²(lambda))."""

    def mean_kernel(m2):
        law = stats.ncx2(d, m2 / 2) if m2 else stats.chi2(d)
        return law.expect(lambda r: scale / (scale + 2 * r), epsabs=1e-10)

    return 2 * mean_kernel(0.0) - 2 * mean_kernel(d * shift**2)


def test_mmd_is_unbiased_and_its_error_is_the_scatter(generator):
    found = [squared_mmd(normal(300, generator, shift=0.6), normal(300, generator)) for _ in range(100)]
    values = torch.tensor([f.value for f in found])
    assert float(values.mean()) == pytest.approx(population_mmd(0.6), abs=3 * float(values.std()) / 10)
    assert sum(f.std_error for f in found) / 100 == pytest.approx(float(values.std()), rel=0.25)


def test_mmd_null_is_zero_and_the_v_statistic_is_not(generator):
    """Negative control: keeping k(x, x) in the sums makes equal laws look different."""
    sets = [(normal(100, generator), normal(100, generator)) for _ in range(60)]
    values = torch.tensor([squared_mmd(a, b).value for a, b in sets])
    error = float(values.std()) / math.sqrt(60)
    assert abs(float(values.mean())) < 3 * error
    wrong = [
        float(kernel(a, a, 6.0).mean() + kernel(b, b, 6.0).mean() - 2 * kernel(a, b, 6.0).mean())
        for a, b in sets
    ]
    assert sum(wrong) / 60 > 10 * error


def test_sliced_wasserstein_of_a_shift_and_of_a_scale(generator):
    n = 4000
    shifted = sliced_wasserstein(
        normal(n, generator, shift=1.0), normal(n, generator), generator=generator, n_projections=400
    )
    assert shifted.value == pytest.approx(1.0, abs=3 * shifted.std_error + 0.1)  # |m|² / d
    scaled = sliced_wasserstein(
        normal(n, generator, 0.4), normal(n, generator), generator=generator, n_projections=50
    )
    assert scaled.value == pytest.approx(0.36, abs=3 * scaled.std_error + 0.01)


def test_sliced_wasserstein_in_one_dimension_equals_sorting(generator):
    a, b = normal(200, generator, d=1), normal(200, generator, 2.0, d=1)
    expected = float((a[:, 0].sort().values - b[:, 0].sort().values).square().mean())
    assert sliced_wasserstein(a, b, generator=generator).value == pytest.approx(expected)
    # negative control: unsorted pairs say more, even where the sets are one
    assert float((a - b).square().mean()) > 2 * expected
    assert sliced_wasserstein(a, a.flip(0), generator=generator) == Estimate(0.0, 0.0)


def test_sliced_wasserstein_error_is_the_scatter(generator):
    def one(seed):
        directions = torch.Generator().manual_seed(7)  # the same ones: they are held fixed
        return sliced_wasserstein(
            normal(300, seed, 1.5, 0.5), normal(300, seed), generator=directions, n_projections=20
        )

    found = [one(generator) for _ in range(150)]
    scatter = float(torch.tensor([f.value for f in found]).std())
    assert sum(f.std_error for f in found) / 150 == pytest.approx(scatter, rel=0.2)


def null_test(statistic, z, generator, repeats=30):
    n = len(z)
    observed = statistic(z, normal(n, generator))
    null = [statistic(normal(n, generator), normal(n, generator)).value for _ in range(repeats)]
    return minus_null(observed, null)


STATISTICS = {
    "mmd": lambda g: squared_mmd,
    "sliced": lambda g: lambda a, b: sliced_wasserstein(a, b, generator=g, n_projections=20),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_against_its_null_good_bad_degenerate(name, generator):
    statistic = STATISTICS[name](generator)
    good = null_test(statistic, normal(400, generator), generator)
    assert abs(good.excess.value) < 3 * good.excess.std_error and good.p_value > 0.03
    for bad in (
        normal(400, generator, shift=0.5),
        normal(400, generator, scale=0.6),
        one_sided(400, generator),
        torch.zeros(400, 3),
    ):
        found = null_test(statistic, bad, generator)
        assert found.excess.value > 3 * found.excess.std_error and found.p_value == pytest.approx(1 / 31)


def test_p_values_are_uniform_at_equal_laws(generator):
    p = [null_test(squared_mmd, normal(60, generator), generator, repeats=19).p_value for _ in range(100)]
    assert sum(x <= 0.25 for x in p) / 100 == pytest.approx(0.25, abs=3 * math.sqrt(0.25 * 0.75 / 100))


def test_raw_sliced_wasserstein_is_positive_at_equal_laws(generator):
    """Negative control: without its null the distance calls equal laws different."""
    raw = [
        sliced_wasserstein(
            normal(200, generator), normal(200, generator), generator=generator, n_projections=20
        )
        for _ in range(30)
    ]
    values = torch.tensor([r.value for r in raw])
    assert float(values.mean()) > 10 * float(values.std()) / math.sqrt(30)


def test_minus_null_by_hand():
    found = minus_null(Estimate(2.0, 0.3), [0.0, 1.0, 2.0])
    assert found.excess.value == pytest.approx(1.0)
    assert found.excess.std_error == pytest.approx(math.hypot(0.3, math.sqrt(4 / 3)))
    assert found.p_value == pytest.approx(2 / 4)


@pytest.mark.parametrize("d", [2, 32])
def test_radius_same_law(d, generator):
    found = [radius_test(normal(500, generator, d=d)) for _ in range(60)]
    values = torch.tensor([f.excess.value for f in found])
    assert abs(float(values.mean())) < 3 * float(values.std()) / math.sqrt(60) + 0.003
    assert all(abs(f.excess.value) < 3 * f.excess.std_error for f in found)
    # negative control: the distance without its null's mean is never 0
    assert float(values.mean()) + 0.869 / math.sqrt(500) > 5 * float(values.std()) / math.sqrt(60)
    assert 0.3 < sum(f.p_value for f in found) / 60 < 0.7


def test_radius_of_a_scaled_law_is_known(generator):
    """|z|² / s² is chi-squared: the largest gap of the two distribution functions, on a grid."""
    d, scale, n = 8, 0.9, 20_000
    grid = torch.linspace(0, 40, 40_001).numpy()
    truth = float(abs(stats.chi2(d).cdf(grid / scale**2) - stats.chi2(d).cdf(grid)).max())
    found = radius_test(normal(n, generator, scale, d=d))
    assert found.excess.value + 0.869 / math.sqrt(n) == pytest.approx(truth, abs=3 * found.excess.std_error)
    assert found.p_value < 1e-6


def test_radius_sees_the_soap_bubble_and_not_its_holes(generator):
    d = 32
    mixed = normal(2000, generator, d=d) * torch.where(torch.arange(2000) % 2 == 0, 0.6, 1.28)[:, None]
    assert float(mixed.var()) == pytest.approx(1, abs=0.03)  # moments agree
    assert radius_test(mixed).excess.value > 0.3
    assert radius_test(torch.zeros(50, d)).excess.value == pytest.approx(1 - 0.869 / math.sqrt(50), abs=1e-3)
    hole = radius_test(one_sided(2000, generator, d=d))
    assert abs(hole.excess.value) < 3 * hole.excess.std_error


def test_bad_input(generator):
    z = normal(5, generator)
    with pytest.raises(ValueError, match="scale=0"):
        squared_mmd(z, z, scale=0)
    with pytest.raises(ValueError, match="b has 4 rows: expected 5"):
        sliced_wasserstein(z, z[:4], generator=generator)
    with pytest.raises(ValueError, match="n_projections=0"):
        sliced_wasserstein(z, z, generator=generator, n_projections=0)
    with pytest.raises(ValueError, match="null has 1 values"):
        minus_null(Estimate(0.0), [1.0])
    with pytest.raises(ValueError, match="z has 1 rows"):
        radius_test(z[:1])


def test_mmds_error_written_out(generator):
    a, b = normal(12, generator), normal(9, generator, shift=0.5)
    h_a = (kernel(a, a, 6.0).sum(1) - 1) / 11 - kernel(a, b, 6.0).mean(1)
    h_b = (kernel(b, b, 6.0).sum(1) - 1) / 8 - kernel(a, b, 6.0).mean(0)
    expected = math.sqrt(4 * float(h_a.var() / 12 + h_b.var() / 9))
    assert squared_mmd(a, b).std_error == pytest.approx(expected, rel=1e-12)
    assert squared_mmd(a, b) == squared_mmd(a, b, scale=6.0) != squared_mmd(a, b, scale=5.0)
    two = squared_mmd(a[:2], b[:2])
    expected = float(
        kernel(a[:1], a[1:2], 6.0) + kernel(b[:1], b[1:2], 6.0) - 2 * kernel(a[:2], b[:2], 6.0).mean()
    )
    assert two.value == pytest.approx(expected, rel=1e-12)
    far = squared_mmd(a.float() + 100, b.float() + 100)  # float32 rows are worked in float64
    assert far.value == pytest.approx(squared_mmd(a, b).value, abs=1e-5)


def test_kernel_sums_do_not_depend_on_the_chunk(generator):
    a, b = normal(20, generator), normal(7, generator)
    for one, other in zip(_kernel_sums(a, b, 3.0), _kernel_sums(a, b, 3.0, chunk=6), strict=True):
        torch.testing.assert_close(one, other)


def test_sliced_wasserstein_step_by_step(generator):
    a, b = normal(15, generator, shift=0.4).float(), normal(15, generator, 1.3).float()
    direction = torch.randn(3, 100, generator=seeded(), dtype=torch.float64)
    direction = direction / direction.square().sum(0).sqrt()
    x, y = a.double() @ direction, b.double() @ direction
    cost = (x.sort(0).values - y.sort(0).values).square().mean()
    variance = 0.0
    for own, other in ((x, y), (y, x)):
        potential = torch.zeros(15, dtype=torch.float64)
        for column in range(100):
            order, target = own[:, column].argsort(), other[:, column].sort().values
            at = own[order, column]
            slope = 2 * (at - target)
            rise = torch.trapezoid
            for k in range(1, 15):
                potential[order[k]] += float(rise(slope[: k + 1], at[: k + 1])) / 100
        variance += float(potential.var()) / 15
    found = drawn_from_its_generator(lambda g: sliced_wasserstein(a, b, generator=g))
    assert (found.value, found.std_error) == pytest.approx((float(cost), math.sqrt(variance)), rel=1e-10)
    assert sliced_wasserstein(a[:2], b[:2], generator=generator, n_projections=1).std_error >= 0


def test_radius_of_three_points_by_hand():
    """Distribution function steps of 1/3 against chi-squared's, at the two sides of each point."""
    z = torch.tensor([[0.5, 0.0], [0.0, 1.0], [1.5, 0.0]])
    cdf = stats.chi2(2).cdf([0.25, 1.0, 2.25])
    gap = max(max(abs((k + 1) / 3 - c), abs(k / 3 - c)) for k, c in enumerate(cdf))
    found, root = radius_test(z), math.sqrt(3)
    assert found.excess.value == pytest.approx(gap - math.sqrt(math.pi / 2) * math.log(2) / root, abs=1e-12)
    # the largest gap is below the last step: 1 there, and no binomial scatter but the null's
    assert found.excess.std_error == pytest.approx(max(0.0, 0.260333) / root, rel=1e-5)
    mixed = radius_test(torch.cat([torch.full((6, 2), 1e-3), torch.full((4, 2), 9.0)]))
    assert mixed.excess.std_error == pytest.approx(math.sqrt(0.6 * 0.4 / 10), rel=1e-5)


def test_p_values_count_ties_and_need_two_null_values():
    found = minus_null(Estimate(1.0), [1.0, 0.5])
    assert found.p_value == pytest.approx(2 / 3)
    assert found.excess.value == pytest.approx(0.25)
    assert found.excess.std_error == pytest.approx(math.sqrt(0.125 * 1.5))


def test_whole_messages(generator):
    z = normal(5, generator)
    for scale in (0, -1.0, math.inf):
        refused(lambda s=scale: squared_mmd(z, z, scale=s), f"scale={scale}: expected a positive number")
    for call in (squared_mmd, lambda a, b: sliced_wasserstein(a, b, generator=generator)):
        refused(lambda c=call: c(z[:1], z), "a has 1 rows: expected at least 2")
        refused(lambda c=call: c(z, z[:1]), "b has 1 rows: expected at least 2")
        refused(lambda c=call: c(z, z[:, :2]), "b has 2 columns: expected 3")
    refused(lambda: sliced_wasserstein(z, z[:4], generator=generator), "b has 4 rows: expected 5, as a has")
    refused(
        lambda: sliced_wasserstein(z, z, generator=generator, n_projections=0),
        "n_projections=0: expected an integer >= 1",
    )
    refused(lambda: minus_null(Estimate(0.0), [1.0]), "null has 1 values: expected at least 2")
    refused(lambda: radius_test(z[:1]), "z has 1 rows: expected at least 2")

"""The exact binomial interval and the total-variation bound."""

import math

import pytest
import torch
from refusals import refused
from scipy import stats

from priorgap.estimators.two_sample import clopper_pearson, total_variation_bound


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 10), (517, 1000)])
def test_equals_scipys_exact_interval(hits, n):
    peer = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert clopper_pearson(hits, n) == pytest.approx((peer.low, peer.high), abs=1e-12)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.99])
def test_never_covers_less_than_it_says(p):
    """By summing the binomial law: the lower limit alone errs at most 2.5 %; the normal one errs more (control)."""
    n = 60
    law = stats.binom(n, p)
    exact = sum(law.pmf(k) for k in range(n + 1) if clopper_pearson(k, n)[0] > p)
    assert exact <= 0.025

    def normal_low(k):
        return k / n - 1.96 * math.sqrt(k / n * (1 - k / n) / n)

    wrong = sum(law.pmf(k) for k in range(n + 1) if normal_low(k) > p)
    assert wrong > 0.025 or p == 0.5


def best_guess(z, shift):
    return z > shift / 2


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_bound_of_the_best_classifier_is_the_total_variation(shift, generator):
    """N(m, 1) against N(0, 1): TV = 2 Phi(m / 2) - 1."""
    n = 20_000
    of_q = torch.rand(n, generator=generator) < 0.5
    z = torch.randn(n, generator=generator) + shift * of_q
    found = total_variation_bound(int((best_guess(z, shift) == of_q).sum()), n)
    truth = 2 * stats.norm.cdf(shift / 2) - 1
    assert abs(found.point.value - truth) < 3 * found.point.std_error
    assert found.low <= truth <= found.high
    assert (found.low > 0) == (shift > 0)
    poor = total_variation_bound(int(((z > shift) == of_q).sum()), n)
    assert poor.low <= truth  # any classifier is below


def test_a_classifier_that_saw_the_rows_exceeds_the_truth(generator):
    """Negative control: the nearest neighbour among the very rows it is scored on is always right."""
    cheat = total_variation_bound(500, 500)
    assert cheat.low > 0.98  # where TV may be 0


def test_bad_input():
    with pytest.raises(ValueError, match="hits=3, n=2"):
        clopper_pearson(3, 2)
    with pytest.raises(ValueError, match="hits=0, n=0"):
        clopper_pearson(0, 0)
    with pytest.raises(ValueError, match=r"level=1.0"):
        clopper_pearson(1, 2, 1.0)


def test_by_hand_at_another_level():
    found = total_variation_bound(30, 96, 0.5)
    low, high = stats.binomtest(30, 96).proportion_ci(0.5, method="exact")
    assert (found.low, found.high) == pytest.approx((2 * low - 1, 2 * high - 1))
    assert found.point.value == pytest.approx(-0.375)
    assert found.point.std_error == pytest.approx(2 * math.sqrt(0.32 * 0.68 / 100))
    assert total_variation_bound(30, 96) == total_variation_bound(30, 96, 0.95)
    assert clopper_pearson(0, 1)[0] == 0 and clopper_pearson(1, 1)[1] == 1


def test_whole_messages():
    for hits, n in ((3, 2), (-1, 2), (0, 0)):
        refused(
            lambda h=hits, n=n: clopper_pearson(h, n),
            f"hits={hits}, n={n}: expected n >= 1 and hits from 0 to n",
        )
    for level in (0.0, 1.0):
        refused(lambda v=level: clopper_pearson(1, 2, v), f"level={level}: expected a number between 0 and 1")

"""Comparisons of pairs against scipy: effects, intervals, p-values, and what is known of nothing."""

import math

import numpy as np
import pytest
from scipy import stats

from priorgap.verdict.contrasts import combined_error, contrasts, scaled_mean
from priorgap.verdict.readings import Reading


def readings(**values):
    """A sampler's values by seed; a pair (value, error) has an error of its own."""
    return {
        name: {
            seed: Reading(*one) if isinstance(one, tuple) else Reading(one, None)
            for seed, one in enumerate(own)
            if one is not None
        }
        for name, own in values.items()
    }


def compare(found, *pairs, scale="log", level=0.95, one_model=False):
    return contrasts(found, pairs, scale=scale, level=level, one_model=one_model)


A, B, C = [10.0, 30.0, 22.0, 14.0], [15.0, 41.0, 35.0, 20.0], [11.0, 33.0, 20.0, 14.5]


class TestSeveralModels:
    @pytest.mark.parametrize("level", [0.9, 0.95])
    def test_ratios_are_the_t_interval_of_paired_logarithms(self, level):
        (found,) = compare(readings(a=A, b=B), ("a", "b"), level=level)
        difference = np.log(A) - np.log(B)
        known = stats.ttest_1samp(difference, 0)
        low, high = known.confidence_interval(level)
        assert found.effect == pytest.approx(math.exp(difference.mean()))
        assert found.interval == pytest.approx((math.exp(low), math.exp(high)))
        assert found.p_value == pytest.approx(known.pvalue)
        assert (found.sampler, found.against, found.n_pairs, found.scale) == ("a", "b", 4, "log")
        assert found.shown

    def test_differences_are_those_of_the_values(self):
        (found,) = compare(readings(a=A, b=B), ("a", "b"), scale="identity")
        known = stats.ttest_rel(A, B)
        assert found.effect == pytest.approx(np.mean(A) - np.mean(B))
        assert found.interval == pytest.approx(tuple(known.confidence_interval(0.95)))
        assert found.p_value == pytest.approx(known.pvalue)

    def test_only_common_seeds_are_paired(self):
        (found,) = compare(readings(a=[*A, 1000.0], b=[*B, None]), ("a", "b"))
        (known,) = compare(readings(a=A, b=B), ("a", "b"))
        assert found == known

    def test_a_family_shares_the_level_by_holm(self):
        """The clearer pair at half of .05, the other at all of it; each interval has its pair's own level."""
        first, second = compare(readings(a=A, b=B, c=C), ("a", "b"), ("a", "c"))
        alone = [compare(readings(a=A, b=B, c=C), ("a", name))[0] for name in "bc"]
        assert first.p_value == pytest.approx(2 * alone[0].p_value)
        assert second.p_value == pytest.approx(alone[1].p_value)
        assert alone[0].p_value < alone[1].p_value
        wider = stats.ttest_1samp(np.log(A) - np.log(B), 0).confidence_interval(0.975)
        assert first.interval == pytest.approx((math.exp(wider.low), math.exp(wider.high)))
        assert second.interval == pytest.approx(alone[1].interval)
        assert first.shown and not second.shown

    @pytest.mark.parametrize("other", [A[:1], [2 * value for value in A]])
    def test_one_pair_or_pairs_without_spread_have_no_interval(self, other):
        (found,) = compare(readings(a=A, b=other), ("a", "b"))
        assert found.interval is None and found.p_value == 1 and not found.shown
        assert found.effect == pytest.approx(A[0] / other[0])

    def test_what_rounding_of_large_values_varies_is_no_spread(self):
        large = [1e6, 2e6, 3e6 + 1 / 3]
        (found,) = compare(readings(a=[v + 0.1 for v in large], b=large), ("a", "b"), scale="identity")
        assert found.effect == pytest.approx(0.1) and found.interval is None
        (known,) = compare(readings(a=[2e6, 3e6, 4.1e6], b=large), ("a", "b"), scale="identity")
        assert known.interval is not None

    def test_two_pairs_have_one(self):
        (found,) = compare(readings(a=A[:2], b=B[:2]), ("a", "b"))
        known = stats.ttest_1samp(np.log(A[:2]) - np.log(B[:2]), 0)
        assert found.p_value == pytest.approx(known.pvalue) and found.interval is not None

    def test_without_a_common_seed_the_means_are_compared_and_nothing_is_known(self):
        (found,) = compare(readings(a=[10.0, None], b=[None, 40.0]), ("a", "b"))
        assert found.effect == pytest.approx(0.25)
        assert found.interval is None and found.p_value == 1 and found.n_pairs == 0 and not found.shown

    def test_a_pair_without_an_interval_stays_in_the_family(self):
        same = [2 * value for value in A]
        first, other = compare(readings(a=A, b=B, c=same), ("a", "b"), ("a", "c"))
        (alone,) = compare(readings(a=A, b=B), ("a", "b"))
        assert first.p_value == pytest.approx(2 * alone.p_value) and other.interval is None


class TestOneModel:
    def test_differences_have_the_errors_of_both(self):
        found = readings(a=[(0.5, 0.03)], b=[(0.4, 0.04)])
        (contrast,) = compare(found, ("a", "b"), scale="identity", one_model=True)
        half = 1.959964 * 0.05
        assert contrast.effect == pytest.approx(0.1)
        assert contrast.interval == pytest.approx((0.1 - half, 0.1 + half))
        assert contrast.p_value == pytest.approx(2 * stats.norm.sf(2)) and contrast.shown
        assert contrast.n_pairs == 1

    def test_ratios_have_the_relative_errors_of_both(self):
        found = readings(a=[(50.0, 1.5)], b=[(40.0, 1.6)])
        (contrast,) = compare(found, ("a", "b"), one_model=True)
        half = 1.959964 * math.hypot(0.03, 0.04)
        assert contrast.interval == pytest.approx((1.25 * math.exp(-half), 1.25 * math.exp(half)))
        assert contrast.p_value == pytest.approx(2 * stats.norm.sf(math.log(1.25) / 0.05))

    def test_the_sign_does_not_matter_to_what_is_shown(self):
        found = readings(a=[(0.4, 0.03)], b=[(0.5, 0.04)])
        (contrast,) = compare(found, ("a", "b"), scale="identity", one_model=True)
        assert contrast.p_value == pytest.approx(2 * stats.norm.sf(2)) and contrast.shown
        (within,) = compare(
            readings(a=[(0.4, 0.1)], b=[(0.5, 0.1)]), ("a", "b"), scale="identity", one_model=True
        )
        assert not within.shown and within.interval[0] < 0 < within.interval[1]

    @pytest.mark.parametrize("error", [None, 0.0])
    def test_an_unknown_error_of_either_leaves_nothing_known(self, error):
        known, unknown = Reading(0.5, 0.03), Reading(0.4, error)
        for pair in ((known, unknown), (unknown, known)):
            assert combined_error(*pair, "log") is None
            (contrast,) = compare({"a": {3: pair[0]}, "b": {3: pair[1]}}, ("a", "b"), one_model=True)
            assert contrast.interval is None and contrast.p_value == 1 and not contrast.shown
            assert contrast.effect == pytest.approx(pair[0].value / pair[1].value)
            assert contrast.n_pairs == 1


def test_the_mean_over_seeds_is_geometric_on_the_log_scale():
    (own,) = readings(a=[1.0, 4.0, 100.0]).values()
    assert scaled_mean(own, [0, 1], "log") == pytest.approx(math.log(2))
    assert scaled_mean(own, [0, 1], "identity") == pytest.approx(2.5)


def test_json_has_every_field():
    (found,) = compare(readings(a=A, b=B), ("a", "b"))
    record = found.to_json()
    assert record == vars(found) | {"interval": list(found.interval)}
    (unknown,) = compare(readings(a=A[:1], b=B[:1]), ("a", "b"))
    assert unknown.to_json()["interval"] is None

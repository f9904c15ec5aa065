"""What the seeds could have shown: against the power of the tests that the verdict makes."""

import math

import numpy as np
import pytest
from scipy import stats

from priorgap.estimators.planning import paired_power
from priorgap.verdict.planning import plan
from priorgap.verdict.readings import Reading

A, B = [10.0, 12.0, 14.0, 11.0, 13.0], [11.5, 12.5, 16.0, 11.5, 14.0]


def readings(**values):
    return {name: {s: Reading(v, None) for s, v in enumerate(own)} for name, own in values.items()}


def planned(values, *, scale="log", level=0.95, n_comparisons=1, pooled_error=None):
    return plan(
        values, "a", "b", scale=scale, level=level, n_comparisons=n_comparisons, pooled_error=pooled_error
    )


def pooled_power(difference, error, n, *, n_samplers, level, n_seeds=5):
    """The power of a t test whose variance is pooled; `error` is that of a difference over `n_seeds` seeds."""
    df = (n_samplers - 1) * (n - 1)
    shift = difference / (error * math.sqrt(n_seeds)) * math.sqrt(n)
    return stats.nct.sf(stats.t.isf((1 - level) / 2, df), df, shift)


class TestOwnSpread:
    def test_ratios(self):
        found = planned(readings(a=A, b=B))
        difference = np.log(A) - np.log(B)
        spread = difference.std(ddof=1)
        assert (found.sampler, found.against, found.n_seeds, found.scale) == ("a", "b", 5, "log")
        assert found.power == 0.8 and found.level == pytest.approx(0.95)
        assert paired_power(math.log(found.detectable), spread, 5) == pytest.approx(0.8)
        effect = difference.mean()
        assert paired_power(effect, spread, found.seeds_needed) >= 0.8
        assert paired_power(effect, spread, found.seeds_needed - 1) < 0.8

    def test_differences(self):
        found = planned(readings(a=A, b=B), scale="identity")
        difference = np.subtract(A, B)
        spread = difference.std(ddof=1)
        assert paired_power(found.detectable, spread, 5) == pytest.approx(0.8) and found.scale == "identity"
        assert paired_power(difference.mean(), spread, found.seeds_needed) >= 0.8
        assert paired_power(difference.mean(), spread, found.seeds_needed - 1) < 0.8

    def test_the_level_is_shared_by_the_comparisons(self):
        found = planned(readings(a=A, b=B), n_comparisons=3, scale="identity", level=0.9)
        assert found.level == pytest.approx(1 - 0.1 / 3)
        spread = np.subtract(A, B).std(ddof=1)
        assert paired_power(found.detectable, spread, 5, level=found.level) == pytest.approx(0.8)
        effect = np.subtract(A, B).mean()
        assert paired_power(effect, spread, found.seeds_needed, level=found.level) >= 0.8
        assert paired_power(effect, spread, found.seeds_needed - 1, level=found.level) < 0.8

    def test_only_common_seeds_count(self):
        more = readings(a=[*A, 99.0], b=B)
        assert planned(more) == planned(readings(a=A, b=B))

    def test_two_seeds_have_a_plan_one_or_no_spread_has_none(self):
        two = planned(readings(a=A[:2], b=B[:2]))
        assert two.n_seeds == 2 and two.detectable > 1
        assert planned(readings(a=A[:1], b=B[:1])) is None
        assert planned(readings(a=A, b=[v + 1 for v in A]), scale="identity") is None

    def test_a_ratio_beyond_all_numbers_is_finite(self):
        wild = readings(a=[1e-300, 1e300], b=[1e300, 1e-300])
        assert planned(wild).detectable == pytest.approx(math.exp(700))
        assert planned(readings(a=[0.0, 1e3], b=[1e3, 0.0]), scale="identity").detectable > 700

    def test_json_has_every_field(self):
        found = planned(readings(a=A, b=B))
        assert found.to_json() == vars(found)


class TestPooled:
    @pytest.mark.parametrize("n_samplers", [2, 4])
    @pytest.mark.parametrize("error", [0.05, 3.0])
    def test_the_detectable_difference_has_the_power(self, n_samplers, error):
        others = {f"s{i}": A for i in range(n_samplers - 2)}
        found = planned(readings(a=A, b=B, **others), scale="identity", pooled_error=error, n_comparisons=2)
        power = pooled_power(found.detectable, error, 5, n_samplers=n_samplers, level=0.975)
        assert power == pytest.approx(0.8, abs=1e-6)

    @pytest.mark.parametrize("error", [0.1, 0.4, 2.0])
    def test_the_seeds_needed_are_the_fewest_that_have_it(self, error):
        found = planned(readings(a=A, b=B, c=A), scale="identity", pooled_error=error)
        effect = abs(np.subtract(A, B).mean())

        def power(n):
            return pooled_power(effect, error, n, n_samplers=3, level=0.95)

        assert power(found.seeds_needed) >= 0.8
        assert found.seeds_needed == 2 or power(found.seeds_needed - 1) < 0.8

    def test_more_samplers_pool_more(self):
        few = planned(readings(a=A[:2], b=B[:2]), scale="identity", pooled_error=1.0)
        many = planned(readings(a=A[:2], b=B[:2], c=A[:2], d=A[:2]), scale="identity", pooled_error=1.0)
        assert many.detectable < 0.5 * few.detectable

    def test_a_ratio_is_that_of_the_pooled_error(self):
        found = planned(readings(a=A, b=B, c=A), pooled_error=0.02)
        assert pooled_power(math.log(found.detectable), 0.02, 5, n_samplers=3, level=0.95) == pytest.approx(
            0.8, abs=1e-6
        )

    def test_no_number_of_seeds_shows_nothing_or_next_to_nothing(self):
        """100,000 seeds are the most that are named: some 2.8 errors of that many are the least that is shown."""
        same = readings(a=A, b=A, c=B)
        assert planned(same, scale="identity", pooled_error=0.1).seeds_needed is None
        spread, least = 1.0, 2.8016 / math.sqrt(100_000)

        def needed(effect):
            values = readings(a=A, b=[v - effect for v in A], c=B)
            return planned(values, scale="identity", pooled_error=spread / math.sqrt(5)).seeds_needed

        assert needed(0.999 * least) is None
        assert 99_000 < needed(1.001 * least) <= 100_000

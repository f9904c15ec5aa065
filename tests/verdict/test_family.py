"""All pairs as one family: against independent references, and by simulation with controls that must fail."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from priorgap.verdict.family import family_of, p_equal_variances, rank_agreement
from priorgap.verdict.readings import Reading


def readings(values, std_error=None):
    """values [samplers, seeds] -> readings under the names s0, s1, ..."""
    return {
        f"s{i}": {seed: Reading(float(v), std_error) for seed, v in enumerate(row)}
        for i, row in enumerate(values)
    }


def drawn(rng, n_samplers, n_seeds, spread=0.08, means=0.0):
    noise = rng.standard_normal((n_samplers, n_seeds))
    return (
        np.reshape(means, (-1, 1)) + 0.3 * rng.standard_normal(n_seeds) + np.reshape(spread, (-1, 1)) * noise
    )


class TestAgainstReferences:
    def test_tukey_s_intervals_are_those_of_the_two_way_layout(self):
        y = drawn(np.random.default_rng(1), 4, 6)
        family = family_of(readings(y), scale="identity", level=0.95)
        assert family.pooled and family.df == 15
        residuals = y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()
        error = math.sqrt(2 * (residuals**2).sum() / 15 / 6)
        half = stats.studentized_range.isf(0.05, 4, 15) / math.sqrt(2) * error
        for i, j in itertools.combinations(range(4), 2):
            own = np.std(y[i] - y[j], ddof=1) / math.sqrt(6)
            contrast = family.contrast(f"s{i}", f"s{j}")
            mean = y[i].mean() - y[j].mean()
            wide = half * max(1.0, own / error)
            assert contrast.interval == pytest.approx((mean - wide, mean + wide), abs=1e-9)

    def test_scipy_s_tukey_hsd_without_seed_effects(self):
        """One-way data have more degrees of freedom: the two-way intervals are the wider ones, and near."""
        rng = np.random.default_rng(2)
        y = 0.1 * rng.standard_normal((3, 40))
        family = family_of(readings(y), scale="identity", level=0.95)
        reference = stats.tukey_hsd(*y).confidence_interval(0.95)
        low, high = family.contrast("s0", "s2").interval
        assert (low, high) == pytest.approx((reference.low[0, 2], reference.high[0, 2]), abs=0.01)

    def test_two_samplers_are_the_paired_t_test(self):
        y = drawn(np.random.default_rng(3), 2, 5, means=[0.0, 0.2])
        contrast = family_of(readings(y), scale="identity", level=0.95).contrast("s1", "s0")
        reference = stats.ttest_rel(y[1], y[0])
        assert contrast.p_value == pytest.approx(reference.pvalue)
        ends = reference.confidence_interval(0.95)
        assert contrast.interval == pytest.approx((ends.low, ends.high))

    def test_ratios_are_differences_of_logs(self):
        y = np.exp(drawn(np.random.default_rng(4), 3, 5))
        ratio = family_of(readings(y), scale="log", level=0.95).contrast("s0", "s1")
        difference = family_of(readings(np.log(y)), scale="identity", level=0.95).contrast("s0", "s1")
        assert ratio.effect == pytest.approx(math.exp(difference.effect))
        assert ratio.interval == pytest.approx(tuple(math.exp(x) for x in difference.interval))

    def test_the_other_way_round(self):
        family = family_of(readings(np.exp(drawn(np.random.default_rng(5), 3, 5))), scale="log", level=0.95)
        one, other = family.contrast("s0", "s2"), family.contrast("s2", "s0")
        assert one.effect == pytest.approx(1 / other.effect) and one.p_value == other.p_value
        assert one.interval == pytest.approx((1 / other.interval[1], 1 / other.interval[0]))

    def test_one_model_has_normal_intervals_for_all_pairs(self):
        values = {"a": {0: Reading(10.0, 0.5)}, "b": {0: Reading(12.0, 0.5)}, "c": {0: Reading(20.0, 0.5)}}
        family = family_of(values, scale="identity", level=0.95)
        half = stats.studentized_range.isf(0.05, 3, np.inf) / math.sqrt(2) * math.hypot(0.5, 0.5)
        assert family.contrast("b", "a").interval == pytest.approx((2 - half, 2 + half))

    def test_unequal_variances_are_bonferroni_s_paired_t(self):
        rng = np.random.default_rng(6)
        y = drawn(rng, 5, 12, spread=[0.6, 0.02, 0.02, 0.02, 0.02])
        family = family_of(readings(y), scale="identity", level=0.95)
        assert not family.pooled and family.df == 11
        error = np.std(y[1] - y[2], ddof=1) / math.sqrt(12)
        half = stats.t.isf(0.05 / 20, 11) * error
        low, high = family.contrast("s1", "s2").interval
        assert high - low == pytest.approx(2 * half)

    def test_cells_share_the_level(self):
        y = drawn(np.random.default_rng(7), 3, 5, means=[0, 0.1, 0.2])
        alone, of_twelve = (family_of(readings(y), scale="identity", level=0.95, n_cells=n) for n in (1, 12))
        assert of_twelve.critical == pytest.approx(
            min(stats.studentized_range.isf(0.05 / 12, 3, 8) / math.sqrt(2), stats.t.isf(0.05 / 72, 8))
        )
        for pair in [("s0", "s1"), ("s0", "s2")]:
            p = alone.contrast(*pair).p_value
            assert of_twelve.contrast(*pair).p_value >= min(1.0, 11.9 * p)


class TestUnknown:
    def test_an_error_of_zero_is_unknown(self):
        values = {"a": {0: Reading(10.0, 0.0)}, "b": {0: Reading(20.0, 0.0)}}
        contrast = family_of(values, scale="identity", level=0.95).contrast("a", "b")
        assert contrast.interval is None and contrast.p_value == 1 and not contrast.shown

    def test_seeds_without_any_spread_are_unknown(self):
        same = readings(np.repeat([[1.0], [2.0], [3.0]], 4, axis=1))
        contrast = family_of(same, scale="identity", level=0.95).contrast("s0", "s2")
        assert contrast.interval is None and not contrast.shown

    def test_one_pair_without_spread_has_the_pooled_error(self):
        y = drawn(np.random.default_rng(8), 4, 6)
        y[1] = y[0] + 0.01
        contrast = family_of(readings(y), scale="identity", level=0.95).contrast("s0", "s1")
        assert contrast.interval[0] < -0.01 < contrast.interval[1] and not contrast.shown

    def test_missing_seeds_are_not_pooled(self):
        values = readings(drawn(np.random.default_rng(9), 3, 6))
        del values["s2"][5]
        family = family_of(values, scale="identity", level=0.95)
        assert not family.pooled and family.contrast("s0", "s2").n_pairs == 5

    def test_no_common_seed(self):
        values = {"a": {0: Reading(1.0, None), 1: Reading(1.1, None)}, "b": {2: Reading(2.0, None)}}
        contrast = family_of(values, scale="identity", level=0.95).contrast("a", "b")
        assert contrast.effect == pytest.approx(-0.95) and contrast.interval is None and contrast.n_pairs == 0


class TestBySimulation:
    def test_all_intervals_hold_together(self):
        rng = np.random.default_rng(10)
        together = unadjusted = 0
        for _ in range(400):
            y = drawn(rng, 6, 5)
            family = family_of(readings(y), scale="identity", level=0.95)
            pairs = [family.contrast(*pair) for pair in family.differences]
            together += all(c.interval[0] <= 0 <= c.interval[1] for c in pairs)
            unadjusted += all(
                stats.ttest_rel(y[i], y[j]).pvalue > 0.05 for i, j in itertools.combinations(range(6), 2)
            )
        assert together >= stats.binom.ppf(0.001, 400, 0.95)
        assert unadjusted < stats.binom.ppf(0.001, 400, 0.95), "the control: single t tests do not"

    def test_two_best_that_tie(self):
        """The last step of Holm is the plain t test of the two: its level is used up, and not exceeded."""
        rng = np.random.default_rng(11)
        wrong = 0
        for _ in range(150):
            family = family_of(readings(drawn(rng, 4, 5, means=[0, 0, 1, 1.5])), scale="identity", level=0.95)
            wrong += family.contrast("s0", "s1").shown
        assert wrong <= stats.binom.ppf(0.999, 150, 0.05)

    def test_an_interval_that_excludes_equality_is_shown(self):
        rng = np.random.default_rng(12)
        for i in range(60):
            spread = [0.08] * 4 if i % 2 else [0.4, 0.02, 0.02, 0.02]
            y = drawn(rng, 4, 4 + i % 5, spread=spread, means=[0, 0.1, 0.2, 0.3])
            family = family_of(readings(y), scale="identity", level=0.95, n_cells=1 + i % 3)
            for pair in family.differences:
                contrast = family.contrast(*pair)
                excludes = not contrast.interval[0] <= 0 <= contrast.interval[1]
                assert contrast.shown or not excludes

    def test_pooling_is_what_finds_the_prior_over_twelve_cells(self):
        rng = np.random.default_rng(13)
        found = alone = 0
        for _ in range(100):
            y = drawn(rng, 5, 5, means=[0, 0, 0, 0, math.log(1.6)])
            family = family_of(readings(y), scale="identity", level=0.95, n_cells=12)
            found += family.contrast("s4", "s0").shown
            alone += stats.ttest_rel(y[4], y[0]).pvalue < 0.05 / (12 * 4)
        assert found >= stats.binom.ppf(0.001, 100, 0.95) > alone


class TestEqualVariances:
    @pytest.mark.parametrize(("n_samplers", "n_seeds"), [(3, 5), (8, 3), (6, 10)])
    def test_level_and_power(self, n_samplers, n_seeds):
        rng = np.random.default_rng(14)
        p = [p_equal_variances(drawn(rng, n_samplers, n_seeds)) for _ in range(400)]
        assert stats.kstest(p, "uniform").pvalue > 0.001
        uneven = [0.8] + [0.05] * (n_samplers - 1)
        q = [p_equal_variances(drawn(rng, n_samplers, n_seeds, spread=uneven)) for _ in range(100)]
        assert np.mean(np.array(q) < 0.05) > 0.4

    def test_nothing_to_test(self):
        rng = np.random.default_rng(15)
        assert p_equal_variances(drawn(rng, 2, 5)) == 1 and p_equal_variances(drawn(rng, 5, 2)) == 1
        assert p_equal_variances(np.ones((4, 4))) == 1


def test_rank_agreement():
    assert rank_agreement([[1, 2, 3, 4], [10, 20, 30, 40]]) == pytest.approx(1)
    assert rank_agreement([[1, 2, 3, 4], [4, 3, 2, 1]]) == pytest.approx(-1)
    assert rank_agreement([[1, 2, 3], [1, 3, 2]]) == pytest.approx(1 / 3)
    assert rank_agreement([[1, 2], [1, 2]]) is None and rank_agreement([[1, 1, 1], [1, 2, 3]]) is None


@pytest.mark.parametrize("n_cells", [1, 12])
@pytest.mark.parametrize("n_seeds", [1, 3, 5])
def test_a_difference_is_shown_where_its_interval_excludes_equality_and_nowhere_else(n_seeds, n_cells):
    """What is said of a pair and the interval beside it never contradict each other."""
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(60):
        means = rng.normal(scale=0.15, size=5)
        values = {
            f"s{k}": {
                seed: Reading(math.exp(mean + 0.06 * rng.standard_normal()), 0.05) for seed in range(n_seeds)
            }
            for k, mean in enumerate(means)
        }
        family = family_of(values, scale="log", level=0.95, n_cells=n_cells)
        for a, b in itertools.combinations(sorted(values), 2):
            found = family.contrast(a, b)
            low, high = found.interval
            assert found.shown == (low > 1 or high < 1), found
            assert found.shown == (found.p_value < 0.05)
            seen.add(found.shown)
    assert seen == {True, False}

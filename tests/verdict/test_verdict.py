"""Planted results: the verdict must find what was planted, and must not find what was not."""

import json
import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from planted import CLEAR, copying, row, rows_of, table
from scipy import stats

from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Measure
from priorgap.verdict import RESULT_COLUMNS, Recommendation, decide, decide_study, pick_model
from priorgap.verdict.contrasts import contrasts
from priorgap.verdict.copying_label import shared_limit_exceeds
from priorgap.verdict.readings import Reading


class TestNaming:
    def test_clear_winner(self):
        verdict = decide(table(rows_of("fid", CLEAR, 6)))
        assert verdict.winner == verdict.winner_clean == "gmm"
        assert verdict.n_seeds == 6 and not verdict.provisional
        assert verdict.against == "prior" and verdict.scale == "log"
        assert verdict.effect == pytest.approx(0.4, rel=0.05)
        low, high = verdict.interval
        assert low < 0.4 < high < 0.5
        assert "gmm is the best of 3 candidates by FID (classifier)" in verdict.text
        assert [s.sampler for s in verdict.candidates] == ["gmm", "gaussian_full", "prior"]

    def test_tie_names_nobody(self):
        tie = {"prior": 100.0, "gmm": 40.0, "gaussian_full": 40.2}
        verdict = decide(table(rows_of("fid", tie, 6)))
        assert verdict.winner is None and verdict.winner_clean is None
        assert verdict.leader in {"gmm", "gaussian_full"}
        assert "no difference shown" in verdict.text and "best" not in verdict.text
        assert verdict.interval[1] < 1, "the leader still beats the prior, and the verdict says so"

    def test_pairing_is_what_finds_it(self):
        """Negative control: the same numbers with seeds shuffled within a sampler are no longer shown."""
        data = table(rows_of("fid", {"prior": 44.0, "gmm": 40.0}, 6))
        assert decide(data).winner == "gmm"
        unpaired = data.copy()
        prior = unpaired["sampler"] == "prior"
        unpaired.loc[prior, "value"] = np.roll(unpaired.loc[prior, "value"].to_numpy(), 1)
        assert decide(unpaired).winner is None

    def test_holm_is_what_withholds_it(self):
        """Two comparisons at p = .03 and .04: each alone is below .05, together Holm makes them .06."""
        winner = {seed: Reading(0.0, None) for seed in range(5)}
        readings = {"a": winner}
        for name, p in (("b", 0.03), ("c", 0.04)):
            readings[name] = {s: Reading(v, None) for s, v in enumerate(with_p_value(p, 5))}
        family = contrasts(readings, [("a", "b"), ("a", "c")], scale="identity", level=0.95, one_model=False)
        assert [c.p_value for c in family] == pytest.approx([0.06, 0.06])
        assert not any(c.shown for c in family)
        alone = [
            contrasts(readings, [("a", name)], scale="identity", level=0.95, one_model=False)[0]
            for name in "bc"
        ]
        assert all(c.shown for c in alone), "the unadjusted variant would have named a winner"

    def test_interval_excludes_zero_exactly_when_holm_rejects(self):
        rng = np.random.default_rng(3)
        for _ in range(200):
            readings = {
                name: {s: Reading(float(v), None) for s, v in enumerate(rng.normal(m, 1, 5))}
                for name, m in zip("abcd", (0, 1, 1.5, 3), strict=True)
            }
            family = contrasts(
                readings, [("a", x) for x in "bcd"], scale="identity", level=0.95, one_model=False
            )
            assert [c.shown for c in family] == [c.p_value < 0.05 for c in family]

    def test_false_winners_are_rare_when_all_are_equal(self):
        """Naming whoever beats the worst, instead of everyone, would be wrong most of the time."""
        rng = np.random.default_rng(5)
        named = careless = 0
        for _ in range(300):
            draws = {name: rng.normal(size=5) for name in "abcd"}
            readings = {n: {s: Reading(float(v), None) for s, v in enumerate(x)} for n, x in draws.items()}
            order = sorted(draws, key=lambda name: draws[name].mean())
            pairs = [(order[0], other) for other in order[1:]]
            family = contrasts(readings, pairs, scale="identity", level=0.95, one_model=False)
            named += all(contrast.shown for contrast in family)
            careless += stats.ttest_rel(draws[order[0]], draws[order[-1]]).pvalue < 0.05
        allowed = 300 * 0.05 + 3 * math.sqrt(300 * 0.05 * 0.95)
        assert named <= allowed < careless

    def test_raw_fid_is_compared_on_the_log(self):
        """A constant ratio over seeds of very different size: certain on the log, lost on the raw scale."""
        sizes = [10.0, 40.0, 160.0, 640.0, 20.0]
        records = [row("prior", "fid", s, v) for s, v in enumerate(sizes)]
        records += [row("gmm", "fid", s, 0.9 * v * (1 + 0.001 * s)) for s, v in enumerate(sizes)]
        assert decide(table(records)).winner == "gmm"
        differences = [0.1 * v for v in sizes]
        assert stats.ttest_1samp(differences, 0).pvalue > 0.05, "the raw variant would not have found it"

    def test_kid_may_be_negative_and_lower_is_better(self):
        rows = rows_of("kid", {"prior": 0.05, "gmm": -0.001}, 5, spread=0.001, seed_effect=0.0, log=False)
        verdict = decide(table(rows), measure="kid")
        assert verdict.winner == "gmm" and verdict.scale == "identity"
        assert verdict.effect == pytest.approx(-0.051, abs=0.002)

    def test_higher_is_better_for_coverage(self):
        rows = rows_of("coverage", {"prior": 0.4, "gmm": 0.8}, 5, spread=0.01, seed_effect=0.0, log=False)
        assert decide(table(rows), measure="coverage").winner == "gmm"

    def test_prior_wins_and_is_compared_with_the_runner_up(self):
        verdict = decide(table(rows_of("fid", {"prior": 30.0, "gmm": 40.0, "posterior": 50.0}, 5)))
        assert verdict.winner == "prior" and verdict.against == "gmm"
        assert verdict.effect == pytest.approx(0.75, rel=0.05)
        assert {c.sampler for c in verdict.against_baseline} == {"gmm", "posterior"}

    def test_controls_and_specimens_are_never_ranked(self):
        means = CLEAR | {"posterior_heldout": 1.0, "posterior_mean": 0.5, "literal_log_var": 0.1}
        verdict = decide(table(rows_of("fid", means, 5)))
        assert verdict.winner == "gmm"
        assert {s.sampler for s in verdict.candidates} == set(CLEAR)


def with_p_value(p, n):
    """Return n differences whose paired t test has exactly this two-sided p-value."""
    shape = np.arange(n) - (n - 1) / 2
    t = stats.t.isf(p / 2, n - 1)
    return shape + t * shape.std(ddof=1) / math.sqrt(n)


class TestHowManyModels:
    def test_two_seeds_are_provisional_and_never_best(self):
        verdict = decide(table(rows_of("fid", CLEAR, 2, spread=0.0001)))
        assert verdict.provisional and verdict.n_seeds == 2
        assert verdict.winner == "gmm"
        assert verdict.sure.startswith("Provisional (2 seeds)") and "best" not in verdict.text

    @pytest.mark.parametrize(("n_seeds", "provisional"), [(1, True), (2, True), (4, True), (5, False)])
    def test_provisional_below_five(self, n_seeds, provisional):
        assert decide(table(rows_of("fid", CLEAR, n_seeds, std_error=0.01))).provisional is provisional

    def test_one_seed_uses_the_measures_own_errors(self):
        verdict = decide(table(rows_of("fid", CLEAR, 1, std_error=0.02)))
        assert verdict.winner == "gmm" and verdict.n_seeds == 1
        assert verdict.sure.startswith("For this trained model only") and "unknown" in verdict.text
        ratio = verdict.effect
        half = stats.norm.isf(0.025 / 2) * math.hypot(0.02, 0.02)  # the smallest of the two p-values
        assert verdict.interval[1] == pytest.approx(ratio * math.exp(half), rel=0.03)

    def test_one_seed_with_large_errors_shows_nothing(self):
        assert decide(table(rows_of("fid", CLEAR, 1, std_error=0.5))).winner is None

    def test_one_seed_without_errors_shows_nothing(self):
        verdict = decide(table(rows_of("fid", CLEAR, 1)))
        assert verdict.winner is None and verdict.interval is None
        assert "[no interval] (how far chance alone would take it is not known)." in verdict.text
        assert "% interval" not in verdict.text

    def test_seeds_that_one_candidate_lacks_are_said(self):
        data = table(rows_of("fid", CLEAR, 5))
        data = data[~((data["sampler"] == "prior") & (data["seed"] == 4))]
        verdict = decide(data)
        assert verdict.winner == "gmm"
        assert {c.against: c.n_pairs for c in verdict.against_leader} == {"prior": 4, "gaussian_full": 5}
        assert "Not every candidate was measured for every seed" in verdict.text

    def test_different_n_is_said(self):
        data = table(rows_of("fid", CLEAR, 5))
        data.loc[data["sampler"] == "gmm", "n"] = 500
        assert "different numbers of samples" in decide(data).text
        # a split that the seed draws has its own size: the candidates of a seed are alike
        data["n"] = 700 + data["seed"]
        said = decide(data).text
        assert "different numbers" not in said
        assert "Seeds have 700 to 704 samples, in each the same for all candidates." in said


class TestAbsent:
    def test_measure_absent_gives_null_with_the_reason(self):
        data = table(rows_of("kid", CLEAR, 5, log=False))
        verdict = decide(data, skipped={"fid": "no feature weights"})
        assert verdict.winner is None and verdict.effect is None and verdict.interval is None
        assert "fid was not computed" in verdict.reason and "no feature weights" in verdict.text

    def test_absent_in_the_named_space(self):
        verdict = decide(table(rows_of("fid", CLEAR, 5)), space="inception")
        assert verdict.winner is None and "inception" in verdict.text

    def test_one_candidate_is_no_comparison(self):
        verdict = decide(table(rows_of("fid", {"prior": 10.0, "literal_log_var": 5.0}, 5)))
        assert verdict.winner is None and "only one candidate (prior)" in verdict.reason

    def test_empty_table(self):
        verdict = decide_study(pd.DataFrame(columns=list(RESULT_COLUMNS)))
        assert verdict.cells == [] and "no finished cell" in verdict.text
        assert verdict.to_json()["winner"] is None

    def test_without_the_prior_the_runner_up_is_the_yardstick(self):
        verdict = decide(table(rows_of("fid", {"gmm": 10.0, "kde": 20.0}, 5)))
        assert verdict.winner == "gmm" and verdict.against == "kde"


class TestBadInput:
    def test_unknown_measure(self):
        with pytest.raises(ValueError, match=r"^verdict\.measure=sharpness: expected one of .*fid"):
            decide(table(rows_of("fid", CLEAR, 5)), measure="sharpness")

    def test_ambiguous_space(self):
        data = table(rows_of("fid", CLEAR, 5), rows_of("fid", CLEAR, 5, space="pixels"))
        with pytest.raises(ValueError, match="measured in classifier, pixels; name one"):
            decide(data)
        assert decide(data, space="pixels").winner == "gmm"

    def test_two_cells_in_one_decision(self):
        data = two_cells()
        with pytest.raises(ValueError, match=r"expected one cell, got 2 \(loss\.alpha=1; loss\.alpha=100\)"):
            decide(data)

    def test_cells_that_nothing_tells_apart(self):
        data = table(rows_of("fid", CLEAR, 5, cell="a"), rows_of("fid", CLEAR, 5, cell="b"))
        with pytest.raises(ValueError, match="no column of the table tells them apart"):
            decide_study(data)

    def test_the_same_reading_twice(self):
        data = table(rows_of("fid", CLEAR, 5), rows_of("fid", {"gmm": 3.0}, 5))
        with pytest.raises(ValueError, match="two values for seed 0"):
            decide(data)

    @pytest.mark.parametrize("level", [0.0, 1.0, 95])
    def test_level(self, level):
        with pytest.raises(ValueError, match="between 0 and 1"):
            decide(table(rows_of("fid", CLEAR, 5)), level=level)


class TestLabels:
    def test_posterior_wins_but_is_reconstructive(self):
        means = {"prior": 100.0, "posterior": 20.0, "gmm": 40.0}
        auc = [row("", "memorisation_auc", s, 0.5 + 0.001 * s, space="pixels") for s in range(5)]
        verdict = decide(table(rows_of("fid", means, 5), auc))
        assert verdict.winner == "posterior" and verdict.winner_clean == "gmm"
        assert verdict.labels == {"posterior": ["reconstructive"]}
        assert "use gmm" in verdict.text and "memorisation_auc 0.502" in verdict.text

    def test_limits_of_the_memorisation_auc_are_no_values(self):
        parts = [
            row("", "memorisation_auc", seed, value, space="pixels", bound=bound)
            for seed in range(3)
            for value, bound in ((0.6, "point"), (0.4, "lower"), (0.9, "upper"))
        ]
        found = decide(table(rows_of("fid", CLEAR, 3), parts)).memorisation_auc
        assert found is not None and found.value == pytest.approx(0.6)

    def test_unknown_null_of_the_memorisation_auc(self):
        rows = rows_of("fid", {"prior": 100.0, "posterior": 20.0}, 1, std_error=0.01)
        auc = [row("", "memorisation_auc", 0, 0.6, space="pixels", std_error=0.01, unit="null unknown")]
        verdict = decide(table(rows, auc))
        assert not verdict.memorisation_auc.null_known and verdict.memorisation_auc.value == 0.6
        assert "null unknown" in verdict.text and "0.5 where" not in verdict.text

    def test_winner_that_copies(self):
        means = {"prior": 100.0, "kde": 20.0, "gmm": 40.0}
        verdict = decide(table(rows_of("fid", means, 5), copying("kde", 0.2, 0.7, 5)))
        assert verdict.winner == "kde" and verdict.labels == {"kde": ["copies"]}
        assert verdict.winner_clean == "gmm"
        assert "kde copies training images" in verdict.text and "use gmm" in verdict.text

    def test_a_narrow_law_alone_is_no_copying(self):
        verdict = decide(table(rows_of("fid", CLEAR, 5), copying("gmm", 0.2, 0.5, 5)))
        assert verdict.labels == {} and verdict.winner_clean == "gmm"

    def test_within_one_point_is_no_copying(self):
        """0.008 is surely above 0, but the rule asks for more than a point; train_share alone remains."""
        verdict = decide(table(rows_of("fid", CLEAR, 5), copying("gmm", 0.008, 0.6, 5, error=0.0005)))
        assert verdict.labels == {"gmm": ["the decoder memorises"]}

    def test_decoder_memorises(self):
        parts = [copying(name, 0.0, 0.6, 5) for name in CLEAR]
        verdict = decide(table(rows_of("fid", CLEAR, 5), *parts))
        assert verdict.labels == {name: ["the decoder memorises"] for name in CLEAR}
        assert verdict.winner == verdict.winner_clean == "gmm"
        assert "the decoder memorises" in verdict.text

    def test_train_share_is_no_test_of_the_posterior(self):
        """Its law depends on the split, so ½ is not its null: it must never be labelled a copier by it."""
        verdict = decide(
            table(rows_of("fid", CLEAR | {"posterior": 5.0}, 5), copying("posterior", 0.5, 0.9, 5))
        )
        assert verdict.labels["posterior"] == ["reconstructive"]

    def test_two_models_that_plainly_copy(self):
        """The t interval of two models cannot exclude anything; each model's own limit can."""
        verdict = decide(table(rows_of("fid", CLEAR, 2), copying("gmm", 0.3, 0.7, 2)))
        assert verdict.labels == {"gmm": ["copies"]}

    def test_uncertain_share_is_not_labelled(self):
        """Above its null, but not beyond its uncertainty: the mean .55 has an error of .1."""
        values = {s: Reading(v, 0.1) for s, v in enumerate((0.4, 0.7, 0.55))}
        assert not shared_limit_exceeds(values, 0.5, 0.95)
        assert shared_limit_exceeds({s: Reading(r.value, 0.01) for s, r in values.items()}, 0.5, 0.95)
        assert shared_limit_exceeds({0: Reading(0.6, 0.01)}, 0.5, 0.95)
        assert not shared_limit_exceeds({0: Reading(0.6, None)}, 0.5, 0.95)
        assert not shared_limit_exceeds({}, 0.5, 0.95)

    def test_the_error_that_counts_is_a_whole_model_s(self):
        """1.645 errors below the mean, at .95 one-sided: models that share a split average nothing out."""
        for n in (1, 3, 10):
            models = {s: Reading(0.6, 0.1 / 1.6448) for s in range(n)}
            assert shared_limit_exceeds(models, 0.4999, 0.95)
            assert not shared_limit_exceeds(models, 0.5001, 0.95)

    def test_an_unknown_error_of_one_model_leaves_all_unknown(self):
        assert not shared_limit_exceeds({0: Reading(0.9, 0.01), 1: Reading(0.9, None)}, 0.5, 0.95)

    def test_a_label_needs_more_than_the_point(self):
        """Both measures above their nulls, by less than their errors."""
        rows = rows_of("fid", CLEAR, 5)
        assert decide(table(rows, copying("gmm", 0.2, 0.7, 5))).labels == {"gmm": ["copies"]}
        assert decide(table(rows, copying("gmm", 0.2, 0.7, 5, error=0.15))).labels == {}

    def test_only_reconstructive_and_copying_candidates(self):
        data = table(rows_of("fid", {"posterior": 5.0, "kde": 8.0}, 5), copying("kde", 0.2, 0.7, 5))
        verdict = decide(data)
        assert verdict.winner == "posterior" and verdict.winner_clean is None
        assert "all are reconstructive or copy" in verdict.text

    def test_clean_candidates_that_tie(self):
        means = {"prior": 100.0, "posterior": 20.0, "gmm": 40.0, "gaussian_full": 40.1}
        verdict = decide(table(rows_of("fid", means, 5)))
        assert verdict.winner == "posterior" and verdict.winner_clean is None
        assert "Among candidates that neither reconstruct nor copy, no difference shown" in verdict.text


RECONSTRUCTS = "reconstructs needs_training_data"


class TestFacts:
    """What a sampler says of itself decides, whatever its name."""

    @pytest.mark.parametrize("name", ["kde", "vamp", "per_class_posterior", "mine"])
    @pytest.mark.parametrize("n_seeds", [1, 3, 5])
    def test_what_reconstructs_is_labelled_and_never_clean_nor_recommended(self, name, n_seeds):
        best = rows_of("fid", {name: 5.0}, n_seeds, std_error=0.01, traits=RECONSTRUCTS)
        data = table(rows_of("fid", {"prior": 100.0, "gmm": 40.0}, n_seeds, std_error=0.01), best)
        verdict = decide(data)
        assert verdict.winner == name and verdict.winner_clean == "gmm"
        assert verdict.labels[name] == ["reconstructive"]
        assert verdict.facts[name].reconstructs and not verdict.facts["gmm"].reconstructs
        assert f"use {name}" not in verdict.text and f"{name} is the best" not in verdict.text
        assert f"{name} is reconstructive by definition" in verdict.text and "use gmm" in verdict.text
        assert pick_model(data, recommended(data))[1] == "gmm"

    def test_the_name_alone_says_nothing(self):
        """Negative control: a sampler called posterior whose draws are not those of posteriors is clean."""
        means = {"prior": 100.0, "posterior": 20.0, "gmm": 40.0}
        data = table(rows_of("fid", means, 5)).assign(traits="none")
        verdict = decide(data)
        assert verdict.winner_clean == "posterior" and verdict.labels == {}

    def test_one_model_whose_draws_reconstruct_is_enough(self):
        data = table(rows_of("fid", CLEAR | {"kde": 5.0}, 5))
        data.loc[(data["sampler"] == "kde") & (data["seed"] == 3), "traits"] = RECONSTRUCTS
        assert decide(data).labels == {"kde": ["reconstructive"]} and decide(data).winner_clean == "gmm"

    def test_a_study_of_several_cells_says_it_too(self):
        data = two_cells(second={"prior": 30.0, "posterior": 5.0, "gmm": 40.0})
        text = decide_study(data).text
        assert "posterior (reconstructive) in 1" in text
        assert "loss.alpha=100: posterior (reconstructive)" in text

    def test_nothing_clean_is_recommended_to_nobody(self):
        data = table(
            rows_of("fid", {"posterior": 5.0}, 5), rows_of("fid", {"vamp": 6.0}, 5, traits=RECONSTRUCTS)
        )
        assert recommended(data).samplers == (None,)
        refused = r"^sampler: every candidate .*expected sampler= with one of posterior, vamp"
        with pytest.raises(ValueError, match=refused):
            pick_model(data, recommended(data))
        assert pick_model(data, recommended(data), sampler="vamp")[1] == "vamp"

    @pytest.mark.parametrize("how", ["no column", "empty", "one sampler"])
    def test_missing_traits_are_refused(self, how):
        data = table(rows_of("fid", CLEAR, 5))
        if how == "no column":
            data = data.drop(columns="traits")
        else:
            data.loc[(data["sampler"] == "gmm") | (how == "empty"), "traits"] = None
        with pytest.raises(
            ValueError, match=r"^traits: missing for .*gmm.*; expected what each sampler says"
        ):
            decide_study(data)

    def test_a_fixed_sampler_of_any_name_has_a_calibrated_twin(self):
        plain = rows_of("fid", CLEAR, 5, cell="plain", calibrate=False)
        plain += rows_of("fid", {"mine": 90.0}, 5, cell="plain", calibrate=False, traits="fixed")
        twin = rows_of("fid", {"gmm": 40.0}, 5, cell="twin", calibrate=True)
        twin += rows_of("fid", {"mine": 50.0}, 5, cell="twin", calibrate=True, traits="fixed")
        names = [summary.sampler for summary in decide(table(plain, twin)).candidates]
        assert "mine (calibrated)" in names and "gmm (calibrated)" not in names

    def test_the_winners_cost_is_said(self):
        costs = {"gmm": "It takes a fit.", "prior": "Nothing."}
        assert decide(table(rows_of("fid", CLEAR, 5)), costs=costs).text.endswith("It takes a fit.")

    def test_decode_is_a_key_only_where_it_varies(self):
        data = two_cells()
        assert [cell.keys for cell in decide_study(data).cells] == [
            {"loss.alpha": 1.0},
            {"loss.alpha": 100.0},
        ]
        data["decode"] = data["loss.alpha"].map({1.0: "mean", 100.0: "draw"})
        keys = [cell.keys for cell in decide_study(data).cells]
        assert keys == [{"decode": "draw", "loss.alpha": 100.0}, {"decode": "mean", "loss.alpha": 1.0}]

    def test_an_old_verdict_json_is_refused(self):
        record = decide_study(table(rows_of("fid", CLEAR, 5))).to_json()
        del record["cells"][0]["details"]["measure"]
        with pytest.raises(ValueError, match=r"^verdict\.json: of an earlier version, or damaged"):
            Recommendation.from_json(record)


class TestCatalogue:
    MINE = Measure("mine", "my own", "What I care for.", "quality", direction="higher", rankable=True)

    def test_a_plugins_measure_ranks_by_its_own_direction(self):
        rows = rows_of("mine", {"prior": 0.4, "gmm": 0.8}, 5, spread=0.01, seed_effect=0.0, log=False)
        with pytest.raises(ValueError, match=r"^verdict\.measure=mine: expected one of"):
            decide(table(rows), measure="mine")
        for direction, winner in (("higher", "gmm"), ("lower", "prior")):
            entry = replace(self.MINE, direction=direction)
            verdict = decide_study(table(rows), measure="mine", catalogue=BUILTIN | {"mine": entry})
            assert verdict.cells[0].winner == winner and "my own (classifier)" in verdict.text
            again = Recommendation.from_json(json.loads(json.dumps(verdict.to_json())))
            assert again.measure == entry and pick_model(table(rows), again)[1] == winner

    def test_its_scale_decides_between_ratios_and_differences(self):
        rows = rows_of("mine", {"prior": 4.0, "gmm": 8.0}, 5)
        for scale in ("log", "identity"):
            found = {"mine": replace(self.MINE, scale=scale)}
            assert decide(table(rows), measure="mine", catalogue=found).scale == scale


class TestDisagreement:
    def test_worse_coverage_than_the_runner_up(self):
        coverage = {"prior": 0.9, "gmm": 0.5, "gaussian_full": 0.8}
        data = table(rows_of("fid", CLEAR, 5), rows_of("coverage", coverage, 5, seed_effect=0, log=False))
        verdict = decide(data)
        assert verdict.disagree == ["coverage"]
        assert verdict.winner == "gmm"
        assert "measures disagree: gmm" in verdict.text
        assert "gaussian_full is better than gmm on coverage" in verdict.text
        assert "best of" not in verdict.text

    def test_within_its_interval_is_no_disagreement(self):
        coverage = {"prior": 0.9, "gmm": 0.799, "gaussian_full": 0.8}
        data = table(rows_of("fid", CLEAR, 5), rows_of("coverage", coverage, 5, seed_effect=0, log=False))
        assert decide(data).disagree == []

    def test_kid_that_is_higher_is_worse(self):
        kid = {"prior": 0.1, "gmm": 0.05, "gaussian_full": 0.02}
        rows = rows_of("kid", kid, 5, spread=0.001, seed_effect=0, log=False)
        assert decide(table(rows_of("fid", CLEAR, 5), rows)).disagree == ["kid"]

    def test_better_than_the_runner_up_is_agreement(self):
        kid = {"prior": 0.1, "gmm": 0.01, "gaussian_full": 0.05}
        rows = rows_of("kid", kid, 5, spread=0.001, seed_effect=0, log=False)
        assert decide(table(rows_of("fid", CLEAR, 5), rows)).disagree == []

    def test_only_the_space_of_the_verdict_counts(self):
        kid = {"gmm": 0.05, "gaussian_full": 0.02}
        rows = rows_of("kid", kid, 5, spread=0.001, seed_effect=0, log=False, space="pixels")
        assert decide(table(rows_of("fid", CLEAR, 5), rows)).disagree == []


class TestConvergence:
    def test_marked_above_the_limit(self):
        marks = [
            row("", "kl_diag_train", s, v, space="latent") for s, v in enumerate((0.01, 0.2, 0.04, 0.3, 0))
        ]
        verdict = decide(table(rows_of("fid", CLEAR, 5), marks), matches=True)
        assert verdict.not_converged == [1, 3]
        assert "Not converged (seeds 1 and 3)" in verdict.text

    def test_not_measured_is_not_the_same_as_converged(self):
        assert decide(table(rows_of("fid", CLEAR, 5))).not_converged is None


def calibrated_pair(n_seeds=5, **keys):
    plain = rows_of("fid", CLEAR, n_seeds, cell="plain", calibrate=False, **keys)
    twin = rows_of("fid", {"gmm": 40.0, "prior": 55.0}, n_seeds, cell="twin", calibrate=True, **keys)
    return plain + twin


class TestCalibration:
    def test_the_calibrated_prior_competes_under_its_own_name(self):
        verdict = decide(table(calibrated_pair()))
        assert [s.sampler for s in verdict.candidates] == [
            "gmm",
            "prior (calibrated)",
            "gaussian_full",
            "prior",
        ]
        assert verdict.winner == "gmm"
        assert verdict.calibration.effect == pytest.approx(0.55, rel=0.05) and verdict.calibration.shown
        assert "of its deficit to gmm" in verdict.text

    def test_an_equivariant_twin_would_only_tie(self):
        """Negative control: were gmm of the calibrated twin kept, nobody could be named."""
        data = table(calibrated_pair())
        twin = data["calibrate"] & (data["sampler"] == "gmm")
        kept = data.copy()
        kept.loc[twin, "sampler"] = "gmm_again"
        assert decide(data).winner == "gmm" and decide(kept).winner is None

    def test_survives_a_csv(self, tmp_path):
        data = table(calibrated_pair(**{"loss.alpha": 10}))
        data.to_csv(tmp_path / "results.csv", index=False)
        again = pd.read_csv(tmp_path / "results.csv")
        assert decide(again) == decide(data)

    def test_only_calibrated_models(self):
        data = table(rows_of("fid", CLEAR, 5, calibrate=True))
        assert [s.sampler for s in decide(data).candidates] == ["gmm", "gaussian_full", "prior"]

    def test_deficit_share_is_of_the_means(self):
        data = table(
            [row("prior", "fid", s, 100.0, cell="a", calibrate=False) for s in range(5)],
            [row("gmm", "fid", s, 50.0, cell="a", calibrate=False) for s in range(5)],
            [row("prior", "fid", s, 60.0, cell="b", calibrate=True) for s in range(5)],
        )
        assert "from 100 to 60, 80% of its deficit to gmm" in decide(data).text


def two_cells(n_seeds=5, second=None):
    first = rows_of("fid", CLEAR, n_seeds, cell="low", **{"loss.alpha": 1.0})
    other = second or {"prior": 30.0, "gmm": 40.0, "gaussian_full": 60.0}
    return table(first, rows_of("fid", other, n_seeds, cell="high", **{"loss.alpha": 100.0}))


class TestStudy:
    def test_a_verdict_per_cell_and_a_paragraph(self):
        verdict = decide_study(two_cells())
        assert [cell.keys for cell in verdict.cells] == [{"loss.alpha": 1.0}, {"loss.alpha": 100.0}]
        assert [cell.winner for cell in verdict.cells] == ["gmm", "prior"]
        assert "of 2 cells the winner is: gmm in 1 and prior in 1" in verdict.text
        assert "loss.alpha=100: prior" in verdict.text

    def test_study_keys(self):
        record = decide_study(two_cells()).to_json()
        public = {"measure", "space", "winner", "winner_clean", "effect", "interval", "n_seeds"}
        public |= {"provisional", "labels", "disagree", "text"}
        assert public <= set(record) and all(public <= set(cell) for cell in record["cells"])
        assert record["winner"] is None, "the cells name different winners"
        json.dumps(record, allow_nan=False)

    def test_unanimous_winner(self):
        record = decide_study(two_cells(second=CLEAR)).to_json()
        assert record["winner"] == "gmm" and record["effect"] is None

    def test_one_cell_is_the_study(self):
        verdict = decide_study(table(rows_of("fid", CLEAR, 5)))
        record = verdict.to_json()
        assert record["winner"] == "gmm" and record["effect"] == verdict.cells[0].effect
        assert verdict.text == verdict.cells[0].text

    def test_calibrated_twins_are_one_cell(self):
        data = table(calibrated_pair(**{"loss.alpha": 1}), calibrated_pair_other())
        verdict = decide_study(data)
        assert [cell.keys for cell in verdict.cells] == [{"loss.alpha": 1}, {"loss.alpha": 9}]
        assert all(cell.calibration is not None for cell in verdict.cells)

    def test_rows_without_a_cell_are_no_cell(self):
        floor = row("", "fid_floor", 0, 1.0, cell=None)
        assert len(decide_study(table(rows_of("fid", CLEAR, 5), [floor])).cells) == 1

    def test_order_of_rows_does_not_matter(self):
        data = two_cells()
        assert decide_study(data.sample(frac=1, random_state=1)) == decide_study(data)

    def test_two_seeds_study_is_provisional(self):
        verdict = decide_study(two_cells(n_seeds=2))
        assert verdict.sure.startswith("Provisional (2 seeds a cell)") and "best" not in verdict.text


def calibrated_pair_other():
    plain = rows_of("fid", CLEAR, 5, cell="plain9", calibrate=False, **{"loss.alpha": 9})
    return plain + rows_of("fid", {"prior": 70.0}, 5, cell="twin9", calibrate=True, **{"loss.alpha": 9})


class TestLabelSource:
    def test_accuracies_compare_at_an_equal_label_source_only(self):
        measure = "accuracy_synthetic_to_real"
        accuracy = {"prior": 0.6, "gmm": 0.8, "posterior": 0.7}
        same = rows_of(measure, accuracy, 5, seed_effect=0, log=False, label_source="labeller")
        own = rows_of(measure, {"posterior": 0.99}, 5, seed_effect=0, log=False, label_source="source")
        verdict = decide(table(same, own), measure=measure)
        assert verdict.winner == "gmm"
        assert {s.sampler for s in verdict.candidates} == set(accuracy)

    def test_those_without_it_are_named(self):
        measure = "accuracy_real_to_synthetic"
        own = rows_of(measure, {"posterior": 0.9, "per_class_gmm": 0.7}, 5, log=False, label_source="source")
        other = rows_of(measure, {"cvae": 0.8}, 5, log=False, label_source="condition")
        verdict = decide(table(own, other), measure=measure)
        assert "labels from the source, so not ranked: cvae" in verdict.text


def recommended(data):
    """What a reader of verdict.json gets."""
    return Recommendation.from_json(json.loads(json.dumps(decide_study(data).to_json())))


class TestPick:
    def test_the_best_model_of_the_clean_winner(self):
        data = two_cells()
        model, sampler = pick_model(data, recommended(data))
        fid = data[data["measure"] == "fid"]
        options = fid[
            ((fid["cell"] == "low") & (fid["sampler"] == "gmm"))
            | ((fid["cell"] == "high") & (fid["sampler"] == "prior"))
        ]
        assert model == options.loc[options["value"].idxmin(), "model"]
        assert sampler == ("gmm" if model.startswith("low") else "prior")

    def test_never_the_posterior_where_a_clean_one_exists(self):
        data = table(rows_of("fid", {"prior": 100.0, "posterior": 20.0, "gmm": 40.0}, 5))
        assert pick_model(data, recommended(data))[1] == "gmm"

    def test_a_named_sampler(self):
        data = two_cells()
        model, sampler = pick_model(data, recommended(data), sampler="gaussian_full")
        assert sampler == "gaussian_full" and model.split("-")[0] in {"low", "high"}

    def test_the_calibrated_prior_maps_to_the_calibrated_model(self):
        data = table(
            [row("prior", "fid", s, 100.0, cell="a", calibrate=False) for s in range(5)],
            [row("gmm", "fid", s, 90.0 + s, cell="a", calibrate=False) for s in range(5)],
            [row("prior", "fid", s, 60.0 + s, cell="b", calibrate=True) for s in range(5)],
        )
        assert pick_model(data, recommended(data)) == ("b-0", "prior")

    def test_nothing_to_pick(self):
        data = table(rows_of("kid", CLEAR, 5, log=False))
        with pytest.raises(ValueError, match="model_id=best"):
            pick_model(data, recommended(data))


class TestPlanning:
    NEAR: ClassVar = {"prior": 100.0, "gmm": 40.0, "kde": 40.4}

    def test_says_what_the_seeds_could_have_shown(self):
        verdict = decide(table(rows_of("fid", self.NEAR, 5, spread=0.05)))
        plan = verdict.planning
        assert verdict.winner is None and plan.n_seeds == 5
        assert {plan.sampler, plan.against} == {"gmm", "kde"}
        # sd of a difference of logs is 0.05 sqrt 2; at five pairs and 97.5 % some 2 to 4 of them
        assert 1.05 < plan.detectable < 1.6
        assert plan.level == pytest.approx(0.975)
        assert f"These 5 seeds would show a ratio of {plan.detectable:.3g}" in verdict.text
        assert verdict.to_json()["planning"]["seeds_needed"] == plan.seeds_needed

    def test_the_seeds_it_asks_for_show_the_difference(self):
        """With as many seeds as planned from the true spread, the difference is found more often than not."""
        from priorgap.estimators.planning import pairs_needed

        effect, spread = math.log(1.05), 0.05 * math.sqrt(2)
        needed = pairs_needed(effect, spread, level=0.95)
        shown = 0
        rng = np.random.default_rng(3)
        for _ in range(100):
            difference = effect + spread * rng.standard_normal(needed)
            shown += stats.ttest_1samp(difference, 0).pvalue < 0.05
        assert 0.68 < shown / 100 < 0.92

    def test_a_named_winner_has_numbers_and_no_sentence(self):
        verdict = decide(table(rows_of("fid", CLEAR, 5)))
        assert verdict.winner == "gmm" and verdict.planning.against == "gaussian_full"
        assert verdict.planning.seeds_needed <= 5
        assert "would show" not in verdict.text

    def test_absent_for_one_seed_and_without_spread(self):
        assert decide(table(rows_of("fid", CLEAR, 1, std_error=0.1))).planning is None
        same = table(rows_of("fid", self.NEAR, 3, spread=0.0, seed_effect=0.0))
        assert decide(same).planning is None

    def test_measures_without_a_log_scale_have_a_difference(self):
        values = {"prior": 0.50, "gmm": 0.70, "kde": 0.702}
        verdict = decide(
            table(rows_of("coverage", values, 4, log=False, spread=0.02, seed_effect=0.0)), measure="coverage"
        )
        assert verdict.planning.scale == "identity" and 0.01 < verdict.planning.detectable < 0.5

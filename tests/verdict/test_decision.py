"""One cell: what a decision is asked, what it rests on, and what its record holds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from planted import CLEAR, copying, row, rows_of, table

from priorgap.core.catalogue import BUILTIN
from priorgap.core.findings import Finding
from priorgap.core.verdict_rules import standard_rules
from priorgap.verdict import decide
from priorgap.verdict.contrasts import contrasts
from priorgap.verdict.family import family_of
from priorgap.verdict.planning import plan
from priorgap.verdict.readings import readings_of, select

STOP = Finding("stop", "sigma_for_log_var", 0.02, 0.0, "Return the logarithm of the variance.")
TIE = {"prior": 100.0, "gmm": 40.0, "gaussian_full": 40.2}


def study(means=CLEAR, n_seeds=5, **more):
    return table(rows_of("fid", means, n_seeds, **more))


def values_of(data, measure="fid", space=None):
    return readings_of(select(data, measure, space))


class TestAsked:
    def test_the_level_is_that_of_all_intervals(self):
        narrow, wide = decide(study(), level=0.5), decide(study(), level=0.99)
        assert (narrow.level, wide.level) == (0.5, 0.99)
        assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]

    def test_a_ratio_below_one_is_refused_and_one_is_none(self):
        with pytest.raises(ValueError, match=r"^smallest_ratio=0\.99: expected a number >= 1$"):
            decide(study(), smallest_ratio=0.99)
        assert decide(study(), smallest_ratio=1.0).smallest_ratio == 1.0
        assert decide(study(), smallest_ratio=3.0).winner is None
        assert decide(study()).smallest_ratio == standard_rules().smallest_ratio

    def test_the_limits_are_those_of_conf_unless_others_are_given(self):
        rows = rows_of("fid", CLEAR, 5, n_reference=60)
        limits = standard_rules().health
        assert decide(table(rows)).health == decide(table(rows), limits=limits).health
        strict = decide(table(rows), limits=replace(limits, rows_stop=100))
        assert strict.stopped and not decide(table(rows)).stopped

    def test_a_cell_is_told_whether_training_matches_moments(self):
        marks = [row("", "kl_diag_train", seed, 0.3, space="latent") for seed in range(5)]
        data = table(rows_of("fid", CLEAR, 5), marks)
        names = {decide(data, matches=known).health[0].name for known in (True, None)}
        assert names == {"not_converged", "moments"}

    def test_the_baseline_is_any_candidate(self):
        verdict = decide(study(), baseline="gaussian_full")
        assert verdict.baseline == verdict.against == "gaussian_full"
        assert {c.sampler for c in verdict.against_baseline} == {"gmm", "prior"}
        assert all(c.against == "gaussian_full" for c in verdict.against_baseline)


class TestRanking:
    def test_it_is_over_the_seeds_that_all_have(self):
        """gmm's further model is far better than all others: no merit of gmm's."""
        rows = rows_of("fid", {"prior": 40.0, "gmm": 50.0}, 3, spread=0.001)
        verdict = decide(table(rows, [row("gmm", "fid", 3, 0.01)]))
        assert verdict.leader == "prior"
        assert [s.n_seeds for s in verdict.candidates] == [3, 4]

    def test_without_common_seeds_it_is_over_each_ones_own(self):
        rows = [row("prior", "fid", 0, 40.0), row("gmm", "fid", 1, 20.0), row("flow", "fid", 2, 30.0)]
        verdict = decide(table(rows))
        assert [s.sampler for s in verdict.candidates] == ["gmm", "flow", "prior"] and verdict.winner is None

    def test_equal_means_stand_by_name(self):
        rows = [row(name, "fid", seed, 20.0 + seed) for name in ("b", "c", "a") for seed in range(3)]
        assert [s.sampler for s in decide(table(rows)).candidates] == ["a", "b", "c"]

    def test_the_mean_is_geometric_for_ratios(self):
        steady, wild = (
            (30.0, 30.0, 30.0),
            (1.0, 10.0, 100.0),
        )  # geometric means 30 and 10, arithmetic 30 and 37
        rows = [row("prior", "fid", s, v) for s, v in enumerate(steady)]
        rows += [row("gmm", "fid", s, v) for s, v in enumerate(wild)]
        assert decide(table(rows)).leader == "gmm"

    def test_a_candidate_s_summary(self):
        data = study()
        for one in decide(data).candidates:
            own = data.loc[data["sampler"] == one.sampler, "value"]
            assert one.mean == pytest.approx(own.mean())
            assert one.std_deviation == pytest.approx(own.std(ddof=1)) and one.n_seeds == 5
        single = decide(study(n_seeds=1)).candidates
        assert all(one.std_deviation is None and one.n_seeds == 1 for one in single)

    def test_contrasts_are_those_of_the_family(self):
        data = study(TIE)
        verdict = decide(data)
        family = family_of(values_of(data), scale="log", level=0.95)
        order = [one.sampler for one in verdict.candidates]
        assert verdict.against_leader == tuple(family.contrast(order[0], name) for name in order[1:])
        assert verdict.against_baseline == tuple(family.contrast(name, "prior") for name in order[:2])
        own = family.contrast(order[0], "prior")
        assert (verdict.effect, verdict.interval, verdict.against) == (own.effect, own.interval, "prior")

    def test_the_clean_winner_is_alone_among_the_clean(self):
        means = {"posterior": 10.0, "prior": 100.0, "gmm": 40.0}
        assert decide(study(means)).winner_clean == "gmm"
        tie = decide(study(TIE | {"posterior": 10.0}))
        assert tie.winner_clean is None and tie.leader_clean == "gmm"
        one = decide(study({"posterior": 10.0, "gmm": 40.0}))
        assert one.winner_clean == one.leader_clean == "gmm", "the only clean one is alone"
        none = decide(table(rows_of("fid", {"posterior": 5.0, "flow": 8.0}, 5), copying("flow", 0.2, 0.7, 5)))
        assert none.winner_clean is None and none.leader_clean is None
        assert decide(study(means), smallest_ratio=3.0).winner_clean is None

    def test_the_reason_names_those_that_are_not_shown_to_be_worse(self):
        verdict = decide(study(TIE))
        assert verdict.reason == "no difference shown between gmm and gaussian_full"
        assert decide(study()).reason == ""
        four = decide(study(TIE | {"flow": 40.1}, spread=0.05))
        first, *others = four.best_set
        assert four.reason == f"no difference shown between {first} and {', '.join(others)}"


class TestPlan:
    def test_it_is_of_the_nearest_that_is_not_shown_to_be_worse(self):
        data = study(TIE)
        verdict = decide(data)
        values = values_of(data)
        error = family_of(values, scale="log", level=0.95).error("gmm", "gaussian_full")
        asked = {"scale": "log", "level": 0.95, "n_comparisons": 2}
        assert verdict.planning == plan(values, "gmm", "gaussian_full", **asked, pooled_error=error)
        assert verdict.planning != plan(values, "gmm", "gaussian_full", **asked)

    def test_of_the_runner_up_where_all_are_shown_to_be_worse(self):
        assert decide(study()).planning.against == "gaussian_full"

    def test_variances_that_are_not_equal_are_not_pooled(self):
        rows = rows_of("fid", {"gmm": 40.0, "prior": 41.0}, 8, spread=0.001)
        wild = rows_of("fid", {"flow": 90.0}, 8, spread=0.9)
        data = table(rows, wild)
        verdict, values = decide(data), values_of(data)
        assert not family_of(values, scale="log", level=0.95).pooled
        own = plan(values, verdict.leader, verdict.planning.against, scale="log", level=0.95, n_comparisons=2)
        assert verdict.planning == own


class TestSecondOpinions:
    def test_they_are_leader_less_runner_up_in_the_verdicts_space(self):
        parts = [
            rows_of(
                name,
                {"prior": 0.9, "gmm": 0.5, "gaussian_full": 0.8},
                5,
                seed_effect=0,
                log=False,
                space=space,
            )
            for name, space in (("coverage", "classifier"), ("density", "pixels"))
        ]
        data = table(rows_of("fid", CLEAR, 5), *parts)
        verdict = decide(data, level=0.9)
        assert set(verdict.second_opinions) == {"coverage"} and verdict.without_error == ()
        values = values_of(data, "coverage")
        pair = [("gmm", "gaussian_full")]
        (own,) = contrasts(values, pair, scale="identity", level=0.9, one_model=False)
        assert verdict.second_opinions["coverage"] == own

    def test_the_measure_that_ranks_is_no_second_opinion_on_itself(self):
        rows = rows_of("coverage", {"prior": 0.4, "gmm": 0.8}, 5, spread=0.01, seed_effect=0, log=False)
        kid = rows_of("kid", {"prior": 0.4, "gmm": 0.1}, 5, spread=0.01, seed_effect=0, log=False)
        assert set(decide(table(rows, kid), measure="coverage").second_opinions) == {"kid"}

    def test_one_candidate_has_no_opinion(self):
        rows = rows_of("coverage", {"gmm": 0.4}, 5, seed_effect=0, log=False)
        kid = rows_of("kid", {"gmm": 0.4, "gaussian_full": 0.3}, 5, seed_effect=0, log=False)
        assert set(decide(table(rows_of("fid", CLEAR, 5), rows, kid)).second_opinions) == {"kid"}

    def test_one_model_s_opinions_have_its_own_errors(self):
        rows = rows_of("coverage", {"prior": 0.9, "gmm": 0.5}, 1, seed_effect=0, log=False, std_error=0.01)
        fid = rows_of("fid", {"prior": 100.0, "gmm": 40.0}, 1, std_error=0.01)
        verdict = decide(table(fid, rows))
        low, high = verdict.second_opinions["coverage"].interval
        assert high - low == pytest.approx(2 * 1.959964 * 0.01 * np.sqrt(2))

    def test_in_another_space_it_is_of_the_same_label_source(self):
        measure = "accuracy_synthetic_to_real"
        means = {"prior": 0.6, "gmm": 0.8, "flow": 0.7}
        parts = [
            rows_of(measure, values, 5, seed_effect=0, log=False, space=space, label_source=source)
            for space, source, values in (
                ("classifier", "labeller", means),
                ("pixels", "labeller", means),
                ("pixels", "source", {name: 1 - value for name, value in means.items()}),
            )
        ]
        verdict = decide(table(*parts), measure=measure, space="classifier")
        assert verdict.disagree == [] and set(verdict.second_opinions) == {f"{measure} (pixels)"}
        assert verdict.agreement == {"pixels": pytest.approx(1)}

    def test_spaces_of_controls_do_not_count(self):
        control = rows_of("fid", {"posterior_heldout": 3.0}, 5, space="pixels")
        verdict = decide(table(rows_of("fid", CLEAR, 5), control), space="classifier")
        assert verdict.second_opinions == {} and verdict.agreement == {}

    def test_agreement_is_over_the_common_candidates_three_at_least(self):
        here = {"prior": 100.0, "gmm": 40.0, "flow": 60.0, "gaussian_full": 80.0}
        three = {"gmm": 4.0, "flow": 9.0, "gaussian_full": 6.0}
        two = {"gmm": 4.0, "flow": 9.0}
        parts = [
            rows_of("fid", here, 5),
            rows_of("fid", three, 5, space="a"),
            rows_of("fid", two, 5, space="b"),
        ]
        assert decide(table(*parts), space="classifier").agreement == {"a": pytest.approx(1 / 3)}


class TestCaveats:
    def test_each_has_its_sentence_and_none_is_said_without_cause(self):
        data = study()
        assert decide(data).caveats == ()
        uneven = data[~((data["sampler"] == "prior") & (data["seed"] == 4))]
        sizes = data.assign(n=data["n"].where(data["sampler"] != "gmm", 500))
        absent = table(rows_of("fid", CLEAR, 5), rows_of("kid", {"flow": 0.1, "b": 0.2}, 5))
        said = [decide(one).caveats for one in (uneven, sizes, absent)]
        assert said == [
            ("Not every candidate was measured for every seed; pairs use the seeds they share.",),
            ("The candidates were measured on different numbers of samples.",),
            ("Without this measure, so not ranked: b, flow.",),
        ]

    def test_numbers_of_samples_of_controls_or_that_are_not_known_do_not_count(self):
        control = rows_of("fid", {"posterior_heldout": 3.0}, 5, n=77)
        assert decide(table(rows_of("fid", CLEAR, 5), control)).caveats == ()
        data = study()
        assert decide(data.drop(columns="n")).caveats == ()
        assert decide(data.assign(n=data["n"].where(data["sampler"] != "gmm"))).caveats == ()

    def test_the_fewest_test_observations_are_named(self):
        data = study()
        data["n_reference"] = data["n_reference"].where(data["seed"] != 2, 700)
        assert decide(data).n_rows == 700
        assert decide(data.drop(columns="n_reference")).n_rows is None
        assert decide(data.assign(n_reference=np.nan)).n_rows is None


class TestAbsent:
    def test_the_reason_says_what_is_missing_and_where(self):
        other = table(rows_of("kid", CLEAR, 5, log=False))
        assert decide(other).reason == "fid was not computed for any candidate"
        asked = decide(other, space="pixels", skipped={"fid": "no weights", "kid": "other"})
        assert asked.reason == "fid was not computed in pixels space for any candidate (no weights)"
        one = decide(study({"prior": 10.0}, space=""))
        assert one.reason == "only one candidate (prior) has fid: there is nothing to compare"
        assert one.candidates[0].sampler == "prior" and one.advice is None and one.best_set is None


class TestStopped:
    def test_nothing_is_named_and_the_numbers_are_there(self):
        verdict = decide(study(), findings=[STOP])
        assert verdict.stopped and verdict.reason == STOP.sentence.removesuffix(".")
        named = (verdict.winner, verdict.winner_clean, verdict.effect, verdict.interval, verdict.recommended)
        assert named == (None,) * 5 and verdict.best_set is None and verdict.planning is None
        assert verdict.disagree == [] and verdict.leader == "gmm" and len(verdict.against_leader) == 2


class TestRecord:
    def test_it_holds_all_that_the_verdict_says(self):
        data = table(
            rows_of("fid", TIE | {"posterior": 10.0}, 5),
            rows_of("fid", {"prior": 1.0, "gmm": 2.0, "posterior": 4.0}, 5, space="pixels"),
            rows_of("density", {"posterior": 0.1, "gmm": 0.9}, 5, seed_effect=0, log=False),
            copying("gmm", 0.2, 0.7, 5),
            [row("", "memorisation_auc", s, 0.6 + 0.01 * s, space="pixels") for s in range(5)],
            [row("", "kl_diag_train", s, 0.3, space="latent") for s in range(5)],
        )
        verdict = decide(data, space="classifier")
        record = verdict.to_json()
        assert json.loads(json.dumps(record, allow_nan=False))["headline"] == verdict.headline
        for name in (
            "headline",
            "sure",
            "recommended",
            "space",
            "winner",
            "winner_clean",
            "effect",
            "n_seeds",
        ):
            assert record[name] == getattr(verdict, name)
        assert record["provisional"] is False and record["labels"] == verdict.labels != {}
        assert record["interval"] == list(verdict.interval) and record["disagree"] == verdict.disagree != []
        assert record["best_set"] == list(verdict.best_set) and record["measure"] == "fid"
        assert record["health"] == [finding.to_json() for finding in verdict.health] != []
        assert record["text"] == verdict.text and record["planning"] == verdict.planning.to_json()
        details = record["details"]
        for name in (
            "keys",
            "scale",
            "against",
            "leader",
            "leader_clean",
            "reason",
            "level",
            "smallest_ratio",
        ):
            assert details[name] == getattr(verdict, name)
        assert details["n_cells"] == 1 and details["agreement"] == verdict.agreement != {}
        assert details["not_converged"] == verdict.not_converged == [0, 1, 2, 3, 4]
        assert details["sentences"] == list(verdict.details) and details["caveats"] == list(verdict.caveats)
        assert details["candidates"] == [vars(one) for one in verdict.candidates]
        advice = details["advice"]
        assert advice["against"] == verdict.advice.against.to_json() and advice["kind"] == verdict.advice.kind
        assert advice["recommended"] == verdict.recommended
        for name in ("best_set", "ties", "barred"):
            assert advice[name] == list(getattr(verdict.advice, name))
        for name in ("against_leader", "against_baseline"):
            assert details[name] == [contrast.to_json() for contrast in getattr(verdict, name)] != []
        assert (
            details["second_opinions"] == {n: c.to_json() for n, c in verdict.second_opinions.items()} != {}
        )
        assert details["without_error"] == list(verdict.without_error)
        assert details["facts"] == {name: facts.to_json() for name, facts in verdict.facts.items()}
        assert details["measure"] == BUILTIN["fid"].to_json()
        auc = verdict.memorisation_auc
        assert details["memorisation_auc"] == {
            "value": auc.value,
            "interval": list(auc.interval),
            "null_known": True,
        }
        assert details["calibration"] is None

    def test_what_is_absent_is_null(self):
        record = decide(study({"prior": 10.0})).to_json()
        for name in ("recommended", "best_set", "winner", "winner_clean", "effect", "interval", "planning"):
            assert record[name] is None
        details = record["details"]
        assert (
            details["advice"] is None
            and details["memorisation_auc"] is None
            and details["calibration"] is None
        )
        open_ = decide(study({"prior": 10.0, "gmm": 9.0}, 1)).to_json()
        assert open_["interval"] is None and open_["details"]["advice"]["against"]["interval"] is None
        alone = decide(study({"prior": 10.0, "posterior": 9.0})).to_json()
        assert alone["recommended"] == "prior" and alone["details"]["advice"]["against"] is None

    def test_the_calibrated_prior_s_contrast_is_there(self):
        twin = rows_of("fid", {"gmm": 30.0, "prior": 55.0}, 5, cell="twin", calibrate=True)
        verdict = decide(table(rows_of("fid", CLEAR, 5, cell="plain", calibrate=False), twin))
        assert verdict.to_json()["details"]["calibration"] == verdict.calibration.to_json()
        assert (verdict.calibration.sampler, verdict.calibration.against) == ("prior (calibrated)", "prior")
        assert verdict.calibration.scale == "log" and verdict.calibration.n_pairs == 5

    def test_the_paragraph_starts_with_the_place(self):
        verdict = decide(study())
        tiers = " ".join([verdict.headline, verdict.sure, *verdict.details])
        assert verdict.text == tiers
        assert replace(verdict, keys={"loss.alpha": 1.0}).text == f"For loss.alpha=1: {tiers}"
        assert replace(verdict, sure="").text == " ".join([verdict.headline, *verdict.details])

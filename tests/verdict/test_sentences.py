"""The third tier: the sentences that a headline rests on, and the line of each cell of a study."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from planted import CLEAR, copying, row, rows_of, table

from priorgap.core.findings import Finding
from priorgap.verdict import decide, decide_study
from priorgap.verdict.contrasts import Contrast
from priorgap.verdict.decision import CandidateSummary
from priorgap.verdict.headline import interval_text, number
from priorgap.verdict.sentences import details, effect_text, mean_text, plus_minus
from priorgap.verdict.study_sentences import study_lines

LAST = "The choice was made on the test observations that it is reported on."
REPLACE = {"prior": 100.0, "gmm": 40.0}
TIE = {"prior": 100.0, "gmm": 40.0, "gaussian_full": 40.2}


def study(means, n_seeds=5, **more):
    return table(rows_of("fid", means, n_seeds, **more))


def words(text):
    """A text with # for every number: what is said, whatever the numbers are."""
    return re.sub(r"-?\d[\d,.]*\d|-?\d", "#", text)


def said(verdict):
    return [words(sentence) for sentence in verdict.details]


def contrast(effect, scale, interval=(0.4, 0.6)):
    return Contrast("gmm", "prior", effect, interval, 0.01, 5, scale, True)


class TestNumbers:
    @pytest.mark.parametrize(
        ("mean", "spread", "text"),
        [
            (20.43, 0.618, "20.4 ± 0.6"),
            (0.5, 12.34, "0.5 ± 12.3"),
            (-0.0512, 0.0012, "-0.0512 ± 0.0012"),
            (1234.5, 100.4, "1,234 ± 100"),
            (9.996, 0.25, "10.00 ± 0.25"),
            (100.0, 9.0, "100 ± 9"),
            (1e-9, 0.0, "0.000000 ± 0.000000"),
            (0.0, 0.0, "0 ± 0"),
        ],
    )
    def test_a_mean_has_three_digits_and_its_spread_as_many_decimals(self, mean, spread, text):
        assert plus_minus(mean, spread) == text

    def test_a_mean_without_a_spread_is_one_number(self):
        assert mean_text(CandidateSummary("gmm", 12.345, None, 1)) == "12.3"
        assert mean_text(CandidateSummary("gmm", 12.345, 0.5, 2)) == "12.3 ± 0.5 (s.d.)"

    def test_an_effect_is_a_ratio_or_a_difference_with_a_side(self):
        assert effect_text(contrast(0.5, "log")) == "0.5 times that of prior [0.4, 0.6]"
        known = {0.5: "0.5 above", 0.0: "0 above", -0.5: "0.5 below"}
        for effect, text in known.items():
            assert (
                effect_text(contrast(effect, "identity")) == f"{text} that of prior (difference [0.4, 0.6])"
            )
        assert effect_text(contrast(0.5, "log", None)).endswith("[no interval]")


class TestOpening:
    def test_the_best_the_provisional_and_what_may_not_be_used(self):
        assert said(decide(study(CLEAR)))[:1] == [
            "Over # seeds, gmm is the best of # candidates by FID (classifier): # ± # (s.d.)."
        ]
        assert said(decide(study(CLEAR, 3)))[0] == (
            "Provisional (# seeds), use gmm: the lowest FID (classifier) of # candidates, # ± # (s.d.)."
        )
        posterior = {"prior": 100.0, "posterior": 10.0, "gmm": 40.0}
        for n_seeds in (5, 3):
            assert said(decide(study(posterior, n_seeds)))[0].endswith(
                "seeds), posterior has the lowest FID (classifier) of # candidates, # ± # (s.d.)."
                if n_seeds == 3
                else "seeds, posterior has the lowest FID (classifier) of # candidates, # ± # (s.d.)."
            )

    def test_it_counts_the_candidates_and_has_the_leader_s_mean(self):
        verdict = decide(study(CLEAR))
        assert "of 3 candidates" in verdict.details[0]
        assert mean_text(verdict.candidates[0]) in verdict.details[0]

    def test_measures_that_disagree(self):
        coverage = rows_of("coverage", {"prior": 0.9, "gmm": 0.5}, 5, seed_effect=0, log=False)
        for n_seeds in (5, 3):
            rows = [r for r in (*rows_of("fid", REPLACE, 5), *coverage) if r["seed"] < n_seeds]
            assert (
                ", measures disagree: gmm has the lowest FID (classifier) of # candidates, # ± #"
                in said(decide(table(rows)))[0]
            )

    def test_no_difference_names_all_that_are_not_shown_to_be_worse(self):
        verdict = decide(study(TIE))
        assert said(verdict)[0] == (
            "Over # seeds, no difference shown: gmm has the lowest mean FID (classifier), # ± # (s.d.), but "
            "gaussian_full is not shown to be worse."
        )
        three = decide(study(TIE | {"flow": 40.1}))
        assert "but gmm and gaussian_full are not shown to be worse." in three.details[0]

    def test_higher_is_better(self):
        rows = rows_of("coverage", {"prior": 0.4, "gmm": 0.4}, 5, spread=0.05, seed_effect=0, log=False)
        assert (
            "has the highest mean coverage (classifier)" in decide(table(rows), measure="coverage").details[0]
        )


class TestEvidence:
    def test_the_leader_is_compared_with_the_baseline(self):
        verdict = decide(study(CLEAR))
        own = next(c for c in verdict.against_baseline if c.sampler == "gmm")
        assert verdict.details[1] == (
            f"Its FID is {effect_text(own)} (95% interval, paired by model, simultaneous over all pairs); every "
            "other candidate is shown to be worse."
        )

    def test_a_baseline_that_leads_is_compared_with_the_runner_up(self):
        verdict = decide(study({"gaussian_full": 50.0, "prior": 30.0, "gmm": 40.0}))
        assert verdict.details[1].startswith(f"Its FID is {effect_text(verdict.against_leader[0])} (95%")
        assert "that of gmm" in verdict.details[1]

    def test_a_tie_shows_nothing_of_the_others_and_one_model_has_its_own_errors(self):
        assert "every other" not in decide(study(TIE)).details[1]
        one = decide(study(REPLACE, 1, std_error=0.01), level=0.9).details[1]
        assert "(90% interval, within-model standard errors, simultaneous over all pairs)" in one


class TestPlanning:
    def test_what_the_seeds_could_have_shown(self):
        verdict = decide(study(TIE))
        plan = verdict.planning
        assert verdict.details[2] == (
            f"These 5 seeds would show a ratio of {number(plan.detectable)} against gaussian_full with 80% "
            f"probability; what was observed, if true, would need about {plan.seeds_needed:,} seeds."
        )

    def test_differences_are_no_ratio_and_too_many_seeds_are_no_number(self):
        values = {"prior": 0.50, "gmm": 0.70, "flow": 0.70}
        rows = rows_of("coverage", values, 4, log=False, spread=0.02, seed_effect=0.0)
        verdict = decide(table(rows), measure="coverage")
        assert f"would show {number(verdict.planning.detectable)} against" in verdict.details[2]
        endless = replace(verdict, planning=replace(verdict.planning, seeds_needed=None))
        assert details(endless)[2].endswith(
            "; no number of seeds up to 100,000 would show what was observed."
        )

    def test_a_winner_or_one_model_needs_no_plan(self):
        assert not any("would show" in one for one in decide(study(CLEAR)).details)
        assert not any("would show" in one for one in decide(study(REPLACE, 1)).details)


class TestCleanChoice:
    def test_with_a_winner_without_one_and_without_any(self):
        clean = decide(study({"prior": 100.0, "posterior": 10.0, "gmm": 40.0}))
        own = next(c for c in clean.against_baseline if c.sampler == "gmm")
        mean = mean_text(next(one for one in clean.candidates if one.sampler == "gmm"))
        assert (
            f"Where samples must not be reconstructions or copies, use gmm: {mean}, {effect_text(own)}."
            in clean.details
        )
        tie = decide(study(TIE | {"posterior": 10.0}))
        assert (
            "Among candidates that neither reconstruct nor copy, no difference shown; gmm leads with # ± # (s.d.), "
            "# times that of prior [#, #]." in said(tie)
        )
        none = decide(table(rows_of("fid", {"posterior": 5.0, "kde": 8.0}, 5), copying("kde", 0.2, 0.7, 5)))
        assert "No candidate is free of that: all are reconstructive or copy." in none.details

    def test_the_prior_beside_itself_has_no_ratio(self):
        verdict = decide(study({"prior": 40.0, "posterior": 10.0, "gmm": 100.0}))
        assert "Where samples must not be reconstructions or copies, use prior: # ± # (s.d.)." in said(
            verdict
        )

    def test_a_clean_leader_needs_no_such_sentence(self):
        told = " ".join(decide(study(CLEAR)).details)
        assert (
            "Where samples must" not in told and "free of that" not in told and "Among candidates" not in told
        )


class TestOtherSpaces:
    @pytest.mark.parametrize(
        ("order", "tau", "how"),
        [
            ((1, 2, 3, 4, 5), 1.0, "alike"),
            ((2, 1, 3, 4, 5), 0.8, "alike"),
            ((2, 1, 4, 3, 5), 0.6, "roughly alike"),
            ((3, 2, 1, 4, 5), 0.4, "roughly alike"),
            ((3, 4, 1, 2, 5), 0.2, "differently"),
            ((3, 5, 1, 4, 2), -0.2, "differently"),
            ((5, 3, 4, 2, 1), -0.8, "in nearly the opposite order"),
        ],
    )
    def test_how_alike_another_space_ranks(self, order, tau, how):
        names = ("a", "b", "c", "d", "e")
        here = rows_of("fid", {n: 10.0 * 2**i for i, n in enumerate(names)}, 5)
        there = rows_of("fid", {n: 10.0 * 2**i for n, i in zip(names, order, strict=True)}, 5, space="pixels")
        verdict = decide(table(here, there), space="classifier")
        assert verdict.agreement["pixels"] == pytest.approx(tau)
        assert (
            f"The feature space pixels ranks the candidates {how} (Kendall's tau {number(tau)})."
            in verdict.details
        )

    def test_opinions_without_an_error_are_named(self):
        fid = rows_of("fid", REPLACE, 1, std_error=0.01)
        mute = [rows_of(name, {"prior": 0.9, "gmm": 0.1}, 1, log=False) for name in ("density", "coverage")]
        told = decide(table(fid, *mute)).details
        assert "Without a valid standard error, and so without a say: density and coverage." in told


class TestLabels:
    def test_each_label_has_its_sentence(self):
        data = table(
            rows_of("fid", CLEAR | {"posterior": 10.0, "kde": 12.0, "flow": 30.0}, 5),
            copying("kde", 0.2, 0.7, 5),
            copying("flow", 0.2, 0.7, 5),
            copying("gmm", 0.0, 0.61, 5),
        )
        told = decide(data).details
        assert "posterior is reconstructive by definition (memorisation_auc was not measured)." in told
        assert (
            "kde and flow copy training images: exact or near copies are more than unseen images explain."
            in told
        )
        assert (
            "With gmm the decoder memorises: samples sit nearer to training images than to unseen ones (train_share)."
            in told
        )
        one = decide(table(rows_of("fid", CLEAR, 5), copying("gmm", 0.2, 0.7, 5))).details
        assert "gmm copies training images: exact or near copies are more than unseen images explain." in one
        assert not any("reconstructive" in sentence or "memorises" in sentence for sentence in one)

    def test_the_area_has_its_interval_and_null(self):
        rows = rows_of("fid", REPLACE | {"posterior": 10.0}, 5)
        for unit, null in (
            ("", "0.5 where training adds no closeness"),
            ("null unknown", "null unknown: held-out images are no random part of the training pool"),
        ):
            auc = [
                row("", "memorisation_auc", s, 0.6 + 0.01 * s, space="pixels", unit=unit) for s in range(5)
            ]
            verdict = decide(table(rows, auc))
            area = verdict.memorisation_auc
            text = f"(memorisation_auc {number(area.value)} {interval_text(area.interval)}; {null})"
            assert f"posterior is reconstructive by definition {text}." in verdict.details


def calibrated(before, after, other=None, **more):
    rows = rows_of("fid", {"prior": before} | (other or {}), 5, cell="a", calibrate=False, **more)
    return [*rows, *rows_of("fid", {"prior": after}, 5, cell="b", calibrate=True, **more)]


class TestCalibration:
    def test_from_what_to_what_and_what_share_of_the_deficit(self):
        verdict = decide(table(calibrated(100.0, 60.0, {"gmm": 50.0}, spread=0.0, seed_effect=0.0)))
        assert (
            "Calibration takes the prior's FID from 100 to 60, 80% of its deficit to gmm." in verdict.details
        )

    @pytest.mark.parametrize("other", [{"gmm": 120.0}, {"posterior": 10.0}, {"gmm": 100.0}])
    def test_no_deficit_to_what_is_no_better_or_may_not_be_used(self, other):
        verdict = decide(table(calibrated(100.0, 60.0, other, spread=0.0, seed_effect=0.0)))
        assert "Calibration takes the prior's FID from 100 to 60." in verdict.details

    def test_the_deficit_is_to_the_best_that_is_fitted(self):
        other = {"gmm": 50.0, "flow": 20.0, "posterior": 10.0}
        verdict = decide(table(calibrated(100.0, 60.0, other, spread=0.0, seed_effect=0.0)))
        assert (
            "Calibration takes the prior's FID from 100 to 60, 50% of its deficit to flow." in verdict.details
        )

    def test_without_a_twin_nothing_is_said(self):
        assert not any("Calibration" in sentence for sentence in decide(study(CLEAR)).details)


class TestWhatFollows:
    NOTE = Finding("note", "moments", 0.3, 0.05, "The moments are not matched.")
    STOP = Finding("stop", "sigma_for_log_var", 0.02, 0.0, "Return the logarithm of the variance.")
    WARN = Finding("warn", "few_rows", 120.0, 300.0, "There are few rows.")

    def test_the_caveat_of_the_choice_and_the_cost_end_a_recommendation(self):
        costs = {"gmm": "It takes a fit.", "prior": "Nothing."}
        assert decide(study(CLEAR), costs=costs).details[-2:] == (LAST, "It takes a fit.")
        assert decide(study(CLEAR)).details[-1] == LAST
        assert LAST not in decide(study({"posterior": 5.0, "kde": 8.0})).details

    def test_notes_are_details_and_warnings_are_not(self):
        told = decide(study(CLEAR), findings=[self.NOTE, self.WARN]).details
        assert self.NOTE.sentence in told and self.WARN.sentence not in told
        assert told.index(self.NOTE.sentence) < told.index(LAST)

    def test_where_health_stops_the_other_findings_and_the_caveats_are_all(self):
        data = study(CLEAR)
        data.loc[data["sampler"] == "gmm", "n"] = 500
        verdict = decide(data, findings=[self.STOP, self.WARN, self.NOTE])
        assert verdict.details == (
            self.WARN.sentence,
            "The moments are not matched (follows from sigma for log var).",
            "The candidates were measured on different numbers of samples.",
        )

    def test_without_a_ranking_there_are_findings_only(self):
        assert decide(study({"prior": 20.0}), findings=[self.NOTE]).details == (self.NOTE.sentence,)


def cells(*kinds, **more):
    rows = [
        rows_of("fid", means, 5, cell=f"c{place}", alpha=place, **more)
        for place, means in enumerate(kinds, 1)
    ]
    return table(*rows)


class TestStudies:
    def test_the_paragraph_starts_with_what_to_do_and_counts_the_winners(self):
        verdict = decide_study(cells({"prior": 100.0, "flow": 20.0}, REPLACE, REPLACE, TIE))
        assert verdict.lines[0] == (
            f"{verdict.headline} {verdict.sure} By FID (classifier), of 4 cells the winner is: gmm in 2, flow in 1 "
            "and no single one in 1."
        )
        assert len(verdict.lines) == 5

    def test_winners_of_equal_counts_stand_by_name(self):
        verdict = decide_study(cells(REPLACE, {"prior": 100.0, "flow": 20.0}))
        assert verdict.lines[0].endswith("the winner is: flow in 1 and gmm in 1.")

    def test_cells_without_a_ranking_have_no_winner_and_are_not_counted_as_ties(self):
        some = decide_study(cells(REPLACE, {"prior": 20.0}))
        assert some.lines[0].endswith("of 2 cells the winner is: gmm in 1.")
        none = decide_study(cells({"prior": 10.0}, {"prior": 20.0}))
        assert none.lines[0] == none.headline

    def test_notes_of_all_cells_are_said_once_and_those_of_some_are_not(self):
        shared, own = (
            Finding("note", "shared", None, None, "Known of all."),
            Finding("note", "own", None, None, "Of one."),
        )
        both = decide_study(cells(REPLACE, REPLACE), findings=[shared])
        assert both.lines[0].endswith("gmm in 2. Known of all.") and len(both.lines) == 3
        first, second = both.cells
        one = replace(first, health=(shared, own))
        assert study_lines([one, second])[0].endswith("gmm in 2. Known of all.")
        warned = decide_study(cells(REPLACE, REPLACE), findings=[replace(shared, severity="warn")])
        assert not warned.lines[0].endswith("Known of all.")

    def test_cells_with_many_units_that_are_not_in_use_are_named(self):
        """Of two models of 30 units one uses 10, the other 29."""
        units = [
            row("", name, seed, value, cell=f"c{place}", alpha=place, space="latent", unit=unit)
            for place, active in ((1, 10.0), (2, 29.0))
            for seed in range(5)
            for name, value, unit in (
                ("active_units_rate", active, ""),
                *(("rate", 1.0, str(j)) for j in range(30)),
            )
        ]
        lines = decide_study(pd.concat([table(units), cells(REPLACE, REPLACE)], ignore_index=True)).lines
        assert lines[0].endswith("Many latent units are not in use; active_gmm leaves them out: alpha=1.")

    def test_units_that_are_not_in_use_in_any_cell_are_named_once(self):
        """Two cells with equal findings, as of one model decoded by two rules."""
        note = Finding("note", "unused_units", 20.0, 16, "20 of 30 latent units are not in use.")
        lines = decide_study(cells(REPLACE, REPLACE), findings=[note]).lines
        assert lines[0].count("not in use") == 1 and lines[0].endswith("leaves them out: alpha=1; alpha=2.")

    def test_a_cell_s_line(self):
        posterior = {"prior": 100.0, "posterior": 10.0, "gmm": 40.0}
        verdict = decide_study(
            cells(
                REPLACE, TIE, posterior, TIE | {"posterior": 10.0}, {"prior": 20.0},
                {"prior": 30.0, "gmm": 40.0}, {"posterior": 5.0, "vamp": 8.0},
            )
        )  # fmt: skip
        effect = "(# ± # (s.d.), # times that of prior [#, #])"
        assert [words(line).partition(": ")[2] for line in verdict.lines[1:]] == [
            f"gmm {effect}.",
            f"gmm leads, not shown to be alone {effect}.",
            f"posterior (reconstructive) {effect}; leaving out reconstructions and copies: gmm.",
            f"posterior (reconstructive) {effect}; leaving out reconstructions and copies: gmm, not shown to "
            "be alone.",
            "no verdict: only one candidate (prior) has fid in classifier space: there is nothing to compare.",
            f"prior {effect.replace('of prior', 'of gmm')}.",
            f"posterior (reconstructive) {effect.replace('of prior', 'of vamp')}; leaving out reconstructions and "
            "copies: vamp.",
        ]
        assert [line.partition(":")[0] for line in verdict.lines[1:]] == [f"alpha={n}" for n in range(1, 8)]
        first = verdict.cells[0]
        assert mean_text(first.candidates[0]) in verdict.lines[1]
        assert effect_text(first.against_baseline[0]) in verdict.lines[1]

    def test_a_cell_s_line_has_disagreement_and_calibration(self):
        coverage = {"prior": 0.9, "gmm": 0.5}
        data = cells(REPLACE, {"prior": 30.0, "gmm": 40.0})
        extra = [
            rows_of(name, values, 5, seed_effect=0, log=False, cell="c1", alpha=1)
            for name, values in (("coverage", coverage), ("density", coverage))
        ]
        lines = decide_study(table(data.to_dict("records"), *extra)).lines
        assert "]), measures disagree (density, coverage)." in lines[1] and "disagree" not in lines[2]
        twins = [
            *calibrated(100.0, 60.0, {"gmm": 50.0}, alpha=1, spread=0.001, seed_effect=0.0),
            *rows_of("fid", REPLACE, 5, cell="c", alpha=2, calibrate=False),
        ]
        line = decide_study(table(twins)).lines[1]
        assert re.search(
            r"\]\); calibration takes the prior's FID from 100 to 60, 80% of its deficit to gmm\.$", line
        )

    def test_a_winner_that_copies_somewhere_is_marked_and_named(self):
        data = cells(REPLACE, REPLACE, {"prior": 30.0, "gmm": 40.0})
        copies = [r | {"cell": "c2", "alpha": 2} for r in copying("gmm", 0.2, 0.7, 5)]
        verdict = decide_study(table(data.to_dict("records"), copies))
        assert (
            "the winner is: gmm (copies) in 2 and prior in 1. Copying was found for gmm." in verdict.lines[0]
        )
        assert verdict.lines[1].startswith("alpha=1: gmm (") and "(copies)" not in verdict.lines[1]
        assert verdict.lines[2].startswith("alpha=2: gmm (copies) (")
        clean = decide_study(data)
        assert "Copying" not in clean.text

    def test_cells_whose_moments_are_not_matched_are_named(self):
        data = cells(REPLACE, REPLACE, REPLACE)
        marks = [
            row(
                "",
                "kl_diag_train",
                seed,
                0.3 if alpha < 3 else 0.0,
                space="latent",
                cell=f"c{alpha}",
                alpha=alpha,
            )
            for alpha in (1, 2, 3)
            for seed in range(5)
        ]
        verdict = decide_study(table(data.to_dict("records"), marks))
        assert verdict.lines[0].endswith("Means and variances are not matched: alpha=1; alpha=2.")
        assert "not matched" not in decide_study(data).lines[0]

    def test_a_cell_that_stops_has_no_numbers(self):
        stop = TestWhatFollows.STOP
        verdict = decide_study(cells(REPLACE, REPLACE), findings=[stop])
        assert verdict.lines[1:] == [f"alpha={n}: no verdict: {stop.sentence}" for n in (1, 2)]

    def test_one_cell_and_none(self):
        one = decide_study(study(CLEAR))
        assert one.lines == [one.cells[0].text]
        assert study_lines([]) == ["No verdict: the study has no finished cell."]

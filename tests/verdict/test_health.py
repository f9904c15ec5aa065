"""Findings: none of a good model, each fault by its own name first, nothing where nothing was measured."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest
from planted import CLEAR, row, rows_of, table

from priorgap.core.findings import Finding
from priorgap.core.verdict_rules import standard_rules
from priorgap.samplers.active import ActiveUnits
from priorgap.samplers.ex_post import ExPostMixture
from priorgap.verdict import Recommendation, decide, decide_study, health_of, pick_model
from priorgap.verdict.health import findings_of, in_order, is_stop

GMM = ExPostMixture(10, n_fit=20_000, draws_per_image=4, max_iter=60, reg_covar=1e-6)
LIMITS = standard_rules().health
GOOD = {
    "active_units_var": 8.0,
    "rate": 12.0,
    "explained_share": 0.7,
    "fid_floor": 5.0,
    "fid_reconstruction": 20.0,
    "kl_diag_train": 0.01,
}
SPACES = {"fid_floor": "classifier", "fid_reconstruction": "classifier", "explained_share": "data"}


def study(n_seeds=5, *, fids=None, n_rows=1000, unit_rates=(6.0, 6.0), only=None, **changed):
    """A model's own rows beside planted FIDs; `changed` values hold of the seeds in `only`, of all without it."""
    rows = []
    for seed in range(n_seeds):
        values = GOOD | (changed if only is None or seed in only else {})
        for name, value in values.items():
            if value is not None:
                rows.append(row("", name, seed, value, space=SPACES.get(name, "latent")))
        rates = unit_rates if only is None or seed in only else (6.0, 6.0)
        rows += [row("", "rate", seed, v, space="latent", unit=str(j)) for j, v in enumerate(rates)]
    fid = rows_of("fid", fids or CLEAR, n_seeds, seed_effect=0.0, std_error=0.01, n_reference=n_rows)
    return table(rows, fid)


def found(data, *, matches=None, given=()):
    return findings_of(data, LIMITS, space="classifier", baseline="prior", matches=matches, given=given)


NEAR = {"prior": 18.0, "gmm": 12.1, "kde": 15.0}
FAULTS = {
    "reconstructions_no_better_than_the_mean": {"explained_share": 0.02},
    "nothing_in_the_latent_space": {"active_units_var": 0.0, "rate": 0.002, "unit_rates": (0.001, 0.001)},
    "exploded_posteriors": {"unit_rates": (6.0, 5e5)},
    "decoder_limits": {"fid_reconstruction": 801.0, "fids": {"prior": 705.0, "gmm": 700.0, "kde": 702.0}},
    "too_few_rows": {"n_rows": 12},
}


class TestFindings:
    def test_a_good_model_raises_none(self):
        assert found(study()) == () and found(study(), matches=True) == ()

    @pytest.mark.parametrize("n_seeds", [1, 3, 5])
    @pytest.mark.parametrize("name", FAULTS)
    def test_each_fault_raises_its_own_finding_and_nothing_else(self, name, n_seeds):
        findings = found(study(n_seeds, **FAULTS[name]))
        assert [finding.name for finding in findings] == [name]
        assert findings[0].severity == "stop" and findings[0].sentence.endswith(".")

    @pytest.mark.parametrize(
        ("changed", "name"),
        [
            ({"explained_share": 0.05}, None),
            ({"explained_share": 0.0499}, "reconstructions_no_better_than_the_mean"),
            ({"rate": 0.1}, None),
            ({"rate": 0.0999}, "nothing_in_the_latent_space"),
            ({"active_units_var": 1.0}, None),
            ({"unit_rates": (6.0, 100.0)}, None),
            ({"unit_rates": (6.0, 100.1)}, "exploded_posteriors"),
            ({"n_rows": 200}, None),
            ({"n_rows": 199}, "too_few_rows"),
            ({"fid_reconstruction": 49.9}, None),
            ({"fid_reconstruction": 50.0}, "decoder_limits"),
            ({"fid_reconstruction": 14.9, "fids": NEAR}, None),
            ({"fid_reconstruction": 15.0, "fids": NEAR}, "decoder_limits"),
            ({"fid_reconstruction": 15.0, "fids": NEAR | {"prior": 19.0}}, None),
            ({"fid_reconstruction": 15.0, "fids": NEAR | {"gmm": 11.9}}, None),
            ({"kl_diag_train": 0.05}, None),
            ({"kl_diag_train": 0.051}, "moments"),
        ],
    )
    def test_limits(self, changed, name):
        assert [finding.name for finding in found(study(**changed))] == ([] if name is None else [name])

    @pytest.mark.parametrize(
        ("active", "noted"), [(10.0, True), (14.0, True), (15.0, False), (30.0, False), (None, False)]
    )
    def test_units_that_are_not_in_use_are_named_with_the_sampler_that_leaves_them_out(self, active, noted):
        """30 units, of which 20, 16, 15 or none are not in use; and where this was not measured."""
        findings = found(study(unit_rates=(6.0,) * 30, active_units_rate=active))
        assert [(f.severity, f.name) for f in findings] == ([("note", "unused_units")] if noted else [])
        for finding in findings:
            assert (
                finding.value == 30 - active and f"{30 - active:.0f} of 30 latent units" in finding.sentence
            )
            assert ActiveUnits(GMM).name in finding.sentence

    def test_units_in_use_are_averaged_over_seeds(self):
        """Two of five seeds have no unused unit: on average 18 and 12 of 30 are not in use."""
        some = study(unit_rates=(6.0,) * 30, active_units_rate=0.0, only={0, 1, 2})
        more = [row("", "active_units_rate", seed, 30.0, space="latent") for seed in (3, 4)]
        rates = [
            row("", "rate", seed, 6.0, space="latent", unit=str(j)) for seed in (3, 4) for j in range(30)
        ]
        data = pd.concat([some, table(more, rates)], ignore_index=True)
        assert [finding.value for finding in found(data)] == [18.0]

    def test_severity_of_few_rows_and_of_the_decoder(self):
        assert [found(study(n_rows=n))[0].severity for n in (49, 50)] == ["stop", "warn"]
        fids = {"prior": 300.0, "gmm": 250.0, "kde": 260.0}
        assert found(study(fid_reconstruction=199.0, fids=fids))[0].severity == "warn"
        assert found(study(fid_reconstruction=200.0, fids=fids))[0].severity == "stop"

    def test_a_bad_decoder_far_better_than_the_prior_does_not_limit(self):
        """Negative control: reconstructions 16 times the floor, and the prior far worse still: sampling matters."""
        assert found(study(fid_reconstruction=80.0, fids={"prior": 161.0, "gmm": 85.0})) == ()
        assert [
            f.name for f in found(study(fid_reconstruction=80.0, fids={"prior": 159.0, "gmm": 85.0}))
        ] == ["decoder_limits"]

    @pytest.mark.parametrize(
        ("reconstructions", "floor", "noted"),
        # means of weather's windows; the limit from both sides; as near as real rows are to each other
        [(35.0, 5.0, True), (29.0, 5.0, True), (28.0, 5.0, False), (35.0, 12.0, True), (35.0, 14.0, False)],
    )
    def test_means_further_off_than_a_sampler_are_no_measure_of_the_decoder(
        self, reconstructions, floor, noted
    ):
        fids = {"prior": 100.0, "gmm": 22.0}
        findings = found(study(fid_reconstruction=reconstructions, fid_floor=floor, fids=fids))
        assert [(f.severity, f.name) for f in findings] == (
            [("note", "means_hide_what_the_decoder_can")] if noted else []
        )
        for finding in findings:
            assert finding.value == pytest.approx(reconstructions / 22, rel=0.01) and finding.limit == 1.3
            assert "decode=[mean,draw]" in finding.sentence and f"FID {reconstructions:g}" in finding.sentence

    def test_draws_are_not_told_to_be_measured(self):
        data = study(fid_reconstruction=35.0, fids={"prior": 100.0, "gmm": 22.0})
        assert found(data.assign(decode="draw")) == ()
        assert [f.name for f in found(data.assign(decode="mean"))] == ["means_hide_what_the_decoder_can"]

    @pytest.mark.parametrize("missing", ["fid_floor", "fid_reconstruction", "fid"])
    def test_means_that_cannot_be_held_against_anything_are_not_judged(self, missing):
        data = study(fid_reconstruction=35.0, fids={"prior": 100.0, "gmm": 22.0})
        assert found(data[data["measure"] != missing]) == ()
        none = data.assign(value=data["value"].where(data["measure"] != missing, float("nan")))
        assert [f.name for f in found(none)] == []

    def test_without_reconstructions_samplers_that_are_all_far_stop(self):
        garbage = {"prior": 700.0, "gmm": 701.0}
        findings = found(study(fid_reconstruction=None, fids=garbage))
        assert [(f.severity, f.name) for f in findings] == [("stop", "decoder_limits")]
        assert found(study(fid_reconstruction=None, fids={"prior": 700.0, "gmm": 50.0})) == ()

    def test_an_empty_latent_space_says_what_is_missing(self):
        """No active unit at all, or units without a rate; with the least rate that was measured."""
        inactive = found(study(active_units_var=0.0, rate=0.5))[0]
        unused = found(study(rate=0.002))[0]
        assert "no latent unit is active; the rate is 0.5 nat" in inactive.sentence
        assert "it is all but unused; the rate is 0.002 nat" in unused.sentence
        assert (inactive.value, unused.value) == (0.5, 0.002)
        without = study(active_units_var=0.0)
        without = without[without["measure"] != "rate"]
        alone = found(without)[0]
        assert "(no latent unit is active)" in alone.sentence and alone.value == 0.0

    def test_infinite_posteriors(self):
        finding = found(study(unit_rates=(math.inf, 1.0)))[0]
        assert finding.name == "exploded_posteriors" and "infinite" in finding.sentence
        json.dumps(finding.to_json(), allow_nan=False)

    def test_what_was_not_measured_is_not_judged(self):
        assert found(table(rows_of("fid", CLEAR, 5))) == ()
        assert found(table([row("", "rate", 0, 5.0, space="latent")])) == ()
        assert found(study(fid_floor=0.0, fid_reconstruction=50.0)) == ()

    def test_one_bad_seed_is_enough_and_is_named(self):
        finding = found(study(only=(3,), explained_share=-0.2))[0]
        assert "(seed 3)" in finding.sentence and finding.value == -0.2
        assert "seed" not in found(study(explained_share=-0.2))[0].sentence

    def test_not_converged_is_claimed_only_where_the_theory_holds(self):
        (claimed,) = found(study(only=(1, 3), kl_diag_train=0.2), matches=True)
        assert claimed.severity == "warn" and claimed.sentence.startswith("Not converged (seeds 1 and 3)")
        for matches in (None, False):
            (noted,) = found(study(only=(1, 3), kl_diag_train=0.2), matches=matches)
            assert noted.severity == "note" and "converge" not in noted.sentence
            assert "gaussian_diag" in noted.sentence

    def test_of_a_calibrated_pair_the_model_as_trained_is_judged(self):
        plain = study(kl_diag_train=0.3).assign(calibrate=False)
        twin = study(kl_diag_train=0.0).assign(calibrate=True)
        twin = twin[twin["sampler"] == ""]
        assert [f.name for f in found(table(plain.to_dict("records"), twin.to_dict("records")))] == [
            "moments"
        ]


class TestOrder:
    def test_the_cause_first_and_what_follows_is_marked(self):
        findings = found(study(active_units_var=0.0, rate=0.001, explained_share=0.0, kl_diag_train=0.5))
        assert [f.name for f in findings] == [
            "nothing_in_the_latent_space",
            "reconstructions_no_better_than_the_mean",
            "moments",
        ]
        assert [f.follows for f in findings] == [
            "",
            "nothing_in_the_latent_space",
            "nothing_in_the_latent_space",
        ]

    def test_what_looking_at_the_functions_found_stands_first(self):
        wired = Finding(
            "stop", "log_var_is_sigma", None, None, "encode gives sigma where log_var is expected."
        )
        findings = found(study(explained_share=0.0), given=[wired])
        assert [f.name for f in findings] == ["log_var_is_sigma", "reconstructions_no_better_than_the_mean"]
        assert findings[0].sentence == wired.sentence
        assert findings[1].follows == "log_var_is_sigma"

    def test_what_both_found_is_said_once(self):
        both = Finding("stop", "exploded_posteriors", 1e6, 100.0, "a latent unit has variance 1e6.")
        (finding,) = found(study(unit_rates=(6.0, 5e5)), given=[both])
        assert finding.value == 1e6 and "variance 1e6" in finding.sentence

    def test_a_given_warning_does_not_come_before_a_stop(self):
        shared = Finding("warn", "rows_shared", 0.02, 0.0, "2 % of the test rows are training rows.")
        findings = found(study(explained_share=0.0), given=[shared])
        assert [f.name for f in findings] == ["reconstructions_no_better_than_the_mean", "rows_shared"]
        assert findings[1].follows == "", "a shared row is no consequence of a bad model"

    def test_few_rows_do_not_explain_a_collapse(self):
        findings = found(study(n_rows=12, active_units_var=0.0))
        assert [(f.name, f.follows) for f in findings] == [
            ("too_few_rows", ""),
            ("nothing_in_the_latent_space", ""),
        ]

    def test_nothing_to_order(self):
        assert in_order([]) == () and not is_stop([])

    @pytest.mark.parametrize(
        ("wrong", "line"),
        [
            ({"severity": "error"}, "severity='error': expected one of stop, warn, note"),
            ({"name": "two words"}, "name='two words': expected letters"),
            ({"sentence": " "}, "ends with a full stop"),
        ],
    )
    def test_bad_findings(self, wrong, line):
        good = Finding("note", "fine", None, None, "All is well.")
        with pytest.raises(ValueError, match=line):
            replace(good, **wrong)


class TestVerdict:
    def test_a_stop_names_nobody_and_says_what_to_do(self):
        verdict = decide(study(explained_share=-0.1))
        assert verdict.headline.startswith(
            "Train the model first: its reconstructions are no better than the mean"
        )
        record = verdict.to_json()
        for key in ("winner", "winner_clean", "effect", "interval", "recommended", "best_set", "planning"):
            assert record[key] is None, key
        assert record["health"][0]["name"] == "reconstructions_no_better_than_the_mean" and verdict.sure == ""
        healthy = decide(study())
        assert healthy.winner == healthy.recommended == "gmm" and healthy.health == ()

    def test_garbage_against_garbage_has_no_winner(self):
        """FID 700 ± 1 against 700: shown to differ, and nothing to choose."""
        data = study(fid_reconstruction=760.0, fids={"prior": 720.0, "gmm": 690.0})
        verdict = decide(data)
        assert verdict.winner is None and verdict.recommended is None and "use gmm" not in verdict.text

    def test_a_warning_stands_beside_the_recommendation(self):
        verdict = decide(study(n_rows=100))
        assert verdict.recommended == "gmm" and "only 100 test observations" in verdict.sure

    def test_nothing_is_generated_unasked(self):
        data = study(explained_share=-0.1)
        recommended = Recommendation.from_json(json.loads(json.dumps(decide_study(data).to_json())))
        for sampler in (None, "gmm"):
            with pytest.raises(ValueError, match=r"Train the model first.*name model_id= and sampler="):
                pick_model(data, recommended, sampler=sampler)
        assert health_of(data, recommended, "c0ffee-2")[0].sentence.startswith("Train the model first")
        assert health_of(data, recommended, "another") == ()

    def test_the_healthy_cell_of_two_is_taken(self):
        bad = study(explained_share=-0.1, fids={"prior": 10.0, "gmm": 2.0}).assign(cell="bad", alpha=1)
        bad["model"] = "bad-" + bad["seed"].astype(str)
        data = table(bad.to_dict("records"), study().assign(alpha=2).to_dict("records"))
        verdict = decide_study(data)
        recommended = Recommendation.from_json(json.loads(json.dumps(verdict.to_json())))
        assert pick_model(data, recommended)[0].startswith("c0ffee")
        assert "For alpha=1 no sampler can be recommended. Train the model first" in verdict.headline
        assert "Do not sample the prior for alpha=2: use gmm" in verdict.headline
        assert not verdict.stopped and verdict.health[0].name == "reconstructions_no_better_than_the_mean"

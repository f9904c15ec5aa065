"""What a verdict advises: each kind from planted results, and what it must never advise."""

import math

import numpy as np
import pandas as pd
import pytest
from planted import copying, row, rows_of, table

from priorgap.verdict import decide, decide_study


def study(means, n_seeds=5, **more):
    return table(rows_of("fid", means, n_seeds, **more))


class TestKinds:
    def test_replace_as_the_design_says_it(self):
        verdict = decide(study({"prior": 100.0, "posterior": 22.6, "gmm": 23.0, "per_class_gmm": 23.9}))
        assert verdict.advice.kind == "replace" and verdict.recommended == "gmm"
        assert verdict.headline.startswith("Do not sample the prior: use gmm. Its FID is 0.2")
        assert "times the prior's [" in verdict.headline
        assert verdict.headline.endswith("posterior and per_class_gmm are not shown to differ from it.")
        low, high = verdict.advice.against.interval
        assert low < 0.23 < high < 0.3

    def test_the_prior_will_do(self):
        verdict = decide(study({"prior": 20.0, "gmm": 20.1, "gaussian_full": 22.0}, spread=0.002))
        assert verdict.advice.kind == "keep" and verdict.recommended == "prior"
        assert verdict.headline == "The prior will do: nothing else is more than 5 % better."

    def test_better_by_less_than_counts(self):
        verdict = decide(study({"prior": 20.0, "gmm": 19.4, "gaussian_full": 30.0}, spread=0.002))
        assert verdict.advice.kind == "keep" and verdict.recommended == "prior" and verdict.winner is None
        assert "gmm is better, but by less than the 5 % that count" in verdict.headline
        strict = decide(
            study({"prior": 20.0, "gmm": 19.4, "gaussian_full": 30.0}, spread=0.002), smallest_ratio=1.0
        )
        assert strict.advice.kind == "replace" and strict.winner == "gmm"

    def test_nothing_shown_to_be_better_is_no_equality(self):
        verdict = decide(study({"prior": 19.0, "gmm": 20.0, "gaussian_full": 20.5}, spread=0.2))
        assert verdict.advice.kind == "keep_for_now" and "for now" in verdict.headline
        assert "nothing else is more than" not in verdict.headline

    def test_open(self):
        verdict = decide(study({"prior": 23.0, "gmm": 20.0, "gaussian_full": 40.0}, spread=0.2))
        assert verdict.advice.kind == "open" and verdict.recommended == "gmm"
        assert verdict.headline.startswith("Use gmm or the prior: 5 seeds do not tell them apart.")

    def test_without_the_prior(self):
        verdict = decide(study({"gmm": 20.0, "gaussian_full": 40.0}))
        assert verdict.advice.kind == "use" and verdict.headline.startswith("Use gmm: it has the best FID")

    def test_another_baseline(self):
        data = study({"gaussian_full": 40.0, "gmm": 20.0, "prior": 90.0})
        verdict = decide(data, baseline="gaussian_full")
        assert verdict.headline.startswith("Do not sample gaussian_full: use gmm.")

    def test_nothing_may_be_used(self):
        verdict = decide(study({"posterior": 5.0, "kde": 8.0}))
        assert verdict.advice.kind == "none" and verdict.recommended is None
        assert "posterior reconstructs training images and kde needs the training data" in verdict.headline

    def test_a_sampler_that_copies_is_replaced_but_a_decoder_that_copies_is_trained_again(self):
        """Where the prior's draws, or those of several fitted distributions, are copies, no other z helps."""
        advised = {}
        for copiers in (["gmm"], ["prior", "gmm"], ["gmm", "gaussian_full"], ["kde", "gmm"]):
            means = dict.fromkeys([*copiers, "posterior"], 10.0)
            parts = [copying(name, 0.2, 0.7, 5) for name in copiers]
            verdict = decide(table(rows_of("fid", means, 5), *parts))
            assert verdict.advice.kind == "none"
            advised[copiers[0], len(copiers)] = verdict.headline
        assert all("gmm copies training images" in text for text in advised.values())
        trained = {key for key, text in advised.items() if "Train the model again" in text}
        assert trained == {("prior", 2), ("gmm", 2)}
        assert {key for key, text in advised.items() if "Add a sampler" in text} == set(advised) - trained

    def test_calibration_is_spoken_of_as_what_is_done(self):
        plain = rows_of("fid", {"prior": 100.0, "gmm": 60.0}, 5, cell="a", calibrate=False)
        twin = rows_of("fid", {"prior": 40.0}, 5, cell="b", calibrate=True)
        assert "use the prior of the calibrated model" in decide(table(plain, twin)).headline

    @pytest.mark.parametrize(("measure", "sign"), [("coverage", 1), ("kid", -1)])
    def test_measures_with_differences(self, measure, sign):
        means = {"prior": 0.4, "gmm": 0.4 + 0.3 * sign}
        rows = rows_of(measure, means, 5, spread=0.01, seed_effect=0.0, log=False)
        verdict = decide(table(rows), measure=measure)
        assert verdict.advice.kind == "replace"
        assert ("above" if sign > 0 else "below") + " the prior's (difference [" in verdict.headline

    def test_a_better_posterior_is_said_and_not_recommended(self):
        verdict = decide(study({"prior": 100.0, "posterior": 10.0, "gmm": 23.0}))
        assert verdict.winner == "posterior" and verdict.best_set == ("posterior",)
        assert verdict.recommended == "gmm"
        assert "posterior is better still, but it reconstructs training images" in verdict.headline

    def test_the_prior_will_do_beside_a_better_posterior(self):
        verdict = decide(study({"prior": 20.0, "posterior": 10.0, "gmm": 20.1}, spread=0.002))
        assert verdict.recommended == "prior"
        assert "Posterior is better, but it reconstructs" in verdict.headline

    def test_memorising_is_said_with_the_share(self):
        verdict = decide(
            table(rows_of("fid", {"prior": 100.0, "gmm": 20.0}, 5), copying("gmm", 0.0, 0.61, 5))
        )
        assert verdict.recommended == "gmm"
        assert verdict.headline.endswith(
            "With it the decoder memorises (train share 0.61, ½ where it does not)."
        )


class TestNever:
    def test_what_reconstructs_copies_or_needs_the_data_is_never_recommended(self):
        """Random studies with random traits and labels, good and bad."""
        rng = np.random.default_rng(0)
        traits = ["none", "reconstructs needs_training_data", "needs_training_data", "fixed"]
        recommended = 0
        for _ in range(60):
            names = ["prior", *(f"s{i}" for i in range(4))]
            kinds = dict(zip(names, ["fixed", *rng.choice(traits, 4)], strict=True))
            means = dict(zip(names, np.exp(rng.normal(3, 0.7, 5)), strict=True))
            copier = rng.choice(names[1:])
            parts = [rows_of("fid", {n: m}, 3, spread=0.05, traits=kinds[n]) for n, m in means.items()]
            noise = 1 + 0.05 * rng.standard_normal(len(parts) * 3)
            data = table(*parts)
            data["value"] *= noise
            verdict = decide(table(data.to_dict("records"), copying(copier, 0.2, 0.7, 3)))
            name = verdict.recommended
            if name is not None:
                recommended += 1
                assert name != copier and kinds[name] in ("none", "fixed"), (name, kinds, copier)
        assert recommended > 50

    def test_certainty_from_errors_of_zero(self):
        rows = [row(name, "fid", 0, value, std_error=0.0) for name, value in (("prior", 90.0), ("gmm", 10.0))]
        verdict = decide(table(rows))
        assert verdict.winner is None and verdict.advice.kind == "open" and verdict.interval is None


class TestSecondOpinions:
    def means(self, measure, values, space="classifier"):
        return rows_of(measure, values, 5, space=space, seed_effect=0.0)

    def test_a_second_space_that_ranks_alike(self):
        one = {"prior": 100.0, "gmm": 40.0, "gaussian_full": 60.0, "gaussian_diag": 80.0}
        data = table(self.means("fid", one), self.means("fid", {k: v / 7 for k, v in one.items()}, "pixels"))
        verdict = decide(data, space="classifier")
        assert verdict.agreement == {"pixels": pytest.approx(1)} and verdict.disagree == []
        assert "The feature space pixels ranks the candidates alike (Kendall's tau 1)." in verdict.details

    def test_a_second_space_that_contradicts(self):
        one = {"prior": 100.0, "gmm": 40.0, "gaussian_full": 60.0}
        other = {"prior": 10.0, "gmm": 40.0, "gaussian_full": 20.0}
        data = table(self.means("fid", one), self.means("fid", other, "pixels"))
        verdict = decide(data, space="classifier")
        assert verdict.disagree == ["fid (pixels)"]
        assert "gaussian_full is better than gmm on FID (pixels)" in verdict.sure
        assert any("in nearly the opposite order" in sentence for sentence in verdict.details)

    def test_without_a_valid_error_there_is_no_second_opinion(self):
        fid = rows_of("fid", {"prior": 100.0, "gmm": 40.0}, 1, std_error=0.01)
        for error in (None, 0.0):
            rows = [row(n, "density", 0, v, std_error=error) for n, v in (("prior", 0.9), ("gmm", 0.1))]
            verdict = decide(table(fid, rows))
            assert verdict.disagree == [] and verdict.without_error == ("density",)
            assert "Without a valid standard error, and so without a say: density." in verdict.details
        rows = [row(n, "density", 0, v, std_error=0.01) for n, v in (("prior", 0.9), ("gmm", 0.1))]
        assert decide(table(fid, rows)).disagree == ["density"]


class TestTiers:
    def test_json_has_the_new_keys(self):
        data = study({"prior": 100.0, "gmm": 40.0, "gaussian_full": 41.0})
        record = decide_study(data).to_json()
        assert record["recommended"] == "gmm" and set(record["best_set"]) == {"gmm", "gaussian_full"}
        assert record["health"] == [] and record["headline"].startswith("Do not sample the prior")
        assert record["text"].startswith(record["headline"] + " " + record["sure"])

    def test_what_it_is_conditional_on(self):
        verdict = decide(study({"prior": 100.0, "gmm": 40.0}, n_reference=359))
        assert "It holds for 359 test observations, the feature space classifier" in verdict.sure
        assert "The choice was made on the test observations that it is reported on." in verdict.details

    def test_many_cells_have_one_headline(self):
        rows = []
        for alpha, means in enumerate(
            [{"prior": 100.0, "gmm": 40.0}, {"prior": 90.0, "gmm": 45.0}, {"prior": 30.0, "gmm": 40.0}]
        ):
            rows += rows_of("fid", means, 5, cell=f"c{alpha}", alpha=alpha)
        verdict = decide_study(pd.DataFrame(rows))
        assert verdict.headline.startswith("Do not sample the prior for alpha=0 and alpha=1: use gmm.")
        assert "The prior will do for alpha=2" in verdict.headline
        assert "over all 3 cells" in verdict.sure and all(cell.n_cells == 3 for cell in verdict.cells)
        assert verdict.recommended is None and verdict.to_json()["best_set"] is None
        one = decide_study(pd.DataFrame([r for r in rows if r["alpha"] == 0]))
        own = one.cells[0].advice.against
        shared = verdict.cells[0].advice.against
        wider = math.log(shared.interval[1] / shared.interval[0]) / math.log(
            own.interval[1] / own.interval[0]
        )
        assert wider > 1.2, "the same numbers in a study of three cells have wider intervals"

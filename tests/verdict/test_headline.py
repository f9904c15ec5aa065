"""The first two tiers: numbers and names as prose has them, and what is said of each kind of advice and study."""

import re
from dataclasses import replace

import pytest
from planted import CLEAR, copying, row, rows_of, table

from priorgap.core.findings import Finding
from priorgap.verdict import decide, decide_study
from priorgap.verdict.headline import either, interval_text, join, number, opinion_name, place, spoken


def study(means, n_seeds=5, **more):
    return table(rows_of("fid", means, n_seeds, **more))


def cells(*kinds, **more):
    """A study with a cell for each dictionary of means; its key is `alpha`, from 1."""
    rows = [
        rows_of("fid", means, 5, cell=f"c{place}", alpha=place, **more)
        for place, means in enumerate(kinds, 1)
    ]
    return decide_study(table(*rows))


def words(text):
    """A text with # for every number: what is said, whatever the numbers are."""
    return re.sub(r"-?\d[\d,.]*\d|-?\d", "#", text)


WARNS = Finding("warn", "few_rows", 120.0, 300.0, "There are few rows.")
STOPS = Finding("stop", "sigma_for_log_var", 0.02, 0.0, "Return the logarithm of the variance.")
REPLACE = {"prior": 100.0, "gmm": 40.0}
KEEP = {"prior": 30.0, "gmm": 40.0}
OPEN = {"prior": 21.0, "gmm": 20.5}
NONE = {"posterior": 12.0, "kde": 14.0}


class TestNumbersAndNames:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.0, "0"),
            (0.001, "0.001"),
            (0.000999, "0.001"),
            (0.0001234, "0.00012"),
            (0.012345, "0.0123"),
            (-0.5, "-0.5"),
            (12.345, "12.3"),
            (999.4, "999"),
            (999.6, "1000"),
            (1000.0, "1,000"),
            (1234567.8, "1,234,568"),
            (-1000.0, "-1,000"),
        ],
    )
    def test_three_digits_without_an_exponent(self, value, text):
        assert number(value) == text

    def test_an_interval_and_none(self):
        assert interval_text((0.11234, 0.5)) == "[0.112, 0.5]"
        assert interval_text(None) == "[no interval]"

    def test_lists(self):
        assert [join(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
        assert [either(list(names)) for names in ("a", "ab", "abc")] == ["a", "a or b", "a, b or c"]

    def test_the_prior_is_spoken_of_with_its_article(self):
        names = ("prior", "prior (calibrated)", "gmm")
        assert [spoken(name) for name in names] == ["the prior", "the prior of the calibrated model", "gmm"]

    def test_a_place_has_the_classes_own_names_and_nothing_that_is_not_set(self):
        cell = decide(study(REPLACE))
        keys = {"model._target_": "priorgap.models.conv.ConvVae", "loss.alpha": 10.0, "calibrate": None}
        assert place(replace(cell, keys=keys)) == "model=ConvVae, loss.alpha=10"
        assert place(replace(cell, keys={"data": "a.b"})) == "data=a.b"

    def test_a_second_opinion_is_named_with_its_space(self):
        cell = decide(study(REPLACE))
        assert opinion_name(cell, "fid (pixels)") == "FID (pixels)"
        assert opinion_name(cell, "coverage") == "coverage"


class TestCell:
    @pytest.mark.parametrize(
        ("means", "spread", "said"),
        [
            (REPLACE, 0.02, "Do not sample the prior: use gmm. Its FID is # times the prior's [#, #]."),
            (KEEP, 0.002, "The prior will do: nothing else is more than # % better."),
            (
                {"prior": 20.0, "gmm": 19.4, "gaussian_full": 30.0},
                0.002,
                "The prior will do: gmm is better, but by less than the # % that count (the FID of gmm is # times "
                "the prior's [#, #]).",
            ),
            (
                {"prior": 19.0, "gmm": 20.0, "gaussian_full": 20.5},
                0.2,
                "The prior will do for now: no other sampler is shown to be better.",
            ),
            (
                {"prior": 23.0, "gmm": 20.0, "gaussian_full": 40.0},
                0.2,
                "Use gmm or the prior: # seeds do not tell them apart. The FID of gmm is # times the prior's [#, #].",
            ),
            (
                {"gmm": 20.0, "gaussian_full": 40.0},
                0.02,
                "Use gmm: it has the best FID of the samplers that may be used.",
            ),
            (
                {"gmm": 20.0, "gaussian_full": 20.01, "flow": 20.02},
                0.05,
                "Use gmm: it has the best FID of the samplers that may be used; gaussian_full and flow are not shown "
                "to differ from it.",
            ),
            (
                {"prior": 60.0, "gmm": 20.0, "gaussian_full": 20.01},
                0.02,
                "Do not sample the prior: use gmm. Its FID is # times the prior's [#, #]; gaussian_full is not shown "
                "to differ from it.",
            ),
            (
                {"prior": 60.0, "posterior": 5.0, "kde": 6.0, "gmm": 20.0},
                0.01,
                "Do not sample the prior: use gmm. Its FID is # times the prior's [#, #]; posterior and kde are "
                "better still, but posterior reconstructs training images and kde needs the training data.",
            ),
            (
                {"prior": 20.0, "kde": 10.0, "gmm": 30.0},
                0.002,
                "The prior will do: no sampler that may be used is more than # % better. Kde is better, but it needs "
                "the training data.",
            ),
            (
                {"prior": 20.0, "posterior": 10.0},
                0.002,
                "The prior will do for now: no sampler that may be used is shown to be better. Posterior is better, "
                "but it reconstructs training images. Add a sampler that is fitted to the posteriors, such as gmm.",
            ),
            (
                NONE,
                0.02,
                "No sampler can be recommended: posterior reconstructs training images and kde needs the training "
                "data. Add a sampler that is fitted to the posteriors, such as gmm.",
            ),
            ({"prior": 20.0}, 0.02, "No verdict: only one candidate (prior) has fid in classifier space: there is "
             "nothing to compare."),
        ],
    )  # fmt: skip
    def test_what_is_said_of_each_kind_of_advice(self, means, spread, said):
        assert words(decide(study(means, spread=spread)).headline) == said

    def test_its_numbers_are_the_contrast_s(self):
        verdict = decide(study(REPLACE))
        contrast = verdict.advice.against
        low, high = contrast.interval
        assert (
            f"is {number(contrast.effect)} times the prior's [{number(low)}, {number(high)}]"
            in verdict.headline
        )
        assert "more than 5 % better" in decide(study(KEEP)).headline
        assert "more than 20 % better" in decide(study(KEEP), smallest_ratio=1.2).headline

    @pytest.mark.parametrize(("gmm", "side"), [(0.7, "above"), (0.1, "below")])
    def test_differences_have_a_side_and_a_size(self, gmm, side):
        kid_or_coverage = "coverage" if gmm > 0.4 else "kid"
        means = {"prior": 0.4, "gmm": gmm}
        rows = rows_of(kid_or_coverage, means, 5, spread=0.01, seed_effect=0.0, log=False)
        verdict = decide(table(rows), measure=kid_or_coverage)
        size = number(abs(verdict.advice.against.effect))
        assert f" is {size} {side} the prior's (difference [" in verdict.headline

    def test_one_model(self):
        near = {"prior": 20.5, "gmm": 20.0}
        said = words(decide(study(near, 1, std_error=0.1)).headline)
        assert said == "Use gmm or the prior: one model does not tell them apart. The FID of gmm is # times the " \
            "prior's [#, #]."  # fmt: skip
        alone = decide(study({"gmm": 20.0, "gaussian_full": 40.0}, 1, std_error=0.01)).headline
        assert alone == "Use gmm: it has this model's best FID of the samplers that may be used."

    def test_a_prior_that_copies_is_not_kept_and_the_numbers_are_said(self):
        """gmm is worse than the prior, which may not be used: used all the same, with what that costs."""
        verdict = decide(table(rows_of("fid", KEEP, 5), copying("prior", 0.2, 0.7, 5)))
        assert verdict.advice.kind == "use" and verdict.recommended == "gmm"
        assert words(verdict.headline) == (
            "Use gmm: it has the best FID of the samplers that may be used; its FID is # times the prior's [#, #]; "
            "prior is better still, but it copies training images."
        )

    def test_memorising_is_said_of_the_recommended_sampler_alone(self):
        rows = rows_of("fid", REPLACE, 5)
        said = " With it the decoder memorises (train share 0.61, ½ where it does not)."
        assert decide(table(rows, copying("gmm", 0.0, 0.61, 5))).headline.endswith(f"].{said}")
        assert "memorises" not in decide(table(rows, copying("prior", 0.0, 0.61, 5))).headline

    def test_health_that_stops_is_the_headline_and_nothing_is_sure(self):
        verdict = decide(study(REPLACE), findings=[STOPS])
        assert verdict.headline == STOPS.sentence and verdict.sure == ""

    def test_how_sure(self):
        """Over seeds, over cells, of one model, of few seeds; and conditional on what."""
        over = decide(study(REPLACE, n_reference=1359), findings=[WARNS])
        assert over.sure == (
            "Over 5 seeds, 2 candidates were compared by intervals that hold together at 95%. It holds for 1,359 "
            "test observations, the feature space classifier and this split of the data. There are few rows."
        )
        few = decide(study(CLEAR, 3), level=0.9).sure
        assert few.startswith(
            "Provisional (3 seeds). 3 candidates were compared by intervals that hold together at 90%."
        )
        one = decide(study(REPLACE, 1, std_error=0.01)).sure
        assert one.startswith(
            "For this trained model only (how much training again would change is unknown). 2 candidates were"
        )
        unknown = decide(study(REPLACE).drop(columns="n_reference")).sure
        assert "It holds for these test observations, the feature space classifier and" in unknown
        nowhere = decide(study(REPLACE, space="")).sure
        assert nowhere.endswith("It holds for 1,000 test observations and this split of the data.")
        redrawn = decide_study(study(REPLACE), redrawn=True).cells[0].sure
        assert redrawn.endswith(
            "the feature space classifier and splits of the data that each seed draws anew."
        )
        shared = cells(REPLACE, KEEP).cells[0].sure
        assert "intervals that hold together at 95% over all 2 cells." in shared
        assert decide(study({"prior": 20.0})).sure == ""

    def test_a_note_is_no_condition(self):
        note = replace(WARNS, severity="note")
        assert "few rows" not in decide(study(REPLACE), findings=[note]).sure

    def test_disagreement_names_every_measure_that_contradicts_and_no_other(self):
        rows = rows_of("fid", CLEAR, 5)
        opinions = {"coverage": (0.5, 0.8), "density": (0.4, 0.9), "kid": (0.1, 0.4)}
        parts = [
            rows_of(name, {"gmm": gmm, "gaussian_full": other}, 5, seed_effect=0.0, log=False)
            for name, (gmm, other) in opinions.items()
        ]
        verdict = decide(table(rows, *parts))
        assert set(verdict.disagree) == {"coverage", "density"}
        told = verdict.sure.partition("Measures disagree: gaussian_full is better than gmm on ")[2]
        for name in opinions:
            contrast = verdict.second_opinions[name]
            said = f"{name} (difference {number(contrast.effect)} {interval_text(contrast.interval)})"
            assert (said in told) == (name in verdict.disagree)


class TestStudy:
    def test_every_kind_of_cell_has_its_sentence(self):
        verdict = cells(
            REPLACE, KEEP, OPEN, {"gmm": 13.5, "gaussian_full": 35.0}, NONE, {"prior": 60.0}, spread=0.02
        )
        kinds = [cell.advice and cell.advice.kind for cell in verdict.cells]
        assert kinds == ["replace", "keep", "open", "use", "none", None]
        assert words(verdict.headline) == (
            "Do not sample the prior for alpha=#: use gmm. Its FID is # times the prior's. The prior will do for "
            "alpha=#: nothing else is shown to be better. It is open for alpha=#: gmm has the better mean, but is "
            "not shown to differ from the prior. Use gmm for alpha=#. All samplers reconstruct, copy or need the "
            "training data for alpha=#. There is no verdict for alpha=#: only one candidate (prior) has fid in "
            "classifier space: there is nothing to compare."
        )
        assert re.findall(r"alpha=(\d)", verdict.headline) == list("123456")

    def test_kept_for_now_is_kept(self):
        now = {"prior": 19.0, "gmm": 20.0, "gaussian_full": 20.5}
        verdict = cells(now, now, spread=0.2)
        assert {cell.advice.kind for cell in verdict.cells} == {"keep_for_now"}
        assert verdict.headline == "The prior will do in both cells: nothing else is shown to be better."

    def test_what_is_better_but_may_not_be_used_is_said(self):
        """Else "nothing else is shown to be better" would be false of a sampler that is shown to be."""
        kde = {"prior": 20.0, "kde": 10.0, "gmm": 30.0}
        verdict = cells(kde, {"prior": 20.0, "posterior": 5.0}, KEEP, spread=0.002)
        assert verdict.headline == (
            "The prior will do in all 3 cells: no sampler that may be used is shown to be better. Kde and posterior "
            "are better, but kde needs the training data and posterior reconstructs training images."
        )

    def test_how_many_cells(self):
        """All of them, both of two, one or two by name, more by number."""
        said = {
            2: (2, "in both cells"),
            3: (3, "in all 3 cells"),
            4: (1, "for alpha=1"),
            5: (2, "for alpha=1 and alpha=2"),
            6: (3, "in 3 of 6 cells"),
        }
        for n, (n_replaced, where) in said.items():
            verdict = cells(*[REPLACE] * n_replaced, *[KEEP] * (n - n_replaced), spread=0.002)
            assert verdict.headline.startswith(f"Do not sample the prior {where}: use gmm. ")

    def test_the_ratios_are_the_least_and_the_largest(self):
        verdict = cells(
            {"prior": 100.0, "gmm": 40.0}, {"prior": 100.0, "gmm": 20.0}, {"prior": 100.0, "gmm": 10.0}
        )
        effects = [cell.advice.against.effect for cell in verdict.cells]
        assert (
            f"Its FID is {number(min(effects))} to {number(max(effects))} times the prior's."
            in verdict.headline
        )

    def test_ratios_that_are_shown_alike_are_one(self):
        verdict = cells({"prior": 100.0, "gmm": 40.0}, {"prior": 100.0, "gmm": 40.000001})
        effects = [cell.advice.against.effect for cell in verdict.cells]
        assert len(set(effects)) == 2
        assert f"Its FID is {number(effects[0])} times the prior's." in verdict.headline

    def test_differences_of_several_cells_have_no_ratio(self):
        rows = [
            rows_of(
                "coverage",
                {"prior": 0.4, "gmm": 0.7},
                5,
                spread=0.01,
                seed_effect=0,
                log=False,
                cell=c,
                alpha=c,
            )
            for c in "ab"
        ]
        headline = decide_study(table(*rows), measure="coverage").headline
        assert headline == "Do not sample the prior in both cells: use gmm."

    def test_the_samplers_are_counted_the_most_frequent_first(self):
        other = {"prior": 100.0, "flow": 20.0}
        verdict = cells(other, REPLACE, REPLACE)
        assert "in all 3 cells: use gmm (2 cells) or flow (1 cell)." in verdict.headline
        tied = cells(REPLACE, other)
        assert "in both cells: use flow (1 cell) or gmm (1 cell)." in tied.headline

    def test_cells_that_stop_come_first(self):
        def with_stops(*stopped):
            rows = []
            for alpha in (1, 2, 3):
                own = {"cell": f"c{alpha}", "alpha": alpha}
                rows += rows_of("fid", REPLACE, 5, **own)
                share = -0.1 if alpha in stopped else 0.7
                rows += [row("", "explained_share", seed, share, space="data", **own) for seed in range(5)]
            return decide_study(table(rows))

        some = with_stops(2)
        first = some.cells[1].health[0].sentence
        assert some.headline.startswith(
            f"For alpha=2 no sampler can be recommended. {first} Do not sample the prior for"
        )
        everywhere = with_stops(1, 2, 3)
        assert everywhere.headline == f"No sampler can be recommended in any of 3 cells. {first}"
        assert everywhere.sure == "" and "no verdict" not in everywhere.headline

    def test_how_sure_over_cells(self):
        verdict = cells(REPLACE, KEEP, {"prior": 60.0})
        assert verdict.sure == (
            "Over 5 seeds a cell. Intervals hold together at 95% over all 3 cells. It holds for 1,000 test "
            "observations, the feature space classifier and this split of the data."
        )
        fewer = [rows_of("fid", REPLACE, n, cell=f"c{n}", alpha=n) for n in (6, 3)]
        assert decide_study(table(*fewer)).sure.startswith("Provisional (3 seeds a cell). Intervals")

    def test_warnings_of_all_cells_are_named_once(self):
        rows = [rows_of("fid", REPLACE, 5, cell=f"c{alpha}", alpha=alpha) for alpha in (1, 2)]
        other = replace(WARNS, name="decoder_limits")
        note = replace(WARNS, name="not_said", severity="note")
        sure = decide_study(table(*rows), findings=[WARNS, other, note]).sure
        assert sure.endswith("Health warnings: decoder limits, few rows.")

    @pytest.mark.parametrize(
        ("n", "where"), [(2, "alpha=1 and alpha=2"), (3, "alpha=1, alpha=2 and alpha=3"), (4, "4 cells")]
    )
    def test_cells_where_measures_disagree(self, n, where):
        rows = []
        for alpha in range(1, n + 2):
            own = {"cell": f"c{alpha}", "alpha": alpha}
            rows += rows_of("fid", REPLACE, 5, **own)
            coverage = {"gmm": 0.5, "prior": 0.8 if alpha <= n else 0.2}
            rows += rows_of("coverage", coverage, 5, seed_effect=0.0, log=False, **own)
        assert decide_study(table(rows)).sure.endswith(f" Measures disagree for {where}.")

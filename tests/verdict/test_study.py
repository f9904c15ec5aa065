"""A study of several cells: what its verdicts say together, what is kept of them, and the model that is picked."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from planted import CLEAR, copying, row, rows_of, table

from priorgap.core.catalogue import BUILTIN
from priorgap.core.findings import Finding
from priorgap.core.verdict_rules import standard_rules
from priorgap.verdict import RESULT_COLUMNS, Recommendation, StudyVerdict, decide, decide_study, pick_model
from priorgap.verdict.study import health_of

STOP = Finding("stop", "sigma_for_log_var", 0.02, 0.0, "Return the logarithm of the variance.")
WARN = Finding("warn", "few_rows", 120.0, 300.0, "There are few rows.")
REPLACE = {"prior": 100.0, "gmm": 40.0}
KEEP = {"prior": 30.0, "gmm": 40.0}


def cells(*kinds, measure="fid", **more):
    """A table with a cell c1, c2, ... for each dictionary of means; its key is `alpha`."""
    rows = [
        rows_of(measure, means, 5, cell=f"c{place}", alpha=place, **more)
        for place, means in enumerate(kinds, 1)
    ]
    return table(*rows)


def sick(data, *alphas):
    """The same study, the models of some cells no better than the mean observation."""
    marks = [
        row(
            "",
            "explained_share",
            seed,
            -0.1 if alpha in alphas else 0.7,
            space="data",
            cell=f"c{alpha}",
            alpha=alpha,
        )
        for alpha in data["alpha"].unique()
        for seed in range(5)
    ]
    return table(data.to_dict("records"), marks)


def recommended(data, **more):
    return Recommendation.from_json(json.loads(json.dumps(decide_study(data, **more).to_json())))


class TestTogether:
    def test_one_cell_is_the_study(self):
        study = decide_study(cells(CLEAR))
        (cell,) = study.cells
        for name in ("headline", "sure", "details", "recommended", "measure", "space", "winner", "n_seeds"):
            assert getattr(study, name) == getattr(cell, name), name
        assert study.to_json() == cell.to_json() | {"lines": study.lines, "cells": [cell.to_json()]}

    def test_what_all_cells_say_is_the_study_s(self):
        study = decide_study(cells(REPLACE, REPLACE))
        assert study.winner == study.recommended == "gmm"
        record = study.to_json()
        assert record["winner"] == record["winner_clean"] == record["recommended"] == "gmm"
        assert record["best_set"] == ["gmm"]
        assert study.details == tuple(study.lines[1:]) and len(study.lines) == 3
        assert study.text == " ".join(study.lines)

    def test_what_they_do_not_share_is_nobody_s(self):
        study = decide_study(cells(REPLACE, KEEP))
        record = study.to_json()
        for name in ("winner", "winner_clean", "recommended", "best_set", "effect", "interval", "planning"):
            assert record[name] is None, name
        assert study.winner is None and study.recommended is None

    def test_a_cell_without_a_ranking_leaves_nothing_unanimous(self):
        record = decide_study(cells(REPLACE, {"prior": 20.0})).to_json()
        assert record["winner"] is None and record["recommended"] is None and record["best_set"] is None

    def test_one_best_set_in_another_order_is_one(self):
        tie = {"prior": 100.0, "gmm": 40.0, "flow": 40.2}
        other = {"prior": 100.0, "gmm": 40.2, "flow": 40.0}
        study = decide_study(cells(tie, other, spread=0.0001))
        assert [cell.best_set for cell in study.cells] == [("gmm", "flow"), ("flow", "gmm")]
        assert study.to_json()["best_set"] == ["flow", "gmm"]

    def test_labels_and_disagreements_are_united(self):
        data = cells(CLEAR | {"posterior": 5.0}, CLEAR)
        copies = [
            r | {"cell": f"c{alpha}", "alpha": alpha}
            for alpha in (1, 2)
            for r in copying("flow", 0.2, 0.7, 5)
        ]
        flow = [
            r for alpha in (1, 2) for r in rows_of("fid", {"flow": 50.0}, 5, cell=f"c{alpha}", alpha=alpha)
        ]
        opinions = [
            rows_of(name, {"prior": 0.9, "gmm": 0.4, "posterior": 0.1, "flow": 0.9}, 5, seed_effect=0, log=False,
                    cell=f"c{alpha}", alpha=alpha)
            for name, alpha in (("density", 2), ("coverage", 1), ("coverage", 2))
        ]  # fmt: skip
        study = decide_study(table(data.to_dict("records"), copies, flow, *opinions))
        assert study.to_json()["labels"] == {"posterior": ["reconstructive"], "flow": ["copies"]}
        assert study.disagree == ["coverage", "density"] == study.to_json()["disagree"]
        assert [cell.disagree for cell in study.cells] == [["coverage"], ["density", "coverage"]]

    def test_labels_of_one_sampler_in_several_cells_are_each_named_once(self):
        data = cells(REPLACE, REPLACE, REPLACE)
        kinds = {1: (0.2, 0.7), 2: (0.0, 0.61), 3: (0.2, 0.7)}
        copies = [
            r | {"cell": f"c{alpha}", "alpha": alpha}
            for alpha, kind in kinds.items()
            for r in copying("gmm", *kind, 5)
        ]
        record = decide_study(table(data.to_dict("records"), copies)).to_json()
        assert record["labels"] == {"gmm": ["copies", "the decoder memorises"]}

    def test_the_fewest_models_are_named_and_make_it_provisional(self):
        rows = [rows_of("fid", REPLACE, n, cell=f"c{n}", alpha=n) for n in (6, 3)]
        study = decide_study(table(*rows))
        assert study.n_seeds == 3 and study.provisional and study.to_json()["provisional"] is True
        assert not decide_study(cells(REPLACE, REPLACE)).provisional

    def test_findings_of_all_cells_are_named_once_the_gravest_first(self):
        study = decide_study(sick(cells(REPLACE, REPLACE, KEEP), 2), findings=[WARN])
        assert [finding.severity for finding in study.health] == ["stop", "warn"]
        assert study.to_json()["health"] == [finding.to_json() for finding in study.health]
        assert not study.stopped
        assert decide_study(sick(cells(REPLACE, REPLACE), 1, 2)).stopped

    def test_the_record_of_several_cells(self):
        study = decide_study(cells(REPLACE, KEEP))
        record = study.to_json()
        assert record["measure"] == "fid" and record["space"] == "classifier" and record["n_seeds"] == 5
        assert record["headline"] == study.headline and record["sure"] == study.sure
        assert record["text"] == study.text and record["lines"] == study.lines
        assert record["cells"] == [cell.to_json() for cell in study.cells]

    def test_no_cell(self):
        study = decide_study(pd.DataFrame(columns=list(RESULT_COLUMNS)))
        assert study.headline == study.text == "No verdict: the study has no finished cell."
        assert (study.measure, study.space, study.winner, study.recommended) == (None, "", None, None)
        assert study.n_seeds == 0 and study.provisional and not study.stopped and study.sure == ""
        record = study.to_json()
        assert record["measure"] is None and record["space"] is None and record["best_set"] is None
        assert study.tiers == [f"Do this: {study.headline}"]

    def test_nothing_measured_and_a_fault_is_a_cell_that_stops(self):
        empty = pd.DataFrame(columns=list(RESULT_COLUMNS))
        study = decide_study(empty, findings=[STOP])
        assert study.stopped and study.headline == STOP.sentence

    def test_tiers_for_a_terminal(self):
        study = decide_study(cells(CLEAR))
        assert study.tiers == [
            f"Do this: {study.headline}",
            f"How sure: {study.sure}",
            "Details:",
            *(f"  {line}" for line in study.details),
        ]
        stopped = decide_study(cells(CLEAR), findings=[STOP])
        assert not any(line.startswith("How sure") for line in stopped.tiers)
        bare = StudyVerdict([replace(study.cells[0], details=())], study.lines)
        assert bare.tiers == study.tiers[:2]


class TestAsked:
    def test_every_cell_is_asked_the_same(self):
        """Each argument of a study is that of a cell's decision; the level is shared by the cells."""
        data = cells(CLEAR)
        asked = {
            "baseline": "gaussian_full",
            "level": 0.9,
            "smallest_ratio": 1.2,
            "limits": replace(standard_rules().health, rows_warn=5000),
            "findings": [WARN],
            "costs": {"gmm": "It takes a fit."},
            "catalogue": BUILTIN | {"fid": replace(BUILTIN["fid"], title="Distance")},
        }
        assert decide_study(data, **asked).cells == [decide(data, **asked)]
        assert decide_study(data).cells == [decide(data)]
        for name, value in asked.items():
            assert decide_study(data, **{name: value}).cells != [decide(data)], name
        assert decide_study(data, measure="kid", skipped={"kid": "no"}).cells[0].reason.endswith("(no)")

    def test_a_space_is_named_where_there_are_several(self):
        data = table(cells(CLEAR).to_dict("records"), cells(KEEP, space="pixels").to_dict("records"))
        assert decide_study(data, space="pixels").cells[0].winner == "prior"
        with pytest.raises(ValueError, match="measured in classifier, pixels"):
            decide_study(data)

    def test_the_cells_share_the_level(self):
        study = decide_study(cells(REPLACE, REPLACE))
        assert [cell.n_cells for cell in study.cells] == [2, 2]
        low, high = study.cells[0].interval
        alone = decide(cells(REPLACE)).interval
        assert low < alone[0] < alone[1] < high

    def test_each_cell_is_told_whether_its_training_matches_moments(self):
        data = cells(REPLACE, REPLACE, REPLACE)
        marks = [
            row("", "kl_diag_train", seed, 0.3, space="latent", cell=f"c{alpha}", alpha=alpha)
            for alpha in (1, 2, 3)
            for seed in range(5)
        ]
        study = decide_study(table(data.to_dict("records"), marks), matches={"c1": True, "c2": False})
        assert [[f.name for f in cell.health] for cell in study.cells] == [
            ["not_converged"],
            ["moments"],
            ["moments"],
        ]

    def test_twins_are_told_where_both_agree(self):
        rows = rows_of("fid", REPLACE, 5, cell="a", calibrate=False)
        twin = rows_of("fid", {"gmm": 1.0, "prior": 50.0}, 5, cell="b", calibrate=True)
        marks = [
            row("", "kl_diag_train", s, 0.3, space="latent", cell="a", calibrate=False) for s in range(5)
        ]
        data = table(rows, twin, marks)
        names = {
            both: decide_study(data, matches=dict(zip("ab", both, strict=True))).cells[0].health[0].name
            for both in ((True, True), (True, False))
        }
        assert names == {(True, True): "not_converged", (True, False): "moments"}


class TestRecommendation:
    def test_it_is_what_the_verdict_says_cell_by_cell(self):
        data = sick(cells(REPLACE, KEEP, REPLACE), 3)
        study = decide_study(data)
        found = recommended(data)
        assert found.measure == BUILTIN["fid"] and found.space == "classifier"
        assert found.samplers == ("gmm", "prior", None) and found.headline == study.headline
        assert found.findings == tuple(cell.health for cell in study.cells)
        assert found.stops == ("", "", study.cells[2].health[0].sentence)

    def test_the_ranking_measure_is_kept_with_its_entry(self):
        rows = rows_of(
            "coverage", {"prior": 0.4, "gmm": 0.8}, 5, spread=0.01, seed_effect=0, log=False, space=""
        )
        found = recommended(table(rows), measure="coverage")
        assert found.measure == BUILTIN["coverage"] and found.space is None

    @pytest.mark.parametrize(
        "damage",
        [
            lambda record: record.pop("measure"),
            lambda record: record.pop("headline"),
            lambda record: record.pop("cells"),
            lambda record: record.update(cells=3),
            lambda record: record["cells"][0].pop("recommended"),
            lambda record: record["cells"][0].update(health=None),
            lambda record: record["cells"][0].update(details=[]),
        ],
    )
    def test_a_damaged_record_is_refused(self, damage):
        record = decide_study(cells(REPLACE)).to_json()
        damage(record)
        with pytest.raises(
            ValueError, match=r"^verdict\.json: of an earlier version, or damaged; run the study"
        ):
            Recommendation.from_json(record)

    def test_a_recommendation_that_is_no_name_and_a_study_without_cells(self):
        record = decide_study(cells(REPLACE)).to_json()
        record["cells"][0]["recommended"] = 3
        with pytest.raises(ValueError, match=r"^verdict\.json: recommended is no name of a sampler$"):
            Recommendation.from_json(record)
        with pytest.raises(
            ValueError, match=r"^model_id=best: the study has no finished cell; name model_id= and sampler=$"
        ):
            Recommendation.from_json(decide_study(pd.DataFrame(columns=list(RESULT_COLUMNS))).to_json())


class TestPick:
    def test_the_best_value_over_the_cells_of_what_each_recommends(self):
        data = cells(REPLACE, KEEP)
        rows = data[
            ((data["alpha"] == 1) & (data["sampler"] == "gmm"))
            | ((data["alpha"] == 2) & (data["sampler"] == "prior"))
        ]
        best = rows.loc[rows["value"].idxmin()]
        assert pick_model(data, recommended(data)) == (best["model"], best["sampler"])

    def test_higher_is_better_where_the_measure_says_so(self):
        rows = rows_of("coverage", {"prior": 0.4, "gmm": 0.8}, 5, spread=0.05, seed_effect=0, log=False)
        data = table(rows)
        own = data[data["sampler"] == "gmm"]
        found = pick_model(data, recommended(data, measure="coverage"))
        assert found == (own.loc[own["value"].idxmax(), "model"], "gmm")

    def test_only_the_space_of_the_verdict_counts(self):
        other = rows_of("fid", REPLACE, 5, space="pixels")
        for r in other:
            r["value"] = 1.0 if r["seed"] == 4 else 50.0
        data = table(rows_of("fid", REPLACE, 5), other)
        own = data[(data["sampler"] == "gmm") & (data["space"] == "classifier")]
        found = pick_model(data, recommended(data, space="classifier"))
        assert found[0] == own.loc[own["value"].idxmin(), "model"]

    def test_no_model_of_a_cell_that_stops(self):
        data = sick(cells({"prior": 100.0, "gmm": 1.0}, REPLACE), 1)
        model, sampler = pick_model(data, recommended(data))
        assert model.startswith("c2-") and sampler == "gmm"
        named, _ = pick_model(data, recommended(data), sampler="prior")
        assert named.startswith("c2-")

    def test_all_cells_stop(self):
        data = sick(cells(REPLACE, REPLACE), 1, 2)
        stop = recommended(data).stops[0]
        with pytest.raises(
            ValueError, match=r"^model_id=best: .* To draw all the same, name model_id= and"
        ) as error:
            pick_model(data, recommended(data))
        assert stop in str(error.value)

    def test_a_sampler_that_was_not_measured_is_named(self):
        data = cells(REPLACE)
        line = (
            r"^sampler=flow: not in this study; expected one of gmm, prior, or run the study with it first$"
        )
        with pytest.raises(ValueError, match=line):
            pick_model(data, recommended(data), sampler="flow")
        # in the study, in another measure
        more = table(data.to_dict("records"), rows_of("kid", {"flow": 3.0}, 5, cell="c1", alpha=1))
        line = r"^model_id=best: sampler=flow has no fid in this study; name model_id= and sampler=$"
        with pytest.raises(ValueError, match=line):
            pick_model(more, recommended(data), sampler="flow")

    def test_the_verdict_s_own_that_is_not_in_the_table(self):
        data = cells(REPLACE)
        with pytest.raises(
            ValueError,
            match=r"^model_id=best: the verdict has no fid in this study; name model_id= and sampler=$",
        ):
            pick_model(data[data["sampler"] != "gmm"], recommended(data))

    def test_nothing_measured_and_nothing_clean(self):
        kid = cells(CLEAR, measure="kid")
        with pytest.raises(
            ValueError,
            match=r"^model_id=best: the verdict has no fid in this study; name model_id= and sampler=$",
        ):
            pick_model(kid, recommended(kid))
        unclean = cells({"posterior": 5.0, "kde": 9.0})
        with pytest.raises(
            ValueError, match=r"^sampler: every candidate .* expected sampler= with one of kde, posterior$"
        ):
            pick_model(unclean, recommended(unclean))
        assert pick_model(unclean, recommended(unclean), sampler="kde")[1] == "kde"


def test_health_of_a_model_is_its_cell_s():
    data = sick(cells(REPLACE, REPLACE), 2)
    found = recommended(data)
    assert health_of(data, found, "c1-0") == () == health_of(data, found, "unknown")
    assert [finding.severity for finding in health_of(data, found, "c2-3")] == ["stop"]

"""Which unit matters: planted swaps whose cost follows one property of the units and no other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_study import _row

from priorgap.report import page_of, write_page
from priorgap.report.tables import Cell, quality_table
from priorgap.report.units import unit_costs, unit_table
from priorgap.verdict import decide_study
from priorgap.verdict.units import ARMS, is_unit_swap, unit_correlations, unit_effects

N_UNITS = 8


def study(n_seeds: int = 1, *, follows: str = "unit_dependence") -> pd.DataFrame:
    rows, rng = [], np.random.default_rng(0)
    for seed in range(n_seeds):
        at = {"space": "classifier"}
        rows += [_row("c", seed, "fid", v, sampler=s, **at) for s, v in (("prior", 60), ("posterior", 5.0))]
        for j in range(N_UNITS):
            facts = {"rate": rng.random(), "marginal_kl": rng.random(), "unit_dependence": rng.random()}
            rows += [_row("c", seed, name, value, unit=str(j)) for name, value in facts.items()]
            for arm in ARMS:
                cost = 10 * facts[follows]
                name = f"unit_swap_{j}_{arm}"
                rows.append(_row("c", seed, "fid", 5 + cost, sampler=name, role="specimen", **at))
        rows.append(_row("c", seed, "rate", 3.0))
    return pd.DataFrame(rows)


def test_costs_are_differences_from_the_same_models_posterior() -> None:
    effects = unit_effects(study(2))
    assert len(effects) == 2 * N_UNITS * 3
    assert effects["unit_dependence_linear"].isna().all()
    np.testing.assert_allclose(effects["cost"], 10 * effects["unit_dependence"].astype(float))


@pytest.mark.parametrize("follows", ["rate", "marginal_kl", "unit_dependence"])
def test_the_correlation_finds_the_property_that_was_planted(follows: str) -> None:
    found = unit_correlations(unit_effects(study(follows=follows)))
    for arm in ARMS:
        own = found[found["arm"] == arm].set_index("property")
        assert own["correlation"][follows] == pytest.approx(1)
        assert own["p_value"][follows] < 1e-6
        assert (own["correlation"].drop(follows).abs() < 0.9).all()
        assert (own["n_units"] == N_UNITS).all()


def test_a_table_read_back_from_csv_gives_the_same(tmp_path: Path) -> None:
    study(2).to_csv(tmp_path / "results.csv", index=False)
    back = unit_correlations(unit_effects(pd.read_csv(tmp_path / "results.csv")))
    pd.testing.assert_frame_equal(back, unit_correlations(unit_effects(study(2))))
    assert len(back) == 2 * 3 * 3


def test_what_cannot_be_ranked_is_left_out() -> None:
    few = study()
    kept = few["sampler"].map(lambda s: not is_unit_swap(s) or int(s.split("_")[2]) < 3)
    assert unit_correlations(unit_effects(few[kept])).empty
    flat = study()
    flat.loc[flat["measure"] == "rate", "value"] = 1.0
    assert "rate" not in set(unit_correlations(unit_effects(flat))["property"])
    assert unit_effects(few[few["sampler"] != "posterior"]).empty


def test_the_report_shows_them_in_a_table_and_a_picture_of_their_own(tmp_path: Path) -> None:
    table = study()
    verdict = decide_study(table, measure="fid", space="classifier", baseline="prior")
    path = write_page(page_of(study="planted", table=table, verdict=verdict), tmp_path)
    page = path.read_text()
    assert "Which unit matters" in page
    assert "unit 7" in page
    assert "+1.00" in page
    assert (tmp_path / "figures" / "unit-costs.png").stat().st_size > 10_000
    cell = Cell("c", table, None)
    shown = quality_table(cell)
    assert shown is not None
    assert [row[0] for row in shown.rows] == ["posterior", "prior"]


def test_without_swaps_there_is_no_such_part(tmp_path: Path) -> None:
    table = study()
    plain = table[~table["sampler"].map(is_unit_swap)]
    cell = Cell("c", plain, None)
    assert unit_table(cell, measure="fid", space="classifier") is None
    assert unit_costs(cell, measure="fid", space="classifier") is None
    verdict = decide_study(plain, measure="fid", space="classifier", baseline="prior")
    page = page_of(study="planted", table=plain, verdict=verdict).html
    assert "Which unit matters" not in page

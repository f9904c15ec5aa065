"""Which unit matters, as the report shows it: a table and a picture of planted swaps."""

from pathlib import Path

import numpy as np
import pandas as pd
from synthetic_study import _row

from priorgap.report import page_of, write_page
from priorgap.report.tables import Cell, quality_table
from priorgap.report.units import unit_costs, unit_table
from priorgap.verdict import decide_study
from priorgap.verdict.units import ARMS, is_unit_swap

N_UNITS = 8


def study() -> pd.DataFrame:
    rng, at = np.random.default_rng(0), {"space": "classifier"}
    rows = [_row("c", 0, "fid", v, sampler=s, **at) for s, v in (("prior", 60), ("posterior", 5.0))]
    for j in range(N_UNITS):
        facts = {"rate": rng.random(), "marginal_kl": rng.random(), "unit_dependence": rng.random()}
        rows += [_row("c", 0, name, value, unit=str(j)) for name, value in facts.items()]
        for arm in ARMS:
            cost = 10 * facts["unit_dependence"]
            name = f"unit_swap_{j}_{arm}"
            rows.append(_row("c", 0, "fid", 5 + cost, sampler=name, role="specimen", **at))
    rows.append(_row("c", 0, "rate", 3.0))
    return pd.DataFrame(rows)


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

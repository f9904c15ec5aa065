"""Every measure that a metric gives stands in a table of the report: the metrics' own rows, put on a page."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import escape
from test_metric_contract import METRICS, given

from priorgap.core.catalogue import BUILTIN
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Catalogue, Measure
from priorgap.report import page_of
from priorgap.report.breakdowns import breakdowns
from priorgap.report.parts import all_tables
from priorgap.report.studied import Studied
from priorgap.report.tables import cells_of
from priorgap.verdict import decide_study

HEAD = {"study": "all", "cell": "c", "model": "m", "seed": 0, "decode": "mean"}


def table_of(rows: list[tuple[str, Measurement]]) -> pd.DataFrame:
    role = {"": "", "posterior": "candidate"}
    traits = {"": "", "posterior": "reconstructs needs_training_data"}
    return pd.DataFrame(
        [{**HEAD, "sampler": s, "role": role[s], "traits": traits[s], **row.to_json()} for s, row in rows]
    )


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, Measurement]]:
    found = [
        ("" if metric.scope == "model" else "posterior", row)
        for place, metric in enumerate(METRICS)
        for row in given(place)
    ]
    # a class of its own beside the whole: FID by class has the rows of `fid`, with a unit
    return list(dict.fromkeys(found))


def unshown(rows: list[tuple[str, Measurement]], catalogue: Catalogue) -> set[str]:
    """The measures that no table names and no note, though they were measured."""
    table = table_of(rows)
    cells = cells_of(table, decide_study(table, space="pixels", catalogue=catalogue), catalogue)
    tables = list(all_tables(cells))
    texts = [text for one in tables for text in (one.heading, *one.header, *one.notes)]
    texts += [row[0] for one in tables for row in one.rows]
    said = "\n".join(texts)
    given = {row.measure for _, row in rows}
    # a title that is the beginning of another's would be found in it
    return {
        name
        for name in given
        if not any(_names(line, catalogue[name], catalogue) for line in said.splitlines())
    }


def _names(line: str, measure: Measure, catalogue: Catalogue) -> bool:
    longer = [m.title for m in catalogue.values() if measure.title in m.title and m.title != measure.title]
    for title in longer:
        line = line.replace(title, "")
    return measure.title in line or (measure.name == "accuracy_real_to_real" and "ceiling: real→real" in line)


def test_every_measure_is_in_a_table(rows: list[tuple[str, Measurement]]) -> None:
    assert {row.measure for _, row in rows} == set(BUILTIN)
    assert unshown(rows, BUILTIN) == set()


def test_each_alone_is_in_a_table_too(rows: list[tuple[str, Measurement]]) -> None:
    """No measure depends on another's being there."""
    for name in BUILTIN:
        own = [(sampler, row) for sampler, row in rows if row.measure == name]
        assert unshown(own, BUILTIN) == set(), name


PLACES = list(product(["", "posterior"], ["quality", "copying", "accuracy", "latent", "bands"], ["", "a"]))


def of_a_plugin(name: str, sampler: str, section: str, unit: str) -> tuple[Measure, tuple[str, Measurement]]:
    mine = Measure(name, f"my own {name}", "What I care for.", section, by="part" if unit else "")
    return mine, (sampler, Measurement(name, 0.5, None, 10, unit=unit))


@pytest.mark.parametrize(("sampler", "section", "unit"), PLACES)
def test_a_plugins_measure_is_in_a_table_whatever_its_section(sampler: str, section: str, unit: str) -> None:
    mine, row = of_a_plugin("mine", sampler, section, unit)
    assert unshown([row], BUILTIN | {"mine": mine}) == set()


def test_they_are_in_tables_beside_all_others(rows: list[tuple[str, Measurement]]) -> None:
    found = [of_a_plugin(f"mine_{n}_", *place) for n, place in enumerate(PLACES)]
    catalogue = BUILTIN | {mine.name: mine for mine, _ in found}
    assert unshown([*rows, *(row for _, row in found)], catalogue) == set()


def test_a_measure_that_no_table_shows_is_found(
    rows: list[tuple[str, Measurement]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: a page without the section of its breakdowns lacks these."""
    monkeypatch.setattr("priorgap.report.parts.breakdowns", lambda cell, section: [])
    assert {"hole_curve", "marginal_tv", "iw_bound", "class_share", "realism_step"} <= unshown(rows, BUILTIN)
    homeless = replace(BUILTIN["vendi"])
    object.__setattr__(homeless, "section", "nowhere")
    assert "vendi" in unshown(rows, BUILTIN | {"vendi": homeless})


def test_the_page_has_these_tables(rows: list[tuple[str, Measurement]], tmp_path: Path) -> None:
    table = table_of(rows)
    verdict = decide_study(table, space="pixels")
    page = page_of(study="all", table=table, verdict=verdict, studied=Studied("image")).html
    cells = cells_of(table, decide_study(table, space="pixels"))
    for one in all_tables(cells):
        assert all(head.replace("'", "&#39;") in page for head in one.header), one.heading
    # each is explained where it stands, and once in the glossary
    measured = {measure for one in all_tables(cells) for measure in (*one.columns, *one.lines) if measure}
    assert len(measured) > 60
    for measure in measured:
        assert page.count(f'<dt id="measure-{measure.name}">') == 1, measure.name
        assert f'href="#measure-{measure.name}" data-tip="{escape(measure.sentence)}' in page, measure.name
    assert "Quality by density" in page and "my own measure" not in page
    assert any("latent unit" in one.header for one in breakdowns(cells[0], "latent"))

"""The report's page: collects tables and figures, and renders them into one HTML file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from priorgap.core.artifacts import save_json, write_bytes, write_text
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Catalogue
from priorgap.report import charts, units
from priorgap.report import tables as tab
from priorgap.report.aggregate import AggregateFigureData
from priorgap.report.glossary import Glossary
from priorgap.report.latent import normal_path
from priorgap.report.matrix import matrix_of
from priorgap.report.neighbours import Pixels
from priorgap.report.parts import parts_of, tables
from priorgap.report.picture import Picture
from priorgap.report.pictures import (
    ModelPictures,
    copied,
    matrix_picture,
    matrix_rows,
    model_name,
    model_pictures,
    study_pictures,
    unit_pictures,
)
from priorgap.report.previews import Preview
from priorgap.report.studied import Studied
from priorgap.report.summaries import latex_table, readme_table
from priorgap.verdict import StudyVerdict
from priorgap.verdict import readings as rd
from priorgap.verdict.headline import measure_name, number

# The page embeds the pictures of at most this many models; those of others are files beside it.
_MAX_MODELS = 8


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        html: the page, which loads nothing: charts are drawn by a script in it.
        pictures: the pictures that are also written as files; the page embeds its own copies.
    """

    html: str
    pictures: tuple[Picture, ...] = ()


def page_of(
    *,
    study: str,
    table: pd.DataFrame,
    verdict: StudyVerdict,
    previews: Mapping[str, Mapping[str, Preview]] | None = None,
    aggregates: Mapping[str, AggregateFigureData] | None = None,
    provenance: Mapping[str, Any] | None = None,
    config_text: str = "",
    skipped: Mapping[str, str] | None = None,
    catalogue: Catalogue = BUILTIN,
    known_as: Mapping[str, str] | None = None,
    studied: Studied | None = None,
    training: Callable[[str], Pixels | None] = lambda model: None,
) -> Page:
    """Build the page of a study.

    Args:
        study: the study's name, the page's title.
        table: the tidy results, with the columns of results.csv and one per varying key.
        verdict: the result of `decide_study`.
        previews: model id -> sampler, "real" or "reconstructions" -> uint8 images [n, h, w, c], the path of a PNG, or
            windows of series.
        aggregates: model id -> the data for the picture of its aggregate posterior.
        provenance: facts on the run (versions, hardware, checksums), nested.
        config_text: the study's configuration, shown unchanged.
        skipped: maps what was not measured to the reason.
        catalogue: the entries of the study's measures.
        known_as: maps samplers to their usual names in published code.
        studied: the description of data and models; None where not available.
        training: model id -> its training images, uint8 [n, h, w, c], or None; asked only where a sampler has a
            label of copying.

    Raises:
        ValueError: a preview is not uint8 images of one or three channels.
    """
    table = rd.tidy(table)
    cells = tab.cells_of(table, verdict, catalogue)
    baseline = next((cell.baseline for cell in verdict.cells), "")
    models: list[ModelPictures] = []
    for cell in cells:
        embedded = len(models) < _MAX_MODELS
        models += model_pictures(cell, previews or {}, aggregates or {}, baseline, embedded=embedded)
    shown = [(cell, name) for cell in cells if (name := model_name(cell))]
    matrix = matrix_of(shown, previews or {})
    curves = list(study_pictures(table, cells, verdict, catalogue))
    of_units = list(unit_pictures(cells, **_measure_of(verdict)))
    known = studied or Studied()
    environment = Environment(
        loader=PackageLoader("priorgap.report", "."), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template("template.html").render(
        study=study,
        verdict=verdict,
        cells=cells,
        facts=list(known.facts(table, cells)),
        words=known.words,
        glossary=Glossary(known.words),
        chips=_chips(verdict),
        number=number,
        measure="" if verdict.measure is None else measure_name(verdict.measure, verdict.space),
        chart=_chart(cells, verdict),
        script=charts.script,
        parts=parts_of(cells),
        units=tables(lambda cell: units.unit_table(cell, **_measure_of(verdict)), cells),
        unit_pictures=of_units,
        normal=normal_path(),
        curves=[picture for picture in curves if picture.first],
        more_curves=[picture for picture in curves if not picture.first],
        matrix=None if matrix is None or len(matrix.cells) < 2 else list(matrix_rows(matrix)),
        matrix_cells=() if matrix is None else matrix.cells,
        copied=list(copied(cells[:_MAX_MODELS], previews or {}, training)),
        models=models[:_MAX_MODELS],
        n_hidden=max(0, len(models) - _MAX_MODELS),
        choices=list(dict.fromkeys(one.sampler for model in models for one in model.tiles if one.sampler)),
        skipped=_by_cause(skipped or {}),
        provenance=list(_flat(provenance or {})),
        config_text=config_text,
        known_as=dict(known_as or {}),
    )
    beside = [picture for model in models for picture in model.files]
    beside += [] if matrix is None else [matrix_picture(matrix)]
    return Page(html, (*beside, *curves, *of_units))


def write_page(page: Page, directory: Path) -> Path:
    """Write `report.html` and `figures/` into a directory, which is created if missing; return the page's path."""
    for picture in page.pictures:
        write_bytes(directory / "figures" / picture.file, picture.content)
        if picture.vector:
            write_bytes((directory / "figures" / picture.file).with_suffix(".pdf"), picture.vector)
    path = directory / "report.html"
    write_text(path, page.html)
    return path


def write_results(
    directory: Path, table: pd.DataFrame, verdict: StudyVerdict, catalogue: Catalogue = BUILTIN
) -> None:
    """Write `results.csv`, `verdict.json`, `table.md` and `table.tex` into a directory."""
    results = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    write_text(directory / "results.csv", results)
    save_json(directory / "verdict.json", verdict.to_json())
    write_text(directory / "table.md", readme_table(table, catalogue=catalogue, verdict=verdict))
    write_text(directory / "table.tex", latex_table(table, catalogue=catalogue, verdict=verdict))


def _chart(cells: Sequence[tab.Cell], verdict: StudyVerdict) -> str:
    """Return the chart of the ranking measure in the form that the page's script takes; "" where nothing ranks."""
    if verdict.measure is None:
        return ""
    drawn = charts.by_sampler(cells[:_MAX_MODELS], verdict.measure, verdict.space)
    return "" if drawn is None else charts.spec_text(drawn)


def _measure_of(verdict: StudyVerdict) -> dict[str, str]:
    return {"measure": verdict.measure.name if verdict.measure else "fid", "space": verdict.space}


def _chips(verdict: StudyVerdict) -> list[str]:
    seeds = verdict.n_seeds
    chips = [f"{seeds} {'seed' if seeds == 1 else 'seeds'}"]
    if seeds == 1:
        chips.append("this trained model only")
    elif verdict.provisional:
        chips.append("provisional")
    if verdict.disagree:
        chips.append("measures disagree")
    if not any(cell.winner for cell in verdict.cells):
        chips.append("no winner named")
    chips += ["stop: see health"] if any(cell.stopped for cell in verdict.cells) else []
    chips += ["health warning"] if any(finding.severity == "warn" for finding in verdict.health) else []
    return chips


def _by_cause(skipped: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return each reason with everything that was not measured because of it."""
    found: dict[str, list[str]] = {}
    for what, reason in skipped.items():
        found.setdefault(reason, []).append(what)
    return list(found.items())


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(item)

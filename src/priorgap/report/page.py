"""The report's page: gathers tables and figures, and renders them into one HTML file."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from priorgap.core.artifacts import save_json, write_bytes, write_text
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Catalogue, Measure
from priorgap.report import charts, units
from priorgap.report import figures as fig
from priorgap.report import tables as tab
from priorgap.report.parts import parts_of, tables
from priorgap.report.previews import Preview, drawn
from priorgap.verdict import StudyVerdict
from priorgap.verdict import readings as rd
from priorgap.verdict.headline import measure_name, number

_MAX_MODELS = 8  # models whose pictures are embedded in the page; the others' lie beside it


@dataclass(frozen=True)
class Picture:
    """A PNG with the name of its file, its alternative text and its caption."""

    file: str
    content: bytes
    alt: str
    caption: str = ""
    first: bool = False  # whether it is shown at once, not behind a fold

    @property
    def uri(self) -> str:
        """The picture as a data URI, so that the page loads nothing."""
        return "data:image/png;base64," + base64.b64encode(self.content).decode()


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        html: the page: one text that loads nothing; its charts are drawn by a script in it.
        pictures: what lies beside it as files; the page has its own copies.
    """

    html: str
    pictures: tuple[Picture, ...] = ()


@dataclass
class _Model:
    """One model as the page shows it: pictures of its samples and of its latent space."""

    title: str
    tiles: list[Picture] = field(default_factory=list)
    note: str = ""  # what must be known to read the pictures
    together: list[Picture] = field(default_factory=list)  # all samplers in one picture
    latent: list[Picture] = field(default_factory=list)
    beside: list[Picture] = field(
        default_factory=list
    )  # files only: in the page the tiles wrap to the screen


def page_of(
    *,
    study: str,
    table: pd.DataFrame,
    verdict: StudyVerdict,
    previews: Mapping[str, Mapping[str, Preview]] | None = None,
    aggregates: Mapping[str, fig.AggregateFigureData] | None = None,
    provenance: Mapping[str, Any] | None = None,
    config_text: str = "",
    skipped: Mapping[str, str] | None = None,
    catalogue: Catalogue = BUILTIN,
    known_as: Mapping[str, str] | None = None,
) -> Page:
    """Make the page of a study.

    Args:
        study: the study's name, the page's title.
        table: the tidy results, with the columns of results.csv and one per varying key.
        verdict: what `decide_study` returned.
        previews: model id -> sampler, "real" or "reconstructions" -> uint8 images [n, h, w, c], the path of a PNG, or
            windows of series.
        aggregates: model id -> what the picture of its aggregate posterior needs.
        provenance: facts on the run (versions, hardware, checksums), nested as they come.
        config_text: the study's configuration, shown as it is.
        skipped: what was not measured -> why.
        catalogue: the entries of the study's measures.
        known_as: sampler -> what it is called in code that circulates.

    Raises:
        ValueError: a preview is not uint8 images of one or three channels.
    """
    table = rd.tidy(table)
    cells = tab.cells_of(table, verdict, catalogue)
    baseline = next((cell.baseline for cell in verdict.cells), "")
    models = [model for cell in cells for model in _models(cell, previews or {}, aggregates or {}, baseline)]
    curves = list(_study_pictures(table, cells, verdict, catalogue))
    unit_pictures = list(_unit_pictures(cells, verdict))
    environment = Environment(
        loader=PackageLoader("priorgap.report", "."), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template("template.html").render(
        study=study,
        verdict=verdict,
        cells=cells,
        chips=_chips(verdict),
        number=number,
        measure="" if verdict.measure is None else measure_name(verdict.measure, verdict.space),
        chart=_chart(cells, verdict),
        script=charts.script,
        parts=parts_of(cells),
        units=tables(lambda cell: units.unit_table(cell, **_measure_of(verdict)), cells),
        unit_pictures=unit_pictures,
        curves=[picture for picture in curves if picture.first],
        more_curves=[picture for picture in curves if not picture.first],
        models=models[:_MAX_MODELS],
        n_hidden=max(0, len(models) - _MAX_MODELS),
        skipped=dict(skipped or {}),
        provenance=list(_flat(provenance or {})),
        config_text=config_text,
        known_as=dict(known_as or {}),
    )
    beside = [
        picture
        for model in models
        for picture in (*model.tiles, *model.together, *model.latent, *model.beside)
    ]
    return Page(html, (*beside, *curves, *unit_pictures))


def write_page(page: Page, directory: Path) -> Path:
    """Write `report.html` and `figures/*.png` into a directory, made if it is missing; return the page's path."""
    for picture in page.pictures:
        write_bytes(directory / "figures" / picture.file, picture.content)
    path = directory / "report.html"
    write_text(path, page.html)
    return path


def write_results(
    directory: Path, table: pd.DataFrame, verdict: StudyVerdict, catalogue: Catalogue = BUILTIN
) -> None:
    """Write `results.csv`, `verdict.json` and `table.md` into a directory."""
    results = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    write_text(directory / "results.csv", results)
    save_json(directory / "verdict.json", verdict.to_json())
    write_text(directory / "table.md", tab.readme_table(table, catalogue=catalogue, verdict=verdict))


def _chart(cells: Sequence[tab.Cell], verdict: StudyVerdict) -> str:
    """Return the chart of the ranking measure, as it stands in the page's script; "" where nothing ranks."""
    if verdict.measure is None:
        return ""
    drawn = charts.by_sampler(cells[:_MAX_MODELS], verdict.measure, verdict.space)
    return "" if drawn is None else charts.spec_text(drawn)


def file_name(text: str) -> str:
    """Return text as a file name: what is not a letter, a digit or one of ._=,- becomes _."""
    return re.sub(r"[^A-Za-z0-9._=,-]", "_", text).lstrip(".") or "_"


def _models(
    cell: tab.Cell,
    previews: Mapping[str, Mapping[str, Preview]],
    aggregates: Mapping[str, fig.AggregateFigureData],
    baseline: str,
) -> Iterator[_Model]:
    """Yield the first seed's model of a cell, if there is anything to see of it."""
    uncalibrated = cell.rows[~rd.is_calibrated(cell.rows)] if len(cell.rows) else cell.rows
    rows = uncalibrated if len(uncalibrated) else cell.rows
    first = rows[rows["seed"] == rows["seed"].min()]
    if first.empty:
        return
    name = str(first["model"].iloc[0])
    title = f"{cell.name}, seed {int(first['seed'].iloc[0])}"
    model = _Model(title)
    for one in drawn(previews.get(name, {}), cell.samplers, title, baseline=baseline):
        file = "-".join(["samples", file_name(name), *([file_name(one.file)] if one.file else [])])
        group = model.beside if one.beside else model.together if one.wide else model.tiles
        group.append(Picture(f"{file}.png", one.content, one.alt, one.caption))
        model.note = model.note or one.note
    model.latent = list(_latent_pictures(name, title, first, aggregates.get(name)))
    if model.tiles or model.together or model.latent:
        yield model


def _latent_pictures(
    name: str, title: str, rows: pd.DataFrame, aggregate: fig.AggregateFigureData | None
) -> Iterator[Picture]:
    content = fig.kl_per_unit(rows, title)
    if content is not None:
        yield Picture(
            f"kl_per_unit-{file_name(name)}.png",
            content,
            f"Bar charts of rate and of marginal KL for each latent unit, {title}",
            "A large rate means an informative unit; only the lower chart is a mismatch with the prior.",
        )
    if aggregate is not None:
        yield Picture(
            f"aggregate-{file_name(name)}.png",
            fig.aggregate_posterior(aggregate, rows, title),
            f"Aggregate posterior over the prior: marginals by unit and draws by class, {title}",
            "Where the prior has mass and q(z) has none, samples from the prior land in holes.",
        )


def _study_pictures(
    table: pd.DataFrame, cells: Sequence[tab.Cell], verdict: StudyVerdict, catalogue: Catalogue
) -> Iterator[Picture]:
    curves: list[tuple[Measure, str, str]] = []
    for measure in (one for one in catalogue.values() if one.rankable):
        sources = sorted(set(rd.text_column(rd.select(table, measure.name), "label_source")) - {""})
        curves += [(measure, "", source) for source in sources] or [(measure, verdict.space, "")]
    for key in fig.numeric_keys(table):
        for measure, where, source in curves:
            title = measure_name(measure, where or (f"labels: {source}" if source else ""))
            content = fig.measure_against(cells, measure.name, where, key, title, label_source=source)
            if content is not None:
                yield Picture(
                    file_name("-".join(filter(None, [measure.name, source, "by", key]))) + ".png",
                    content,
                    f"{title} against {key}, one line per sampler",
                    f"{title} against {key}; mean ± s.d. over seeds (one model: ± standard error).",
                    first=measure == verdict.measure,
                )
    content = fig.brackets(cells)
    if content is not None:
        yield Picture(
            "bracket.png",
            content,
            "Certified lower and upper ends of KL between aggregate posterior and prior, a line per model",
            "The true mismatch lies inside the thin line (97.5 % limits); thick: between the point values.",
            first=True,
        )


def _measure_of(verdict: StudyVerdict) -> dict[str, str]:
    return {"measure": verdict.measure.name if verdict.measure else "fid", "space": verdict.space}


def _unit_pictures(cells: Sequence[tab.Cell], verdict: StudyVerdict) -> Iterator[Picture]:
    for cell in cells:
        content = units.unit_costs(cell, **_measure_of(verdict))
        if content is not None:
            yield Picture(
                file_name("-".join(["unit-costs", *([cell.name] if len(cells) > 1 else [])])) + ".png",
                content,
                f"Cost of swapping each latent unit against its rate, mismatch and dependence, {cell.name}",
                "One unit of posterior draws replaced at a time; numbers name the units.",
            )


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


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(item)

"""The pictures of a page: those of single models, and those of the whole study."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from priorgap.core.measures import Catalogue, Measure
from priorgap.report import figures as fig
from priorgap.report import tables as tab
from priorgap.report import units
from priorgap.report.aggregate import AggregateFigureData
from priorgap.report.latent import PlaneView, UnitView, plane_view, unit_views
from priorgap.report.matrix import Matrix, few, figure_of
from priorgap.report.neighbours import Pixels, neighbours
from priorgap.report.picture import Picture, embedded
from priorgap.report.previews import Preview, drawn
from priorgap.report.tiles import is_large, tiled
from priorgap.verdict import StudyVerdict
from priorgap.verdict import readings as rd
from priorgap.verdict.headline import measure_name

# The prefixes of the names of files that show one model.
_OF_ONE_MODEL = ("samples-", "kl_per_unit-", "aggregate-")


def shows_one_model(file: str) -> bool:
    """Return whether a picture of a report shows one model, by its file name; others show the study."""
    return file.startswith(_OF_ONE_MODEL)


@dataclass
class ModelPictures:
    """The page's pictures of one model: of its samples and of its latent space."""

    title: str
    tiles: list[Picture] = field(default_factory=list)
    note: str = ""  # A remark that readers need to understand the pictures.
    together: list[Picture] = field(default_factory=list)  # Pictures that show all samplers together.
    latent: list[Picture] = field(default_factory=list)
    plane: PlaneView | None = None
    units: list[UnitView] = field(default_factory=list)
    # Pictures that are only written as files, because the page shows the same in another form.
    beside: list[Picture] = field(default_factory=list)

    @property
    def shown(self) -> bool:
        """Whether there are pictures of samples."""
        return bool(self.tiles or self.together)

    @property
    def has_latent(self) -> bool:
        """Whether there is anything on the latent space."""
        return bool(self.latent or self.units or self.plane)

    @property
    def opens(self) -> bool:
        """Whether units have more to show than two bars."""
        return any(unit.marginal or unit.traversal for unit in self.units)

    @property
    def files(self) -> list[Picture]:
        """All pictures that are written as files."""
        return [*self.tiles, *self.together, *self.latent, *self.beside]


def file_name(text: str) -> str:
    """Return text as a file name: every character except letters, digits and ._=,- becomes _."""
    return re.sub(r"[^A-Za-z0-9._=,-]", "_", text).lstrip(".") or "_"


def first_model(cell: tab.Cell) -> pd.DataFrame:
    """Return the rows of the model that represents a cell: the first seed's, uncalibrated if possible."""
    uncalibrated = cell.rows[~rd.is_calibrated(cell.rows)] if len(cell.rows) else cell.rows
    rows = uncalibrated if len(uncalibrated) else cell.rows
    found: pd.DataFrame = rows[rows["seed"] == rows["seed"].min()]
    return found


def model_name(cell: tab.Cell) -> str:
    """Return the id of the model that represents a cell; "" where there is none."""
    first = first_model(cell)
    return "" if first.empty else str(first["model"].iloc[0])


def matrix_rows(matrix: Matrix) -> Iterator[tuple[str, bool, list[Picture | None]]]:
    """Yield each name of a matrix, whether it belongs to a sampler, and its picture in each cell."""
    for name, row in matrix.rows.items():
        pictures = [
            None if one is None else embedded(few(one), f"{name}, {cell}: a few images", large=is_large(one))
            for one, cell in zip(row, matrix.cells, strict=True)
        ]
        yield name, name in matrix.samplers, pictures


def matrix_picture(matrix: Matrix) -> Picture:
    """Return the matrix as a figure for print."""
    found = figure_of(matrix)
    alt = "Samples of each sampler in each cell, real images and reconstructions on top"
    return Picture("samples-matrix.png", found.png, alt, vector=found.pdf)


def copied(
    cells: Sequence[tab.Cell],
    previews: Mapping[str, Mapping[str, Preview]],
    training: Callable[[str], Pixels | None],
) -> Iterator[tuple[str, list[Picture]]]:
    """Yield for each cell its samplers with a label of copying, above their nearest training images."""
    for cell in cells:
        known = previews.get(model := model_name(cell), {})
        labels = {} if cell.verdict is None else cell.verdict.labels
        found = []
        for sampler in (name for name in cell.samplers if labels.get(name)):
            shown, images = known.get(sampler), None
            if isinstance(shown, np.ndarray) and (images := training(model)) is not None:
                pair = neighbours(shown, images)
                rows = tiled(np.concatenate([pair.samples, pair.nearest]), len(pair.samples), line=2)
                said = ", ".join(labels[sampler])
                alt = f"{sampler} above the training images nearest to them, {cell.name}"
                caption, large = f"{sampler}: {said}", is_large(shown)
                found.append(embedded(rows, alt, large=large, caption=caption, sampler=sampler))
        if found:
            yield cell.name, found


def model_pictures(
    cell: tab.Cell,
    previews: Mapping[str, Mapping[str, Preview]],
    aggregates: Mapping[str, AggregateFigureData],
    baseline: str,
    *,
    embedded: bool = True,
) -> Iterator[ModelPictures]:
    """Yield the pictures of a cell's first model, if there are any.

    Args:
        cell: the cell.
        previews: maps each model to its previews by name.
        aggregates: maps each model to the data of its latent space.
        baseline: the sampler that is always shown where there is no room for all.
        embedded: whether the page embeds the pictures; else they are only files.
    """
    first = first_model(cell)
    if first.empty:
        return
    name = model_name(cell)
    title = f"{cell.name}, seed {int(first['seed'].iloc[0])}"
    model = ModelPictures(title)
    samplers = cell.samplers
    for one in drawn(previews.get(name, {}), samplers, title, baseline=baseline):
        file = "-".join(["samples", file_name(name), *([file_name(one.file)] if one.file else [])])
        group = model.beside if one.beside else model.together if one.wide else model.tiles
        whose = one.file if one.file in samplers else ""
        group.append(
            Picture(f"{file}.png", one.content, one.alt, one.caption, sampler=whose, light=one.light)
        )
        model.note = model.note or one.note
    model.beside += _unit_bars(name, title, first)
    aggregate = aggregates.get(name)
    model.units = list(unit_views(first, aggregate, title)) if embedded else []
    if aggregate is not None:
        model.plane = plane_view(aggregate, title) if embedded else None
        # The plane and the units' marginals show the same information.
        told = model.plane is not None and model.plane.sprite is not None and bool(model.units)
        (model.beside if told else model.latent).append(_aggregate_picture(name, title, first, aggregate))
    if model.files or model.has_latent:
        yield model


def _unit_bars(name: str, title: str, rows: pd.DataFrame) -> list[Picture]:
    content = fig.kl_per_unit(rows, title)
    alt = f"Bar charts of rate and of marginal KL for each latent unit, {title}"
    return [] if content is None else [Picture(f"kl_per_unit-{file_name(name)}.png", content, alt)]


def _aggregate_picture(name: str, title: str, rows: pd.DataFrame, aggregate: AggregateFigureData) -> Picture:
    return Picture(
        f"aggregate-{file_name(name)}.png",
        fig.aggregate_posterior(aggregate, rows, title),
        f"Aggregate posterior over the prior: marginals by unit and draws by class, {title}",
        "Where the prior has mass and q(z) has none, samples from the prior land in holes.",
    )


def study_pictures(
    table: pd.DataFrame, cells: Sequence[tab.Cell], verdict: StudyVerdict, catalogue: Catalogue
) -> Iterator[Picture]:
    """Yield the ranking measures against each numeric key, and the brackets of all models."""
    curves: list[tuple[Measure, str, str]] = []
    for measure in (one for one in catalogue.values() if one.rankable):
        sources = sorted(set(rd.text_column(rd.select(table, measure.name), "label_source")) - {""})
        curves += [(measure, "", source) for source in sources] or [(measure, verdict.space, "")]
    for key in fig.numeric_keys(table):
        for measure, where, source in curves:
            title = measure_name(measure, where or (f"labels: {source}" if source else ""))
            found = fig.measure_against(cells, measure.name, where, key, title, label_source=source)
            if found is not None:
                first = measure == verdict.measure
                yield Picture(
                    file_name("-".join(filter(None, [measure.name, source, "by", key]))) + ".png",
                    found.png,
                    f"{title} against {key}, one line per sampler",
                    f"{title} against {key}; mean ± s.d. over seeds (one model: ± standard error).",
                    first=first,
                    vector=found.pdf if first else b"",
                )
    found = fig.brackets(cells)
    if found is not None:
        yield Picture(
            "bracket.png",
            found.png,
            "Lower and upper ends of KL between aggregate posterior and prior, a line per model",
            "The true mismatch lies inside the thin line (97.5 % limits); thick: between the point values.",
            first=True,
            vector=found.pdf,
        )


def unit_pictures(cells: Sequence[tab.Cell], *, measure: str, space: str) -> Iterator[Picture]:
    """Yield for each cell the cost of swapping each unit against the unit's properties."""
    for cell in cells:
        found = units.unit_costs(cell, measure=measure, space=space)
        if found is not None:
            yield Picture(
                file_name("-".join(["unit-costs", *([cell.name] if len(cells) > 1 else [])])) + ".png",
                found.png,
                f"Cost of swapping each latent unit against its rate, mismatch and dependence, {cell.name}",
                "One unit of posterior draws replaced at a time; numbers name the units.",
                vector=found.pdf,
            )

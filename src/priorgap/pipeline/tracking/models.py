"""A model's run once the model is measured: the run that was written during training is continued."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priorgap.core import artifacts
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Catalogue
from priorgap.pipeline.tracking.content import sampler_table, summary, unit_table
from priorgap.pipeline.tracking.marks import Mark, mark, written_before
from priorgap.pipeline.tracking.runs import OpenRun, RunName, add_artifact, written

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

    from priorgap.report.previews import Preview

_SUMMARY = {"lower": "min", "higher": "max"}


def track_model(
    tracking: Mapping[str, Any],
    folder: Path,
    named: RunName,
    *,
    curves: Sequence[Mapping[str, float]],
    rows: Sequence[tuple[str, Measurement]],
    previews: "Mapping[str, Preview]",
    weights: Path,
    stages: Sequence[str],
    catalogue: Catalogue = BUILTIN,
    live: OpenRun | None = None,
) -> bool:
    """Write one model's run: curves, tables of units and samplers, histogram, sample grids, summary, weights.

    Nothing is written when tracking is off, or if the same content was written before.

    Args:
        tracking: the group of the configuration.
        folder: the study's folder.
        named: the run's identification.
        curves: the training curves.
        rows: sampler ("" for the model) and measurement.
        previews: the previews, by sampler.
        weights: the file of weights.
        stages: the finished stages, which become the run's tags.
        catalogue: the entries of the measures.
        live: the run, if it is open since the training; it is closed here.

    Returns:
        Whether a run was written.

    Raises:
        TrackingFailed: W&B cannot be reached, or refuses.
    """
    if tracking["mode"] == "off":
        return False
    content = {
        "mode": tracking["mode"],
        "project": tracking["project"],
        "curves": [dict(c) for c in curves],
        "rows": [[s, r.to_json()] for s, r in rows],
    }
    fingerprint = artifacts.digest(content)
    known = written_before(folder, named.about)
    if known is not None and known == Mark(fingerprint, named.id(folder)):
        if live is not None:
            live.close()
        return False
    opened = OpenRun(tracking, folder, named) if live is None else live
    with written(opened) as run:
        run.tags = tuple(stages)
        opened.curves(curves)
        _log_units(run, rows, catalogue)
        _log_samplers(run, rows, previews, named)
        numbers = summary(rows, str(named.config["verdict"]["space"]))
        run.summary.update(numbers)
        for key in numbers:
            measure = catalogue.get(key.partition("/")[0])
            if measure is not None and measure.direction in _SUMMARY:
                run.define_metric(key, summary=_SUMMARY[measure.direction])
        add_artifact(run, f"weights-{named.about}", "model", weights)
    mark(folder, named.about, Mark(fingerprint, opened.id))
    return True


def _log_units(run: "Run", rows: Sequence[tuple[str, Measurement]], catalogue: Catalogue) -> None:
    import wandb

    units = unit_table(rows, catalogue)
    if not units:
        return
    columns: list[str | int] = list(units[0])
    table = wandb.Table(columns=columns, data=[[u[str(c)] for c in columns] for u in units])
    run.log({"units": table})
    if "marginal_kl" in units[0]:
        run.log({"marginal_kl_histogram": wandb.Histogram([u["marginal_kl"] for u in units])})


def _log_samplers(
    run: "Run",
    rows: Sequence[tuple[str, Measurement]],
    previews: "Mapping[str, Preview]",
    named: RunName,
) -> None:
    import wandb
    from PIL import Image

    from priorgap.report.previews import drawn

    table = sampler_table(rows, str(named.config["verdict"]["space"]))
    if table.rows:
        run.log({"samplers": wandb.Table(columns=list(table.columns), data=[*table.rows])})
    pictures = {
        f"samples/{one.file}": wandb.Image(Image.open(io.BytesIO(one.content)), caption=one.caption)
        for one in drawn(previews, list(previews), named.name)
        if not one.beside
    }
    if pictures:
        run.log(pictures)

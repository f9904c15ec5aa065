"""W&B: one run a model, grouped by study, every compared number flat in its summary; one run for the report.

Runs are written from finished artifacts, so that they are the same whatever the launcher, and a resumed or
extended study updates the run of the same id.
"""

import io
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priorgap.core import artifacts
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measurement import Measurement
from priorgap.core.measures import Catalogue
from priorgap.pipeline import extras

if TYPE_CHECKING:
    import pandas as pd
    from wandb.sdk.wandb_run import Run

    from priorgap.report.previews import Preview
    from priorgap.verdict import StudyVerdict

log = logging.getLogger(__name__)
_SUMMARY = {"lower": "min", "higher": "max"}


class TrackingFailed(RuntimeError):  # noqa: N818
    """W&B could not be reached, or refused; results are complete all the same. The message is one line."""


def check_access(tracking: Mapping[str, Any]) -> None:
    """Make sure, before any work, that W&B is there and knows who writes online runs; on a terminal it asks.

    Raises:
        ValueError: it does not; one line.
    """
    if tracking["mode"] != "off":
        extras.require(f"tracking={tracking['mode']}", "tracking", extras.TRACKING, "take tracking=off")
    _leave_the_service_of_others()
    if tracking["mode"] != "online":
        return
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in ("offline", "dryrun", "disabled"):
        raise ValueError(
            f"tracking=online: the environment has WANDB_MODE={mode}; unset it, or take tracking=offline"
        )
    import wandb

    try:
        known = wandb.login()
    except (wandb.Error, ValueError) as error:
        line = " ".join(str(error).split())
        raise ValueError(
            f"tracking=online: {line} (or set WANDB_API_KEY, or take tracking=offline)"
        ) from error
    if not known:
        raise ValueError("tracking=online: no API key; run `wandb login`, or take tracking=offline")


def _leave_the_service_of_others() -> None:
    """Start a service of one's own, also where the process that started this one (a notebook) has named its own.

    A run that is written through another process's service waits half a minute at its end, and is left unfinished.
    """
    if "wandb" not in sys.modules:
        os.environ.pop("WANDB_SERVICE", None)


@contextmanager
def _run(
    tracking: Mapping[str, Any],
    folder: Path,
    *,
    study: str,
    name: str,
    job_type: str,
    run_id: str,
    tags: Sequence[str],
    config: Mapping[str, Any],
) -> Iterator["Run"]:
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    earlier = list((folder / "wandb").glob(f"offline-run-*-{run_id}"))
    try:
        run = wandb.init(
            project=str(tracking["project"]),
            entity=tracking["entity"],
            group=study,
            job_type=job_type,
            name=name,
            id=run_id,
            resume="allow",
            # a second job of this process must not be merged into the first one's run
            reinit="create_new",
            mode="online" if tracking["mode"] == "online" else "offline",
            tags=list(tags),
            config=dict(config),
            dir=str(folder),
            settings=wandb.Settings(console="off", x_disable_stats=True, silent=True),
        )
        try:
            yield run
        finally:
            run.finish()
    except wandb.Error as error:
        raise TrackingFailed(f"W&B, run {name}: {' '.join(str(error).split())}") from error
    # the run just written holds all that an earlier or a killed one of this id did: syncing both would mix them
    for folder_of_run in earlier:
        if not list(folder_of_run.glob("*.synced")):
            shutil.rmtree(folder_of_run, ignore_errors=True)


def flat_name(row: Measurement, sampler: str) -> str:
    """Return a measurement's name in the summary: fid/gmm, kl/lower, marginal_kl/unit_3, ..."""
    parts = [row.measure]
    if sampler:
        parts.append(sampler)
    if row.bound != "point":
        parts.append(row.bound)
    if row.label_source:
        parts.append(row.label_source)
    if row.space not in ("latent", "data", ""):
        parts.append(row.space)
    return "/".join(parts)


def summary(rows: Sequence[tuple[str, Measurement]], space: str = "") -> dict[str, float]:
    """Return every number of the whole (not per unit or class) under its flat name.

    A feature space is left out of the name where it is the study's declared one, or the only one of a measure:
    the name of a number must not change when a space is added.

    Args:
        rows: sampler ("" for the model) and measurement.
        space: the study's declared feature space.
    """
    whole = [(s, r) for s, r in rows if r.unit == ""]
    spaces: dict[str, set[str]] = {}
    for _, row in whole:
        spaces.setdefault(row.measure, set()).add(row.space)
    result = {}
    for sampler, row in whole:
        name = flat_name(row, sampler)
        implied = space if space in spaces[row.measure] else min(spaces[row.measure])
        if row.space == implied and row.space not in ("latent", "data", ""):
            name = name.removesuffix(f"/{row.space}")
        result[name] = row.value
    return result


def track_model(
    tracking: Mapping[str, Any],
    folder: Path,
    *,
    study: str,
    name: str,
    model_id: str,
    config: Mapping[str, Any],
    curves: Sequence[Mapping[str, float]],
    rows: Sequence[tuple[str, Measurement]],
    previews: "Mapping[str, Preview]",
    stages: Sequence[str],
    catalogue: Catalogue = BUILTIN,
) -> bool:
    """Write one model's run: curves, per-unit KL table and histogram, sample grids, summary.

    Nothing is written when tracking is off, or when the same content was written before.

    Returns:
        Whether a run was written.
    """
    if tracking["mode"] == "off":
        return False
    marker = folder / "tracked" / f"{model_id}.json"
    content = {
        "mode": tracking["mode"],
        "project": tracking["project"],
        "curves": [dict(c) for c in curves],
        "rows": [[s, r.to_json()] for s, r in rows],
    }
    fingerprint = artifacts.digest(content)
    if _written(marker) == fingerprint:
        return False
    import wandb
    from PIL import Image

    from priorgap.report.previews import drawn

    run_id = artifacts.digest([study, model_id])[:16]
    with _run(
        tracking, folder, study=study, name=name, job_type="model", run_id=run_id, tags=stages, config=config
    ) as run:
        run.define_metric("epoch")
        run.define_metric("train/*", step_metric="epoch")
        run.define_metric("validation/*", step_metric="epoch")
        # the curves are a run's first steps; a resumed run has them already, or some of them
        for curve in curves[run.starting_step :]:
            run.log({_curve_name(key): value for key, value in curve.items()})
        units = _unit_table(rows, catalogue)
        if units:
            columns: list[str | int] = list(units[0])
            table = wandb.Table(columns=columns, data=[[u[str(c)] for c in columns] for u in units])
            run.log({"units": table})
            if "marginal_kl" in units[0]:
                run.log({"marginal_kl_histogram": wandb.Histogram([u["marginal_kl"] for u in units])})
        pictures = {
            f"samples/{one.file}": wandb.Image(Image.open(io.BytesIO(one.content)), caption=one.caption)
            for one in drawn(previews, list(previews), name)
            if not one.beside
        }
        if pictures:
            run.log(pictures)
        numbers = summary(rows, str(config["verdict"]["space"]))
        run.summary.update(numbers)
        for key in numbers:
            measure = catalogue.get(key.partition("/")[0])
            if measure is not None and measure.direction in _SUMMARY:
                run.define_metric(key, summary=_SUMMARY[measure.direction])
    artifacts.save_json(marker, {"content": fingerprint, "run": run_id})
    return True


def _written(marker: Path) -> str | None:
    """Return the digest of what was written before; None where nothing was, or nobody knows."""
    try:
        return str(artifacts.load_json(marker)["content"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _curve_name(column: str) -> str:
    """Return train/loss for train_loss: W&B makes a section of what stands before the slash."""
    part, _, rest = column.partition("_")
    return f"{part}/{rest}" if part in ("train", "validation") and rest else column


def _unit_table(rows: Sequence[tuple[str, Measurement]], catalogue: Catalogue) -> list[dict[str, float]]:
    """Return unit -> what is known of it in nats (rate, marginal KL, ...), of units that have all of these."""
    names = [m.name for m in catalogue.values() if m.by == "latent unit" and m.unit == "nat"]
    columns: dict[str, dict[str, float]] = {}
    for name in names:
        for sampler, row in rows:
            if sampler == "" and row.unit != "" and row.measure == name:
                columns.setdefault(row.unit, {"unit": float(row.unit)})[name] = row.value
    units = [columns[u] for u in sorted(columns, key=float)]
    known = max((len(u) for u in units), default=0)
    return [u for u in units if len(u) == known]


def track_study(
    tracking: Mapping[str, Any],
    folder: Path,
    *,
    study: str,
    table: "pd.DataFrame",
    figures: Mapping[str, Path],
    verdict: "StudyVerdict",
) -> bool:
    """Write the study's run: the tidy table, the figures, the verdict's text."""
    if tracking["mode"] == "off":
        return False
    marker = folder / "tracked" / "report.json"
    fingerprint = artifacts.digest(
        [tracking["mode"], tracking["project"], table.to_csv(index=False), verdict.text]
    )
    if _written(marker) == fingerprint:
        return False
    import wandb

    run_id = artifacts.digest([study, "report"])[:16]
    with _run(
        tracking, folder, study=study, name=f"{study} report", job_type="report", run_id=run_id,
        tags=["report"], config={"study": study},
    ) as run:  # fmt: skip
        # a cell of a W&B table is a scalar: lists that vary in a study are shown as text
        plain = table.map(lambda value: str(value) if isinstance(value, list | dict) else value)
        run.log({"results": wandb.Table(dataframe=plain)})
        for name, path in figures.items():
            run.log({f"figures/{name}": wandb.Image(str(path))})
        run.summary["headline"] = verdict.headline
        run.summary["recommended"] = str(verdict.recommended)
        run.summary["verdict"] = verdict.text
        run.summary["winner"] = str(verdict.winner)
    artifacts.save_json(marker, {"content": fingerprint, "run": run_id})
    return True

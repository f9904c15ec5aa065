"""A report's numbers for programs that compare runs: metrics.json, and two tables to plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from priorgap.core.artifacts import save_json, write_text
from priorgap.core.measures import Catalogue
from priorgap.report import tables as tab
from priorgap.report.charts import values_of
from priorgap.verdict import StudyVerdict
from priorgap.verdict import readings as rd

Curves = Mapping[str, Sequence[Mapping[str, float]]]


def write_run_metrics(
    directory: Path, table: pd.DataFrame, verdict: StudyVerdict, catalogue: Catalogue, curves: Curves
) -> None:
    """Write `metrics.json`, `quality.csv` and `training.csv` into a directory.

    metrics.json: cell -> measure -> sampler -> mean over models, of the measure that ranks, with the recommendation.
    quality.csv: the same with intervals, a row for each cell and sampler. training.csv: the means of the training
    curves over models, by epoch.

    Args:
        directory: the folder to write to.
        table: the tidy results.
        verdict: the result of `decide_study`.
        catalogue: the entries of the study's measures.
        curves: model id -> a mapping for each epoch.
    """
    cells = tab.cells_of(rd.tidy(table), verdict, catalogue)
    quality = (
        pd.DataFrame(columns=["cell", "sampler", "value", "low", "high"])
        if verdict.measure is None
        else values_of(cells, verdict.measure, verdict.space).drop(columns=["role", "marks"])
    )
    name = "" if verdict.measure is None else verdict.measure.name
    metrics: dict[str, object] = {"recommended": str(verdict.recommended or "none")}
    for cell, own in quality.groupby("cell", sort=False):
        values = {str(s): float(v) for s, v in zip(own["sampler"], own["value"], strict=True)}
        metrics[str(cell) or "all"] = {name: values}
    save_json(directory / "metrics.json", metrics)
    write_text(directory / "quality.csv", _csv(quality))
    write_text(directory / "training.csv", _csv(_mean_curves(curves)))


def _mean_curves(curves: Curves) -> pd.DataFrame:
    rows = [row for own in curves.values() for row in own]
    if not rows:
        return pd.DataFrame(columns=["epoch"])
    frame = pd.DataFrame(rows).groupby("epoch", as_index=False).mean()
    return frame[["epoch", *sorted(name for name in map(str, frame.columns) if name.endswith("loss"))]]


def _csv(frame: pd.DataFrame) -> str:
    text: str = frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    return text

"""The study's own run: table, figures, verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from priorgap.core import artifacts
from priorgap.pipeline.tracking.marks import Mark, mark, written_before
from priorgap.pipeline.tracking.runs import OpenRun, RunName, add_artifact, written

if TYPE_CHECKING:
    import pandas as pd

    from priorgap.verdict import StudyVerdict

_ABOUT = "report"


def track_study(
    tracking: Mapping[str, Any],
    folder: Path,
    *,
    study: str,
    table: "pd.DataFrame",
    figures: Mapping[str, Path],
    verdict: "StudyVerdict",
) -> bool:
    """Write the study's run: the tidy table, the figures, the verdict's text, and results and page as artifacts.

    Raises:
        TrackingFailed: W&B cannot be reached, or refuses.
    """
    if tracking["mode"] == "off":
        return False
    fingerprint = artifacts.digest(
        [tracking["mode"], tracking["project"], table.to_csv(index=False), verdict.text]
    )
    known = written_before(folder, _ABOUT)
    if known is not None and known.content == fingerprint:
        return False
    import wandb

    named = RunName(study, f"{study} report", "report", _ABOUT, {"study": study})
    opened = OpenRun(tracking, folder, named)
    with written(opened) as run:
        run.tags = ("report",)
        # A cell of a W&B table must be a scalar, so lists that vary in a study are shown as text.
        plain = table.map(lambda value: str(value) if isinstance(value, list | dict) else value)
        run.log({"results": wandb.Table(dataframe=plain)})
        for name, path in figures.items():
            run.log({f"figures/{name}": wandb.Image(str(path))})
        run.summary["headline"] = verdict.headline
        run.summary["recommended"] = str(verdict.recommended)
        run.summary["verdict"] = verdict.text
        run.summary["winner"] = str(verdict.winner)
        for kind, file in (("results", "results.csv"), ("page", "report.html")):
            add_artifact(run, f"{kind}-{study}", kind, folder / "report" / file)
    mark(folder, _ABOUT, Mark(fingerprint, opened.id))
    return True

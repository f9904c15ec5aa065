"""A W&B workspace of one study, built in code: curves, what samplers cost, pictures.

    pip install 'priorgap[tracking,workspaces]'
    python examples/wandb_workspace.py outputs/alpha/report/results.csv ENTITY priorgap

The runs are those that `priorgap run ... study=alpha tracking=online` wrote. The panels are those of the measures and
samplers that the study has; the workspace is saved as a view of the project, and its address is printed.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

_CURVES = ("loss", "reconstruction", "kl")


def measured(results: Path) -> tuple[str, Mapping[str, Sequence[str]]]:
    """Return the study's name and, by measure, the samplers that have it as a whole."""
    found: dict[str, dict[str, None]] = {}
    with results.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        plain = row["bound"] == "point" and not row["label_source"]
        if row["unit"] == "" and row["sampler"] and plain:
            found.setdefault(row["measure"], {})[row["sampler"]] = None
    return rows[0]["study"], {measure: list(samplers) for measure, samplers in found.items()}


def workspace(study: str, samplers: Mapping[str, Sequence[str]], entity: str, project: str) -> ws.Workspace:
    """Return the workspace of a study; nothing is sent."""
    curves = [
        wr.LinePlot(title=name, x="epoch", y=[f"train/{name}", f"validation/{name}"]) for name in _CURVES
    ]
    bars = [
        wr.BarPlot(title=measure, metrics=[wr.SummaryMetric(f"{measure}/{name}") for name in names])
        for measure, names in samplers.items()
    ]
    shown = ["real", "reconstructions", *dict.fromkeys(n for names in samplers.values() for n in names)]
    pictures = wr.MediaBrowser(title="samples", media_keys=[f"samples/{name}" for name in shown])
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"priorgap {study}",
        sections=[
            ws.Section(name="Training", panels=curves, is_open=True),
            ws.Section(name="Samplers", panels=bars, is_open=True),
            ws.Section(name="Pictures", panels=[pictures], is_open=True),
        ],
        runset_settings=ws.RunsetSettings(
            filters=[ws.Metric("group") == study, ws.Metric("jobType") == "model"]
        ),
    )


if __name__ == "__main__":
    name, found = measured(Path(sys.argv[1]))
    saved = workspace(name, found, sys.argv[2], sys.argv[3]).save()
    sys.stdout.write(f"{saved.url}\n")

"""A W&B workspace and a W&B report of one study, built in code: verdict, curves, measures of samplers, pictures.

    pip install 'priorgap[tracking,workspaces]'
    python examples/wandb_workspace.py outputs/alpha/report ENTITY priorgap [report]

It shows the runs that `priorgap run ... study=alpha tracking=online` wrote, with panels for the measures and
samplers that the study has. It saves the workspace as a view of the project and, with the word `report`, a draft of a
report too, and prints their addresses.
"""

import csv
import json
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


def panels(samplers: Mapping[str, Sequence[str]]) -> tuple[list, list, list]:
    """Return the panels of curves, of measures over samplers, and of pictures."""
    curves = [
        wr.LinePlot(title=name, x="epoch", y=[f"train/{name}", f"validation/{name}"]) for name in _CURVES
    ]
    bars = [
        wr.BarPlot(title=measure, metrics=[wr.SummaryMetric(f"{measure}/{name}") for name in names])
        for measure, names in samplers.items()
    ]
    shown = ["real", "reconstructions", *dict.fromkeys(n for names in samplers.values() for n in names)]
    return curves, bars, [wr.MediaBrowser(title="samples", media_keys=[f"samples/{name}" for name in shown])]


def workspace(study: str, samplers: Mapping[str, Sequence[str]], entity: str, project: str) -> ws.Workspace:
    """Return the workspace of a study; nothing is sent."""
    curves, bars, pictures = panels(samplers)
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"priorgap {study}",
        sections=[
            ws.Section(name="Training", panels=curves, is_open=True),
            ws.Section(name="Samplers", panels=bars, is_open=True),
            ws.Section(name="Pictures", panels=pictures, is_open=True),
        ],
        runset_settings=ws.RunsetSettings(filters=_models_of(study)),
    )


def report(
    study: str, samplers: Mapping[str, Sequence[str]], verdict: Path, entity: str, project: str
) -> wr.Report:
    """Return a report of a study that begins with its verdict; nothing is sent."""
    said = json.loads(verdict.read_text(encoding="utf-8"))
    curves, bars, pictures = panels(samplers)
    runs = [wr.Runset(entity=entity, project=project, name=study, filters=_models_of(study))]
    return wr.Report(
        entity=entity,
        project=project,
        title=f"priorgap {study}",
        blocks=[
            wr.H1("Do this"),
            wr.P(said["headline"]),
            *([wr.P(said["sure"])] if said.get("sure") else []),
            *(
                block
                for title, own in (("Samplers", bars), ("Pictures", pictures), ("Training", curves))
                for block in (wr.H2(title), wr.PanelGrid(runsets=runs, panels=own))
            ),
        ],
    )


def _models_of(study: str) -> list:
    return [ws.Metric("group") == study, ws.Metric("jobType") == "model"]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    name, found = measured(folder / "results.csv")
    sys.stdout.write(f"{workspace(name, found, sys.argv[2], sys.argv[3]).save().url}\n")
    if "report" in sys.argv[4:]:
        drawn = report(name, found, folder / "verdict.json", sys.argv[2], sys.argv[3])
        sys.stdout.write(f"{drawn.save(draft=True).url}\n")

"""`priorgap publish`: copies a study's results, verdict, figures and provenance beside its committed config."""

import shutil
import sys
from pathlib import Path

from priorgap.core import artifacts
from priorgap.core.errors import BadInput
from priorgap.pipeline.commands import run
from priorgap.pipeline.config.session import Request, own_experiments
from priorgap.pipeline.config.yaml_source import EXPERIMENTS

_FILES = ("results.csv", "verdict.json")
_PROVENANCE = "provenance.json"
# Keys about storage and tracking. They do not affect results, and hold paths of one machine.
_ELSEWHERE = ("output_root=", "tracking=", "tracking.", "data.root=")


def main(overrides: tuple[str, ...], multirun: bool, config_dir: str | None) -> int:
    """Write the study's report again, and copy it; bad input raises BadInput with one line."""
    request = Request(overrides, multirun, config_dir)
    if request.experiment is None:
        raise BadInput(
            "publish: which study? expected experiment=ID, a folder of experiments/ with a config.yaml"
        )
    place = own_experiments() / EXPERIMENTS / request.experiment
    if not (place / "config.yaml").is_file():
        raise BadInput(
            f"experiment={request.experiment}: {place} has no config.yaml; expected a study of this repository"
        )
    (session, cells), *others = run.checked_sessions(request)
    if others or len({cell.study for cell in cells}) > 1:
        raise BadInput(f"experiment={request.experiment}: expected one study")
    folder = Path(str(cells[0].config["output_root"])) / cells[0].study / "report"
    with session:
        status = run.run_checked("report", session, cells)
    if status:
        return status
    artifacts.check(folder, *_FILES, _PROVENANCE)
    _copy(folder, place)
    provenance = artifacts.load_json(folder / _PROVENANCE)
    artifacts.sweep_partial(place / _PROVENANCE)
    artifacts.save_json(place / _PROVENANCE, {"command": _command(request), **provenance})
    sys.stdout.write(f"published: {place}\n")
    return 0


def _command(request: Request) -> str:
    """Return the command that reproduces the study, without keys about storage and tracking."""
    words = [o for o in request.overrides if not o.lstrip("+").startswith(_ELSEWHERE)]
    return " ".join(["priorgap run", *words])


def _copy(folder: Path, place: Path) -> None:
    from priorgap.report.pictures import shows_one_model

    for name in _FILES:
        artifacts.sweep_partial(place / name)
        artifacts.write_bytes(place / name, (folder / name).read_bytes())
    figures = place / "figures"
    shutil.rmtree(figures, ignore_errors=True)
    for file in sorted((folder / "figures").glob("*.png")):
        # Pictures of single models stay in the store, and the repository gets those of the study.
        if not shows_one_model(file.name):
            artifacts.write_bytes(figures / file.name, file.read_bytes())

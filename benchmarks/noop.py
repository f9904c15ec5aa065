"""What it costs to say that nothing is to be done: a rerun of a finished study, --help, dvc status.

    OMP_NUM_THREADS=1 python benchmarks/noop.py

The studies are synthetic: every result that their plan names is there, of about the size that digits give, with
its manifest, but nothing was trained. The command is a user's own, in a process of its own.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from priorgap.core import artifacts
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import Step, plan_of
from priorgap.pipeline.config.session import Request, Session
from priorgap.pipeline.store import finished, records
from priorgap.pipeline.store.folders import folder_of
from priorgap.pipeline.store.layout import Files, Store, Values

STUDIES = {
    "25 models x 8 samplers = 200 cells": ("seed=range(0,25)", "study=cells"),
    "200 models x 8 samplers": ("loss.alpha=1,10", "seed=range(0,100)", "study=models"),
}


def main() -> None:
    """Print each cost beside its limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repository", type=Path, default=Path(__file__).parents[1])
    repository = parser.parse_args().repository
    # the studies last for minutes: no need to force them to disk
    os.fsync = lambda handle: None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print("| command | wall, s | CPU, s | limit |\n|---|---|---|---|")
        for name, grid in STUDIES.items():
            n_results, n_files = synthesise(grid)
            wall, cpu, said = command("run", "-m", *grid, "tracking=off")
            assert "nothing to do" in said, said
            show(f"no-op rerun, {name}, {n_results} results in {n_files} files", wall, cpu, "5 s")
        wall, cpu, _ = min(command("--help") for _ in range(3))
        show("`priorgap --help`", wall, cpu, "0.5 s of CPU")
        wall, cpu, _ = min(command("run", "--help") for _ in range(3))
        show("`priorgap run --help`", wall, cpu, "0.5 s of CPU")
    os.chdir(repository)
    wall, cpu, said = timed([str(Path(sys.executable).with_name("dvc")), "status"])
    show(f"`dvc status`, {len(said.splitlines())} lines", wall, cpu, "5 s")


def synthesise(grid: tuple[str, ...]) -> tuple[int, int]:
    """Make a finished study of a grid; return how many results and files it has."""
    request = Request((*grid, "tracking=off"), True)
    with Session(request) as session:
        cells = [ModelConfig(config, overrides) for config, overrides in session.cells()]
    store = Store(Path(str(cells[0].config["output_root"])))
    plan = plan_of(cells)
    for cell in cells:
        records.write(records.record_of(cell, iter(plan.of([cell]).models)), store)
    for step in plan.steps.values():
        store.publish(step, "key", result_of(step), seed=0, seconds=1.0)
    report = store.study(cells[0].study) / "report"
    with artifacts.publish(report, "key") as directory:
        artifacts.write_text(directory / "report.html", "<p>nothing</p>")
    finished.remember(request, plan, store, report / "report.html", "synthetic")
    folders = {folder_of(step, store) for step in plan.steps.values()}
    return len(plan.steps), sum(1 for folder in folders for _ in folder.iterdir())


def result_of(step: Step) -> Files | Values:
    """Return something of about the size of a step's result."""
    if step.kind == "sample":
        return Values({"path": str(step.path)}, {"z": torch.zeros(1000, 8)})
    if step.kind == "measure":
        return Values({"rows": [{"measure": "fid", "value": 1.0, "std_error": 0.1}] * 4, "skipped": None})
    return Files(lambda folder: artifacts.save_tensors(folder / "x.safetensors", {"x": torch.zeros(1000, 8)}))


def command(*arguments: str) -> tuple[float, float, str]:
    """Run the console script; return wall and CPU seconds, and what it said."""
    return timed([sys.executable, "-m", "priorgap.pipeline", *arguments])


def timed(order: list[str]) -> tuple[float, float, str]:
    """Run a command; return wall and CPU seconds, and what it said."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    found = subprocess.run(order, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall, cpu, found.stdout + found.stderr


def show(what: str, wall: float, cpu: float, limit: str) -> None:
    """Print a row: both times beside the limit."""
    print(f"| {what} | {wall:.2f} | {cpu:.2f} | {limit} |", flush=True)


if __name__ == "__main__":
    main()

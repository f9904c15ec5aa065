"""Whole commands on a GPU: many models as one program beside one, and a study in each feature space beside the CPU.

    PRIORGAP_DATA=DIR python benchmarks/gpu_commands.py [--models 64] [--spaces classifier,efficientnet,inception]
    OMP_NUM_THREADS=1 python benchmarks/gpu_commands.py --accelerator cpu --data digits --models 4 --epochs 1 \\
        --spaces classifier                                                                       (to try it)

First table: `priorgap train` of the default network with trainer=batched, of one model and of --models seeds, the
data prepared before. Second: `priorgap run` of one model with its default samplers and measures, trainer.accelerator
as given and cpu, and by how much the samplers' FIDs differ, relatively, at most: trainings that round differently.
Wall and CPU seconds of whole commands in processes of their own, one run each. Exits 1 where the models of a batch
take more than 3 times the time of one (goal on a GPU).
"""

import argparse
import csv
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

from sweep_commands import command

GOAL = 3.0


def priorgap(folder: Path, *words: str) -> tuple[float, float]:
    """Run a command in a folder; return its wall and CPU seconds."""
    start = time.perf_counter()
    cpu = command(folder, *words, "tracking=off")
    return time.perf_counter() - start, cpu


def model(given: argparse.Namespace, accelerator: str) -> list[str]:
    """Return the words that name the data, the model and the device."""
    return [
        f"data={given.data}", "likelihood=bernoulli", "model.latent_dim=10", f"trainer.max_epochs={given.epochs}",
        f"trainer.accelerator={accelerator}", *([f"data.root={given.root}"] if given.root else []),
    ]  # fmt: skip


def as_one_program(folder: Path, given: argparse.Namespace) -> float:
    """Print the first table; return the ratio of wall times."""
    words = ["trainer=batched", *model(given, given.accelerator)]
    priorgap(folder, "prepare", *words)
    counts = (1, given.models)
    found = [priorgap(folder, "train", "-m", f"seed=range(0,{n})", f"study=of_{n}", *words) for n in counts]
    print("| models in one program | wall, s | CPU, s |\n|---|---|---|")
    for n, (wall, cpu) in zip(counts, found, strict=True):
        print(f"| {n} | {wall:.1f} | {cpu:.1f} |")
    return found[1][0] / found[0][0]


def in_a_space(folder: Path, space: str, given: argparse.Namespace) -> None:
    """Print a space's row of the second table."""
    chosen = [f"features=[{space}]", f"verdict.space={space}", "seed=0"]
    if given.weights and space == "inception":
        chosen.append(f"features.weights={given.weights}")
    # stores of their own, because a later study finds what the feature space needs in the store of an earlier one
    places = ((given.accelerator, folder / f"{space}_there"), ("cpu", folder / f"{space}_here"))
    times = []
    for accelerator, place in places:
        place.mkdir()
        times.append(priorgap(place, "run", "study=gpu", *chosen, *model(given, accelerator)))
    there, here = (fids(place / "outputs/gpu") for _, place in places)
    apart = max(abs(there[s] / here[s] - 1) for s in here)
    cells = [f"{wall:.0f} | {cpu:.0f}" for wall, cpu in times]
    print(f"| {space} | {' | '.join(cells)} | {apart:.1e} |", flush=True)


def fids(study: Path) -> dict[str, float]:
    """Return each sampler's FID."""
    with (study / "report/results.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "fid" and row["sampler"]]
    return {row["sampler"]: float(row["value"]) for row in rows}


def main() -> int:
    """Print both tables and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--accelerator", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--spaces", default="classifier,efficientnet")
    parser.add_argument("--weights", type=Path, help="the file with the weights of features=inception")
    given = parser.parse_args()
    given.root = os.environ.get("PRIORGAP_DATA")
    if given.accelerator == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; try it with --accelerator cpu --data digits --models 4 --epochs 1")
    hardware = torch.cuda.get_device_name() if given.accelerator == "cuda" else f"CPU, {platform.machine()}"
    print(f"{hardware}; PyTorch {torch.__version__}, CUDA {torch.version.cuda}\n")
    with tempfile.TemporaryDirectory() as name:
        ratio = as_one_program(Path(name), given)
        print(f"\n{given.models} models over one, wall: {ratio:.2f}")
        heads = [f"{place}, {clock} s" for place in (given.accelerator, "cpu") for clock in ("wall", "CPU")]
        print(f"\n| space | {' | '.join(heads)} | FIDs apart |\n|{'---|' * 6}")
        for space in given.spaces.split(","):
            in_a_space(Path(name), space, given)
    if given.accelerator == "cpu":
        return 0
    print(f"\nat most {GOAL:g} times one model's time: {'PASS' if ratio <= GOAL else 'FAIL'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())

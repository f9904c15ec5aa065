"""This checkout beside a checkout of another commit, in turns: what a change costs or saves.

    git worktree add ../before 9ce8c51
    OMP_NUM_THREADS=1 python benchmarks/against.py --before ../before

Ratios are the other commit's CPU seconds over this one's, medians of the rounds: above 1 this checkout is faster.
- train: the default MLP on MNIST by the default trainer, without imports and without reading the images.
- batched: `priorgap train` of 64 digits models that are trained together, as a user types it, with all start-up.
- no-op: the same `priorgap run` again, of a study that is complete.
- main: the main job, `priorgap run data=mnist likelihood=bernoulli model.latent_dim=10 seed=0`, with all start-up and
  the measures that the earlier commit's `metric=standard` has. It takes minutes a round: only with `--parts main`.
- main, one process: the same with `measure_processes=1`; `--parts main_in_one`.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import yaml

from priorgap.core.processor import processor

TRAIN = """
import resource, sys, tempfile
from pathlib import Path
import torch
torch.set_num_threads(1)
from priorgap.data.images import TorchvisionImages
from priorgap.models.likelihoods import Gaussian
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP
from priorgap.models.vae import build_vae
from priorgap.training.fit import TrainerConfig, train_vae

data = TorchvisionImages("mnist", 5000, 0).load(root=Path(sys.argv[1]), download=True)
trainer = TrainerConfig(max_epochs=int(sys.argv[2]), accelerator="cpu")

def train(trainer):
    vae = build_vae(MLP(16, (512, 256)), Gaussian(), None, data.shape, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        train_vae(vae, data, ElboLoss(10.0), trainer, seed=0, directory=Path(folder), progress=False)

before = resource.getrusage(resource.RUSAGE_SELF)
train(trainer)
after = resource.getrusage(resource.RUSAGE_SELF)
print("CPU", after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""
COMMAND = "from priorgap.pipeline.cli import main; main()"
MAIN = (
    "run",
    "data=mnist",
    "likelihood=bernoulli",
    "model.latent_dim=10",
    "seed=0",
    "tracking=off",
)
ALONE = "measure_processes=1"
GRID = ("data=digits", "seed=range(0,64)", "trainer.max_epochs=12", "tracking=off", "study=speed")


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the other commit")
    parser.add_argument(
        "--before-batched", default="", help="what chooses batched training there; none if empty"
    )
    parser.add_argument("--data", type=Path, default=Path("outputs/data"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default="train,batched,noop")
    options = parser.parse_args()
    trees = {"before": options.before.resolve(), "now": Path(__file__).resolve().parents[1]}
    print(f"{processor()}\nMedians of {options.rounds} rounds in turns, CPU seconds\n")
    print("| part | before, CPU s | now, CPU s | ratio |\n|---|---|---|---|")
    if "train" in options.parts:
        words = [str(options.data.resolve()), str(options.epochs)]
        show("train", in_turns(options.rounds, lambda name: seconds_within(trees[name], words)))
    words_of = {"before": options.before_batched.split(), "now": ["trainer=batched"]}
    with tempfile.TemporaryDirectory() as folder:
        roots = {name: Path(folder, name) for name in trees}
        if "batched" in options.parts:
            for name, tree in trees.items():
                command(tree, roots[name], "prepare", "-m", *GRID)

            def train(name: str) -> float:
                shutil.rmtree(roots[name] / "speed", ignore_errors=True)
                return command(trees[name], roots[name], "train", "-m", *GRID, *words_of[name])

            show("batched", in_turns(options.rounds, train))
        if "noop" in options.parts:
            study = ("run", "-m", "data=digits", "seed=0,1", "sampler=[prior,gmm]", "metric=[rate,fid]")
            few = ("trainer.max_epochs=1", "tracking=off", "study=noop")
            for name, tree in trees.items():
                command(tree, roots[name], *study, *few)
            show(
                "no-op",
                in_turns(options.rounds, lambda name: command(trees[name], roots[name], *study, *few)),
            )
        for part, name, more in (("main", "main", ()), ("main_in_one", "main, one process", (ALONE,))):
            if part in options.parts.split(","):
                show(name, in_turns(options.rounds, partial(main_job, trees, roots, more)))


def main_job(trees: Mapping[str, Path], roots: Mapping[str, Path], more: Sequence[str], name: str) -> float:
    """Return the CPU seconds of a tree's main job in an empty store, with the earlier tree's measures."""
    shutil.rmtree(roots[name], ignore_errors=True)
    metrics = ",".join(standard_metrics(trees["before"]))
    return command(trees[name], roots[name], *MAIN, *more, f"metric=[{metrics}]")


def standard_metrics(tree: Path) -> list[str]:
    """Return the names that `metric=standard` has in a tree."""
    text = (tree / "conf" / "metric" / "standard.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load(text)["defaults"])


def in_turns(rounds: int, cost: Callable[[str], float]) -> dict[str, list[float]]:
    """Return the costs of both sides, taken one after the other in each round."""
    found: dict[str, list[float]] = {"before": [], "now": []}
    for _ in range(rounds):
        for name, costs in found.items():
            costs.append(cost(name))
    return found


def show(part: str, found: dict[str, list[float]]) -> None:
    """Print a part's medians and their ratio."""
    before, now = median(found["before"]), median(found["now"])
    print(f"| {part} | {before:.2f} | {now:.2f} | {before / now:.3f} |", flush=True)


def environment(tree: Path) -> dict[str, str]:
    """Return the environment in which `priorgap` is a tree's."""
    return {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}


def seconds_within(tree: Path, words: Sequence[str]) -> float:
    """Return the CPU seconds that the training alone takes."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *words],
        env=environment(tree),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def command(tree: Path, root: Path, *words: str) -> float:
    """Return the CPU seconds of a command with all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *words, f"output_root={root}"],
            env=environment(tree),
            cwd=folder,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()

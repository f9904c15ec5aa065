"""Peak resident memory of whole commands, each in a process of its own, and of one process over 300 models.

    PRIORGAP_DATA=DIR python benchmarks/memory.py [--parts main,latents,generate,sweep,inprocess] [--n 1000000]

main: `priorgap run` of one MNIST model, all defaults. latents: densities, bracket and copying of 60,000 posteriors
of 64 units (one epoch of training). generate: so many draws of a digits model, 64 values each, to parquet and to npz.
sweep: 300 tiny models in one worker; its resident memory, which must not grow by over a twentieth from 50 to 290.
Exits 1 where it does. inprocess: the same in the command's own process, by Hydra's basic launcher, which keeps each
job's configuration: shown, and not judged.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from priorgap.core.processor import processor

CODE = "from priorgap.pipeline.cli import main; main()"
MAIN = ("data=mnist", "likelihood=bernoulli", "model.latent_dim=10", "seed=0")
LATENTS = (
    "data=mnist", "likelihood=bernoulli", "model.latent_dim=64", "trainer.max_epochs=1", "seed=0",
    "data.source.validation_size=100", "sampler=[prior,posterior,gaussian_full,gmm,kde]",
    "metric=[rate,marginal_kl,decomposition,kl,fid,copying]",
)  # fmt: skip
DIGITS = (
    "data=digits",
    "loss.alpha=20",
    "trainer.max_epochs=12",
    "sampler=[prior,gmm]",
    "metric=[rate,fid]",
    "seed=0",
)
TINY = (
    "-m", "data=digits", "model.latent_dim=2", "model.hidden=[4]", "trainer.max_epochs=1", "n_samples=80",
    "sampler=[prior,gaussian_full]", "metric=[rate,fid]", "reference.n_repeats=3", "seed=range(0,300)",
)  # fmt: skip
MILESTONES = (50, 100, 200, 290)
# the share that a worker may grow by between the first and the last
ALLOWED = 0.05


def priorgap(*words: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command."""
    command = [sys.executable, "-c", CODE, *words, "tracking=off"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def peak(*words: str, folder: Path, quiet: tuple[str, ...] = ("tracking=off",)) -> tuple[float, float]:
    """Run a command; return its peak resident memory (MiB; of its largest process), and its seconds."""
    script = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); print(resource.getrusage("
    )
    script += "resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done.returncode)"
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, sys.executable, "-c", CODE, *words, *quiet],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr[-500:]}")
    return int(done.stdout.splitlines()[-1]) / 1024, time.monotonic() - start


def resident(process: int) -> float:
    """Return a process's resident memory, MiB; 0 where it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * resource.getpagesize() / 2**20


def descendants(process: int) -> list[int]:
    """Return the processes that a process started, and that these started."""
    found = []
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            own = [int(child) for child in tasks.read_text().split()]
        except OSError:
            continue
        found += [*own, *(one for child in own for one in descendants(child))]
    return found


def over_models(folder: Path, study: str, *launcher: str) -> dict[int, tuple[float, float]]:
    """Return the resident memory of a sweep's command and of its largest worker (0 without) after so many models."""
    process = priorgap("run", *TINY, f"study={study}", *launcher, folder=folder)
    assert process.stderr is not None
    errors: list[str] = []
    threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True).start()
    cells = folder / "outputs" / study / "measure"
    found: dict[int, tuple[float, float]] = {}
    while process.poll() is None:
        n = len(os.listdir(cells)) if cells.is_dir() else 0
        for milestone in MILESTONES:
            if n >= milestone and milestone not in found:
                worker = max((resident(child) for child in descendants(process.pid)), default=0.0)
                found[milestone] = (resident(process.pid), worker)
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"sweep: {' '.join(errors[-5:])}")
    return found


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", default="main,latents,generate,sweep,inprocess")
    parser.add_argument("--n", type=int, default=1_000_000)
    given = parser.parse_args()
    parts = given.parts.split(",")
    print(processor())
    print("\n| command | peak, MiB | seconds |\n|---|---|---|")
    grown = False
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if "main" in parts:
            most, seconds = peak("run", *MAIN, "study=main", folder=folder)
            print(f"| the main job: one MNIST model, all defaults | {most:.0f} | {seconds:.0f} |", flush=True)
        if "latents" in parts:
            most, seconds = peak("run", *LATENTS, "study=latents", folder=folder)
            print(
                f"| 59,900 posteriors of 64 units: fits, bracket, copying | {most:.0f} | {seconds:.0f} |",
                flush=True,
            )
        if "generate" in parts:
            peak("run", *DIGITS, "study=digits", folder=folder)
            for kind in ("parquet", "npz"):
                words = ("generate", "study=digits", "sampler=gmm", f"n={given.n}", f"out=draws.{kind}")
                most, seconds = peak(*words, folder=folder, quiet=())
                size = (folder / f"draws.{kind}").stat().st_size / 2**20
                print(
                    f"| generate {given.n:,} digits, {size:.0f} MiB of {kind} | {most:.0f} | {seconds:.0f} |",
                    flush=True,
                )
        if "sweep" in parts:
            over = over_models(folder, "tiny", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1")
            for n, (command, worker) in over.items():
                print(
                    f"| a worker after {n} of 300 tiny models (its command: {command:.0f}) | {worker:.0f} | |"
                )
            (_, early), (_, late) = over[MILESTONES[0]], over[MILESTONES[-1]]
            grown = late > (1 + ALLOWED) * early
        if "inprocess" in parts:
            over = over_models(folder, "inprocess", "hydra/launcher=basic")
            for n, (command, _) in over.items():
                print(f"| the command after {n} of 300 tiny models in its own process | {command:.0f} | |")
    if "sweep" in parts:
        print(f"\n{'MISSED' if grown else 'PASS'}: the worker grows by at most {ALLOWED:.0%}")
    raise SystemExit(1 if grown else 0)


if __name__ == "__main__":
    main()

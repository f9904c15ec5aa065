"""Processor time of each command until it ends, of a finished study; and what of the heavy packages it imports.

    OMP_NUM_THREADS=1 python benchmarks/startup.py [--rounds 3]

Makes a tiny study in a folder of its own first. Prints a Markdown table, medians of the rounds, and the processor.
`python -X importtime -m priorgap COMMAND` says which imports take it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from priorgap.core.processor import processor

STUDY = (
    "-m", "data=digits", "study=tiny", "seed=0,1", "model.latent_dim=3", "model.hidden=[16]", "trainer.max_epochs=2",
    "n_samples=80", "metric=[rate,fid]", "reference.classifier.epochs=1", "reference.n_repeats=3", "tracking=off",
    "hydra/launcher=basic",
)  # fmt: skip
COMMANDS = (
    ("--help",), ("run", "--help"), ("ls",), ("gc", "study=tiny"), ("verify", "study=tiny"), ("plan", *STUDY),
    ("generate", "study=tiny", "sampler=gmm", "n=20"), ("prepare", *STUDY), ("encode", *STUDY), ("sample", *STUDY),
    ("measure", *STUDY), ("report", *STUDY), ("run", *STUDY),
)  # fmt: skip
HEAVY = (
    "torch",
    "hydra",
    "pandas",
    "scipy.stats",
    "sklearn",
    "matplotlib",
    "altair",
    "pytorch_lightning",
    "wandb",
)
CODE = f"""
import json, resource, sys
from priorgap.pipeline import cli
try:
    cli.main(sys.argv[1:])
except SystemExit:
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = [name for name in {HEAVY} if name in sys.modules]
    print("\\n" + json.dumps([used.ru_utime + used.ru_stime, found]))
"""


def once(words: tuple[str, ...], folder: Path) -> tuple[float, list[str]]:
    """Run a command; return its seconds and what it imported."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    seconds, found = json.loads(done.stdout.splitlines()[-1])
    return float(seconds), list(found)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once(("run", *STUDY), folder)
        print("| command | processor time, s | imports |\n|---|---|---|")
        for words in COMMANDS:
            times, found = [], []
            for i in range(args.rounds):
                # a new file, or a study that is not there yet
                extra = (f"out={i}.npz",) if words[0] == "generate" else ()
                seconds, found = once((*words, *extra), folder)
                times.append(seconds)
            shown = " ".join(words[: 2 if words[1:2] == ("--help",) else 1])
            print(f"| `priorgap {shown}` | {median(times):.2f} | {', '.join(found) or 'none of these'} |")
    print(processor())


if __name__ == "__main__":
    main()

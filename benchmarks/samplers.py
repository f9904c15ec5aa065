"""Fit time and peak memory of every sampler at n = 60,000 posteriors of 16 units, beside pythae's same ones.

    OMP_NUM_THREADS=1 python benchmarks/samplers.py [--n 60000] [--only gmm,flow] [--peer-python /env/bin/python]

Each sampler of conf/sampler is fitted in a process of its own; memory is what the process grew by at its peak. With
`--peer-python` (an environment of its own that has pythae 0.1.2; no dependency of this project) pythae's
GaussianMixtureSampler, MAFSampler, IAFSampler and TwoStageVAESampler are fitted to the same posteriors with their own
defaults but for the number of components (our largest candidate) and of epochs: both sides' epochs are printed, and
the ratio is of seconds an epoch where there are epochs, of the whole fit otherwise. pythae's fit encodes the data
first; here its encoder is a table look-up.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from priorgap.core.build import build, configuration_directory, load_option
from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.samplers import (
    ExPostMixture,
    FitInputs,
    FlowSampler,
    Sampler,
    SamplerNotApplicable,
    TwoStage,
)

DIM, CLASSES = 16, 10
# pythae's samplers; those of none of our classes are shown without a ratio
PEERS = ("GaussianMixtureSampler", "MAFSampler", "IAFSampler", "TwoStageVAESampler")


def peer_of(name: str) -> str | None:
    """Return pythae's sampler of the same distribution as one of conf/sampler."""
    sampler: Sampler = build(load_option("sampler", name), Sampler, where=name)
    match sampler:
        case ExPostMixture():
            return "GaussianMixtureSampler"
        case FlowSampler(kind="maf"):
            return "MAFSampler"
        case TwoStage():
            return "TwoStageVAESampler"
    return None


def posteriors(n: int, name: str) -> Latents:
    """Ten clusters of correlated means, with spreads of their own."""
    g = stream(0, "clusters")
    centre = 2 * torch.randn(CLASSES, DIM, generator=g)
    mixing = torch.randn(CLASSES, DIM, DIM, generator=g) * 0.15
    h = stream(0, name)
    label = torch.randint(0, CLASSES, (n,), generator=h)
    noise = torch.randn(n, DIM, generator=h)
    mean = centre[label] + torch.einsum("nij,nj->ni", mixing[label], noise)
    return Latents(mean, -3 + 0.3 * torch.randn(n, DIM, generator=h), label)


def peak() -> float:
    """Return the peak memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit_one(name: str, n: int) -> dict[str, object]:
    """Fit one sampler; return CPU seconds and the growth of the peak memory."""
    torch.set_num_threads(1)
    node = load_option("sampler", name)
    sampler: Sampler = build(node, Sampler, where=name)
    inputs = FitInputs(posteriors(n, "train"), posteriors(n // 6, "validation"))
    before, start = peak(), time.process_time()
    try:
        sampler.fit(inputs, generator=stream(1, name))
        skipped = None
    except SamplerNotApplicable as reason:
        skipped = str(reason)
    seconds = time.process_time() - start
    rows = min(node.get("n_fit", n), n * node.get("draws_per_image", 1))
    epochs = node.get("epochs")
    if "steps" in node:
        epochs = -(-node["steps"] // -(-n // node["batch_size"]))
    return {"seconds": seconds, "mb": peak() - before, "epochs": epochs, "rows": rows, "skipped": skipped}


def peers(python: str, n: int, epochs: int) -> dict[str, dict[str, float]]:
    """Fit pythae's samplers in its own environment, each in a process of its own."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "posteriors.pt"
        train, validation = posteriors(n, "train"), posteriors(n // 6, "validation")
        torch.save([train.mean, train.log_var, validation.mean, validation.log_var], table)
        script = Path(__file__).with_name("peer_pythae.py")
        for name in PEERS:
            command = [python, str(script), name, str(table), str(epochs), folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                said = " ".join(done.stderr.strip().splitlines()[-1:]).replace("|", "\\|")
                print(f"| pythae {name} | | | | failed: {said} | |")
                continue
            found[name] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Print a line a sampler, then the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=60_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--peer-python")
    parser.add_argument("--peer-epochs", type=int, default=2)
    parser.add_argument("--one")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(fit_one(given.one, given.n)))
        return
    names = sorted(p.stem for p in (configuration_directory() / "sampler").glob("*.yaml"))
    names = given.only.split(",") if given.only else names
    ours = {}
    print(f"n = {given.n}, d = {DIM}, one thread; the ratio is of seconds an epoch where there are epochs\n")
    print(
        "| sampler | CPU s | MB | epochs | not run | pythae's seconds over ours |\n|---|---|---|---|---|---|"
    )
    for name in names:
        command = [sys.executable, __file__, "--one", name, "--n", str(given.n)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        one = ours[name] = json.loads(done.stdout.strip().splitlines()[-1])
        epochs = "" if one["epochs"] is None else one["epochs"]
        skipped = (one["skipped"] or "").replace("|", "\\|")
        print(f"| {name} | {one['seconds']:.2f} | {one['mb']:.0f} | {epochs} | {skipped} | |", flush=True)
    if given.peer_python:
        for name, peer in peers(given.peer_python, given.n, given.peer_epochs).items():
            epochs = peer["epochs"] or ""
            own = next((k for k in ours if peer_of(k) == name), None)
            ratio = ""
            if own is not None:
                each = [one["seconds"] / (one["epochs"] or 1) for one in (peer, ours[own])]
                ratio = f"{each[0] / each[1]:.2f} ({own})"
            print(
                f"| pythae {name} | {peer['seconds']:.2f} | {peer['mb']:.0f} | {epochs} | | {ratio} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

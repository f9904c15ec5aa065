"""How often each kind of copying is labelled, and how often honest draws are: metric and rule on real images.

    OMP_NUM_THREADS=1 PRIORGAP_DATA=DIR python benchmarks/copying_labels.py [--data digits|mnist] [--repeats 100]
        [--honest 200] [--n 10000]

Each repetition splits the pool anew into training, validation, test and unseen images, and makes n draws: unseen
images (with noise of .02 where they must repeat), the same blurred, and the same with a share of training images
that are exact, noisy (1/255, .05), moved by a pixel, mirrored, or at .8 of their brightness. Labels are those of
`copy_shares` with the settings of conf/metric and of `copying_label`. *The decoder memorises* is asked of unseen
images by 3, 5 and 10 seeds that share a split. A rate passes when the exact one-sided 99.9 % binomial limit does
not exclude its bound: copies at 5 % exact (or by 1/255) or 20 % changed in .95 or more, honest draws in .025 or
less, memorises in .05 or less.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from priorgap.comparison.user_inputs import metric_of
from priorgap.core.latents import LatentDraw
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.data.digits import Digits
from priorgap.data.images import TorchvisionImages
from priorgap.data.splits import Split
from priorgap.estimators.copying import train_share
from priorgap.estimators.neighbour_index import NeighbourIndex
from priorgap.features.maps import PixelFeatures
from priorgap.metrics.evidence import ModelEvidence
from priorgap.metrics.protocols import measured
from priorgap.metrics.reference import Reference
from priorgap.modalities.images import quantise
from priorgap.verdict.copying_label import copying_label

SIZES = {"digits": (1000, 200, 200), "mnist": (50_000, 5000, 5000)}
HONEST, FOUND, MEMORISES = 0.025, 0.95, 0.05
Change = Callable[[Tensor, torch.Generator], Tensor]
HEAD = {"study": "s", "cell": "c", "sampler": "x", "role": "candidate"}


def noisy(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return images with noise of .05."""
    return x + 0.05 * torch.randn(x.shape, generator=generator)


def moved(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return images moved by one pixel, zeros moved in."""
    return functional.pad(x, (1, 0, 0, 0))[..., : x.shape[-1]]


KINDS: dict[str, tuple[float, Change | None]] = {
    "exact, 1 %": (0.01, lambda x, g: x),
    "exact, 5 %": (0.05, lambda x, g: x),
    "exact, 20 %": (0.2, lambda x, g: x),
    "exact, 100 %": (1.0, lambda x, g: x),
    "noise of a grey level, 5 %": (0.05, lambda x, g: x + torch.rand(x.shape, generator=g) / 255),
    "noise .05, 20 %": (0.2, noisy),
    "shift, 20 %": (0.2, moved),
    "mirrored, 20 %": (0.2, lambda x, g: x.flip(3)),
    "brightness .8, 20 %": (0.2, lambda x, g: 0.8 * x),
}


def pool_of(name: str) -> Tensor:
    """Return all images of a data set, uint8, each once."""
    if name == "digits":
        data = Digits().load(root=Path(), download=False)
    else:
        source = TorchvisionImages("mnist", validation_size=5000, split_seed=0)
        data = source.load(root=Path(os.environ["PRIORGAP_DATA"]), download=False)
    return torch.cat([data.train.x, data.validation.x, data.test.x]).unique(dim=0)


def split(pool: Tensor, name: str, repeat: int) -> tuple[Reference, Tensor]:
    """Return a new split as a reference, and the images that are in none of its parts."""
    order = torch.randperm(len(pool), generator=stream(0, name, repeat))
    *parts, unseen = pool[order].tensor_split(torch.tensor(SIZES[name]).cumsum(0).tolist())
    nothing = torch.zeros(2, 1)
    return Reference(*(Split(x) for x in parts), PixelFeatures(), nothing, nothing), unseen.float() / 255


def honest(unseen: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n unseen images; with a little noise where they must repeat."""
    rows = torch.randint(len(unseen), (n,), generator=generator)
    if n <= len(unseen):
        return unseen[torch.randperm(len(unseen), generator=generator)[:n]]
    return unseen[rows] + 0.02 * torch.randn(n, *unseen.shape[1:], generator=generator)


def label_of(reference: Reference, images: Tensor) -> str | None:
    """Return the label of a sampler that returns these images."""
    stored = quantise(images).float() / 255
    model = ModelEvidence(decode=lambda z, label: stored[z[:, 0].long()], reference=reference)
    draw = LatentDraw(torch.arange(len(images))[:, None].double())
    rows = metric_of("copy_shares").measure(model.of("x", "candidate", draw), generator=stream(0))
    return copying_label(table([rows]), "x", 0.95)


def table(models: list[list[Measurement]]) -> pd.DataFrame:
    """Return the rows of some models of one cell."""
    rows = [{**HEAD, "model": str(s), "seed": s, **row.to_json()} for s, m in enumerate(models) for row in m]
    return pd.DataFrame(rows)


def memorises(reference: Reference, unseen: Tensor, n_seeds: int, generator: torch.Generator) -> bool:
    """Return whether the decoder is said to memorise where every seed returns unseen images."""
    train, held = (part.floats().flatten(1) for part in (reference.train, reference.validation))
    index = NeighbourIndex.of(train[torch.randperm(len(train), generator=generator)[: len(held)]])
    models = []
    for _ in range(n_seeds):
        queries = honest(unseen, min(2000, len(unseen) // 2), generator).flatten(1)
        (a, i), (b, j) = index.nearest(queries), index.over(held).nearest(queries)
        nearest = torch.where(a <= b, i, len(held) + j)
        share = train_share(a, b, nearest=nearest, n_images=2 * len(held))
        models.append([measured("train_share", share, n=len(queries), space="pixels")])
    return copying_label(table(models), "x", 0.95) is not None


def said(name: str, hits: int, n: int, bound: float | None, *, at_least: bool) -> bool:
    """Print a rate and whether it is allowed."""
    if bound is None:
        print(f"| {name} | {hits / n:.3f} | {n} | reported | |", flush=True)
        return True
    # the chance of so extreme a count where the rate is exactly its bound
    chance = stats.binom.cdf(hits, n, bound) if at_least else stats.binom.sf(hits - 1, n, bound)
    holds = bool(chance >= 0.001)
    sign = "≥" if at_least else "≤"
    print(f"| {name} | {hits / n:.3f} | {n} | {sign} {bound:g} | {'PASS' if holds else 'FAIL'} |", flush=True)
    return holds


def main() -> int:
    """Print all rates and return the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--data", choices=sorted(SIZES), default="digits")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--honest", type=int, default=200)
    parser.add_argument("--n", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool, started, passed = pool_of(options.data), time.process_time(), True
    print(f"{options.data}, {options.n} draws\n")
    print("| draws | labelled copies | repetitions | bound | |\n|---|---|---|---|---|")
    counts = dict.fromkeys(["unseen images", "blurred", *KINDS], 0)
    for repeat in range(max(options.repeats, options.honest)):
        reference, unseen = split(pool, options.data, repeat)
        generator = stream(1, options.data, repeat)
        clean = honest(unseen, options.n, generator)
        if repeat < options.honest:
            counts["unseen images"] += label_of(reference, clean) is not None
            blurred = functional.avg_pool2d(clean, 3, 1, 1)
            counts["blurred"] += label_of(reference, blurred) is not None
        for name, (share, change) in KINDS.items() if repeat < options.repeats else ():
            k = int(share * options.n)
            rows = torch.randint(len(reference.train), (k,), generator=generator)
            assert change is not None
            mixed = torch.cat([change(reference.train.floats()[rows], generator), clean[k:]])
            order = torch.randperm(len(mixed), generator=generator)
            counts[name] += label_of(reference, mixed[order]) == "copies"
    for name in ("unseen images", "blurred"):
        passed &= said(name, counts[name], options.honest, HONEST, at_least=False)
    for name in KINDS:
        bound = None if name == "exact, 1 %" else FOUND
        passed &= said(name, counts[name], options.repeats, bound, at_least=True)
    for n_seeds in (3, 5, 10):
        hits = 0
        for repeat in range(options.honest):
            reference, unseen = split(pool, options.data, repeat)
            hits += memorises(reference, unseen, n_seeds, stream(2, n_seeds, repeat))
        passed &= said(f"memorises, {n_seeds} seeds", hits, options.honest, MEMORISES, at_least=False)
    print(f"\n{time.process_time() - started:.0f} CPU seconds; {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

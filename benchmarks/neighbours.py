"""Nearest training images: the index with its PCA bound beside products with every image, on MNIST.

    OMP_NUM_THREADS=1 PRIORGAP_DATA=DIR python benchmarks/neighbours.py [--n 2000] [--rounds 3]

Queries: test images, the same blurred, test images with noise, and training images with their own row left out.
Times are CPU seconds, the least of the rounds; "built" is what the index costs once a data set. Prints the ratio of
both searches and whether distances are equal bit for bit; exits 1 where one differs, or where the ratio of all
queries but those with noise, the building counted once, is below 2. Of images with noise the directions say
little: they cost what the products cost.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from priorgap.core.random import stream
from priorgap.data.images import TorchvisionImages
from priorgap.estimators.copying import nearest_distance
from priorgap.estimators.neighbour_index import NeighbourIndex

T = TypeVar("T")


def timed(work: Callable[[], T], rounds: int) -> tuple[T, float]:
    """Return what the work gives, and the least CPU seconds it took."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        found = work()
        seconds.append(time.process_time() - start)
    return found, min(seconds)


def queries_of(train: Tensor, test: Tensor) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return the kinds of queries, each with the rows that are left out."""
    n, side = len(test), 28
    blurred = torch.nn.functional.avg_pool2d(test.view(n, 1, side, side), 3, 1, 1).flatten(1)
    noisy = test + 0.2 * torch.randn(test.shape, generator=stream(0, "noise"))
    return {
        "test images": (test, None),
        "blurred": (blurred, None),
        "with noise of .2": (noisy, None),
        "training images, own row left out": (train[:n], torch.arange(n)),
    }


def main() -> int:
    """Time both and return the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = TorchvisionImages("mnist", validation_size=5000, split_seed=0)
    mnist = source.load(root=Path(os.environ["PRIORGAP_DATA"]), download=False)
    train, test = (part.floats().flatten(1) for part in (mnist.train, mnist.test))
    index, built = timed(lambda: NeighbourIndex.of(train), options.rounds)
    print(f"{options.n} queries, {len(train)} images of {train.shape[1]} pixels; built in {built:.2f} s\n")
    print("| queries | index, s | products, s | ratio | equal bits |\n|---|---|---|---|---|")
    ours, theirs, equal = built, 0.0, True
    for name, (rows, left_out) in queries_of(train, test[: options.n]).items():
        found, fast = timed(lambda r=rows, e=left_out: index.nearest(r, exclude=e)[0], options.rounds)
        expected, slow = timed(
            lambda r=rows, e=left_out: nearest_distance(r, train, exclude=e)[0], options.rounds
        )
        same = torch.equal(found, expected)
        print(f"| {name} | {fast:.2f} | {slow:.2f} | {slow / fast:.2f} | {'yes' if same else 'no'} |")
        equal &= same
        if "noise" not in name:
            ours, theirs = ours + fast, theirs + slow
    passed = equal and theirs / ours >= 2
    print(f"\nall but those with noise, building counted once: {theirs / ours:.2f} times as fast")
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

"""Training many small VAEs as one program (`training.batched`) beside training them one after the other.

    OMP_NUM_THREADS=1 python benchmarks/batched.py [--members 16] [--epochs 6]

CPU seconds a model of both, in turns, one thread, on the embedded digits with the default network and with a small
one, and on random images of the size of MNIST with the default network; checks that a member has the bits that it has
alone in the program, and that Lightning's model is the same within rounding. Exits 1 where they are not.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from priorgap.core.build import build, load_option
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, DataSource, Split
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP
from priorgap.models.vae import build_vae
from priorgap.training import BatchedTrainerConfig, TrainerConfig, TrainResult
from priorgap.training.batched import Member, train_batched
from priorgap.training.batched.numerics import environment
from priorgap.training.fit import train_vae


def digits() -> Dataset:
    """Return the embedded data set, split as conf/ says."""
    source: DataSource = build(load_option("data", "digits")["source"], DataSource, where="data.source")
    return source.load(root=Path("data"), download=False)


def like_mnist(n: int = 2_000) -> Dataset:
    """Return random images of 28 x 28: the time of a step does not depend on what they show."""
    x = (255 * torch.rand(n + 200, 1, 28, 28, generator=stream(0, "images"))).to(torch.uint8)
    split = Split(x)
    parts = (split.take(slice(*edges)) for edges in ((0, n), (n, n + 100), (n + 100, n + 200)))
    return Dataset("random 28 x 28", *parts)


def member(k: int, sizes: MLP, data: Dataset) -> Member:
    """Return model k of a sweep over alpha and seed."""
    vae = build_vae(sizes, Bernoulli(), None, data.shape, generator=stream(k, "weights"))
    return Member(vae, ElboLoss(alpha=10.0 ** (k % 3)), seed=k, learning_rate=1e-3)


def alone(one: Member, data: Dataset, trainer: TrainerConfig) -> TrainResult:
    """Train one model as the pipeline does."""
    with tempfile.TemporaryDirectory() as directory:
        return train_vae(
            one.vae, data, one.loss, trainer, seed=one.seed, directory=Path(directory), progress=False
        )


def distance(a: object, b: object) -> float:
    """Return the distance of two results' weights, relative to the second's."""
    assert isinstance(a, TrainResult)
    assert isinstance(b, TrainResult)
    first, second = (torch.cat([p.detach().flatten() for p in r.vae.parameters()]) for r in (a, b))
    return float((first - second).norm() / second.norm())


def main() -> int:
    """Run the comparison and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    # before the first product: MKL reads it there
    os.environ.update(environment())
    torch.set_num_threads(1)
    plain = TrainerConfig(max_epochs=options.epochs, accelerator="cpu")
    trainer = BatchedTrainerConfig(max_epochs=options.epochs)
    n, equal = options.members, True
    print(
        f"{n} models, {options.epochs} epochs, batch {trainer.batch_size}; CPU seconds a model, medians of 3 rounds"
    )
    print("\n| network | alone | in a batch | ratio |\n|---|---|---|---|")
    for name, data, sizes in (
        ("digits, 64-512-256-16 (default)", digits(), MLP()),
        ("digits, 64-64-8", digits(), MLP(8, (64,))),
        ("28 x 28, 784-512-256-16 (default)", like_mnist(), MLP()),
    ):
        singles, batches = [], []
        for _ in range(3):
            start = time.process_time()
            one_by_one = [alone(member(k, sizes, data), data, plain) for k in range(min(n, 4))]
            singles.append((time.process_time() - start) / len(one_by_one))
            start = time.process_time()
            together = train_batched([member(k, sizes, data) for k in range(n)], data, trainer)
            batches.append((time.process_time() - start) / n)
        for k, theirs in enumerate(one_by_one):
            (own,) = train_batched([member(k, sizes, data)], data, trainer)
            equal &= distance(together[k], own) == 0 and distance(together[k], theirs) < 1e-3
        single, batch = sorted(singles)[1], sorted(batches)[1]
        print(f"| {name} | {single:.3f} | {batch:.3f} | {single / batch:.2f} |")
    print(
        f"\nthe bits of a batch of one, and Lightning's model within rounding: {'PASS' if equal else 'FAIL'}"
    )
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())

"""What torch.compile gives a training step: milliseconds eager and compiled, and after how many steps it pays.

    OMP_NUM_THREADS=1 python benchmarks/compiled.py [--networks MNIST-MLP,...] [--rounds 5] [--epochs 12]

The step is the default one on one thread: batch 128, Bernoulli pixels, random images, the ELBO's value and
gradient, the fused Adam; no Lightning around it, which costs the same on both sides. Compiled is what stands before
Adam: networks, draw, loss and gradient as one program of inductor, which needs a C++ compiler. Each row has a
process of its own, whose two sides take turns, a block of steps each; medians of the blocks. Compiling is the CPU
time of the first step, the compiler's processes and its imports included: in an empty cache, and in a second
process that finds the first one's. A third process says how far both gradients lie from float64's.

It pays after compiling / (eager - compiled) steps. The last column is what a whole training of so many epochs would
save, compiling (found in the cache of an earlier one) included: less than nothing where it costs more. An option of
the product would have to save 10 %. Exits 0: nothing here must hold.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from priorgap.core.bf16 import bf16
from priorgap.core.random import stream
from priorgap.data.splits import as_float
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.losses import objective
from priorgap.models.networks import MLP, Architecture, Conv
from priorgap.models.vae import VAE, build_vae
from priorgap.pipeline.memory import keep_freed_blocks

BATCH = 128


@dataclass(frozen=True)
class Case:
    """A network with its images.

    Attributes:
        shape: of one image.
        architecture: of the network.
        n_train: training images of the data set, which say how many steps an epoch has.
        block: steps a block, fewer the longer they take.
    """

    shape: tuple[int, ...]
    architecture: Architecture
    n_train: int
    block: int


CASES = {
    "digits-MLP": Case((1, 8, 8), MLP(), 1_079, 100),
    "MNIST-MLP": Case((1, 28, 28), MLP(), 55_000, 30),
    "digits-Conv": Case((1, 8, 8), Conv(), 1_079, 40),
    "MNIST-Conv": Case((1, 28, 28), Conv(), 55_000, 8),
}
PRECISIONS = ("float32", "bf16")


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def model_of(case: Case) -> VAE:
    """Return the untrained network."""
    return build_vae(case.architecture, Bernoulli(), None, case.shape, generator=stream(0, "weights"))


def loss_of(vae: VAE) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss as a function of images and noise."""
    return lambda x, noise: objective(vae.terms(x, noise), 1.0, 1.0)


class Side:
    """One way to train, its own network and optimiser.

    Args:
        case: the network.
        precision: of its products.
        compiled: whether the loss is compiled.
    """

    def __init__(self, case: Case, precision: str, *, compiled: bool) -> None:
        self._vae = model_of(case).train()
        loss = loss_of(self._vae)
        self._loss = torch.compile(loss) if compiled else loss
        self._half = precision == "bf16"
        self._optimizer = torch.optim.Adam(self._vae.parameters(), lr=1e-3, fused=True)
        self._noise = stream(0, "noise")

    def gradient(self, images: Tensor) -> None:
        """Set the gradient of the loss of a batch."""
        noise = torch.randn(len(images), self._vae.latent_dim, generator=self._noise)
        with bf16(self._vae.encoder, self._vae.decoder) if self._half else nullcontext():
            value = self._loss(as_float(images), noise)
        self._optimizer.zero_grad()
        value.backward()

    def steps(self, images: Tensor) -> float:
        """Take a step for each batch of the images; return CPU seconds."""
        start = cpu_seconds()
        for batch in images.split(BATCH):
            self.gradient(batch)
            self._optimizer.step()
        return cpu_seconds() - start

    def error(self, images: Tensor, exact: Tensor) -> float:
        """Return the relative error (Frobenius) of the gradient of a batch, against another."""
        self.gradient(images)
        found = torch.cat([p.grad.double().flatten() for p in self._vae.parameters() if p.grad is not None])
        return float((found - exact).norm() / exact.norm())


def exact_gradient(case: Case, images: Tensor) -> Tensor:
    """Return the gradient of a batch in float64."""
    vae = model_of(case).train()
    noise = torch.randn(len(images), vae.latent_dim, generator=stream(0, "noise")).double()
    vae.double()
    loss_of(vae)(as_float(images).double(), noise).backward()
    return torch.cat([p.grad.flatten() for p in vae.parameters() if p.grad is not None])


def images_of(case: Case, n_steps: int) -> Tensor:
    """Return random images, so many batches."""
    return torch.randint(0, 256, (BATCH * n_steps, *case.shape), generator=stream(0, "x")).to(torch.uint8)


def own_process(order: str) -> None:
    """Do one order and print what was found as JSON; the caches are the caller's."""
    torch.set_num_threads(1)
    keep_freed_blocks()
    task, name, precision, rounds = order.split(",")
    case = CASES[name]
    images = images_of(case, case.block)
    if task == "error":
        batch, exact = images[:BATCH], exact_gradient(case, images[:BATCH])
        errors = [Side(case, precision, compiled=compiled).error(batch, exact) for compiled in (False, True)]
        print(json.dumps(errors))
        return
    eager, compiled = (Side(case, precision, compiled=how) for how in (False, True))
    eager.steps(images[:BATCH])
    first = compiled.steps(images[:BATCH])
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(int(rounds)):
        for side, seconds in zip((eager, compiled), found, strict=True):
            seconds.append(side.steps(images) / case.block)
    print(json.dumps([first, *map(median, found)] if int(rounds) else [first]))


def asked(cache: str, *order: object) -> list[float]:
    """Give an order to a process of its own, with a cache of compiled programs; return what it found."""
    environment = {
        **os.environ,
        "TORCHINDUCTOR_CACHE_DIR": cache,
        # a pool of compilers is no child that this process waits for: its time would be missed
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    words = [sys.executable, __file__, "--order", ",".join(map(str, order))]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{order}: {done.stderr[-2000:]}")
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(name: str, precision: str, rounds: int, epochs: int) -> str:
    """Return a network's row in one precision."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as cache:
        cold, eager, compiled = asked(cache, "time", name, precision, rounds)
        (warm,) = asked(cache, "time", name, precision, 0)
        errors = asked(cache, "error", name, precision, 0)
    n_steps = epochs * -(-case.n_train // BATCH)
    gain = eager - compiled
    pays = [f"{seconds / gain:,.0f}" if gain > 0 else "never" for seconds in (cold, warm)]
    saved = (n_steps * gain - warm) / (n_steps * eager)
    return (
        f"| {name} | {precision} | {1e3 * eager:.2f} | {1e3 * compiled:.2f} | {eager / compiled:.2f} "
        f"| {errors[0]:.1e}, {errors[1]:.1e} | {cold:.1f} | {warm:.1f} | {pays[0]} | {pays[1]} "
        f"| {n_steps:,} | {100 * saved:.0f} % |"
    )


def main() -> None:
    """Print one row a network and precision."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--networks", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--order", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.order:
        own_process(given.order)
        return
    print(
        "| network | precision | eager, ms a step | compiled, ms | ratio | errors of the gradient, both "
        "| compiling, CPU s | found in a cache | pays after steps | from a cache "
        f"| steps of {given.epochs} epochs | saved of them |"
    )
    print("|---" * 12 + "|")
    for name in given.networks.split(","):
        for precision in PRECISIONS:
            print(row(name, precision, given.rounds, given.epochs), flush=True)


if __name__ == "__main__":
    main()

"""Many small models on a GPU: as one program, beside one model and beside one after the other with CUDA graphs.

    python benchmarks/gpu.py [--device cuda] [--models 64] [--steps 200]
    OMP_NUM_THREADS=1 python benchmarks/gpu.py --device cpu --models 4 --steps 20      (to try it)

One training step (forward, backward, Adam) of the default network on random images of MNIST's size that lie on the
device: `training.batched.stacking.Stack` as the batched program uses it, and the plain model. Milliseconds a step
of all models, medians of rounds in turns; on a GPU wall time between synchronisations, on a CPU CPU time. A CUDA
graph replays a step without its launches. The convolutional table is of one model: convolutions are not stacked.
Checks that the first model of the batch learned what it learns alone. Exits 1 where it did not, or the goal (at
most 3 times one model's time, on a GPU) is missed.
"""

import argparse
import math
import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median

import torch

from priorgap.core.bf16 import bf16
from priorgap.core.random import stream
from priorgap.data.splits import as_float
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.losses import LossTerms, objective
from priorgap.models.networks import MLP, Architecture, Conv
from priorgap.models.vae import VAE, build_vae
from priorgap.training.batched.stacking import Stack

SHAPE, ROWS, GOAL = (1, 28, 28), 20_000, 3.0
Step = Callable[[torch.Tensor, torch.Tensor], None]


def adam(groups: list, device: str) -> torch.optim.Optimizer:
    """Return what training uses; on a GPU in the form that a graph can hold."""
    return torch.optim.Adam(groups, lr=1e-3, fused=True, capturable=device == "cuda")


def model(number: int, device: str, architecture: Architecture) -> VAE:
    """Return an untrained model of its own seed."""
    made = build_vae(architecture, Bernoulli(), None, SHAPE, generator=stream(number, "weights"))
    return made.to(device)


def plain_step(vae: VAE, device: str, precision: str | None = None) -> Step:
    """Return the step of one model; x [b, ...], noise [b, d]."""
    optimizer = adam(list(vae.parameters()), device)

    def step(x: torch.Tensor, noise: torch.Tensor) -> None:
        with nullcontext() if precision is None else bf16(vae.encoder, vae.decoder):
            loss = objective(vae.terms(as_float(x), noise), 1.0, 1.0)
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()

    return step


def batched_step(vaes: list[VAE], device: str) -> tuple[Step, Stack]:
    """Return the step of all models as one program; x [k, b, ...], noise [k, b, d]."""
    stack = Stack([(vae.encoder, vae.decoder) for vae in vaes])
    optimizer = adam([{"params": views} for views in stack.views], device)
    likelihood, prior = vaes[0].likelihood, vaes[0].prior

    def step(x: torch.Tensor, noise: torch.Tensor) -> None:
        images = as_float(x)
        mean, log_var = stack.encode(images).chunk(2, dim=2)
        raw = stack.decode(mean + (0.5 * log_var).exp() * noise)
        rows = likelihood.reconstruction_loss(raw.flatten(0, 1), images.flatten(0, 1)).view(x.shape[:2])
        rate = prior.kl(mean, log_var)
        assert rate is not None
        stack.zero_grad()
        terms = [LossTerms(rows[k], rate[k]) for k in range(len(rows))]
        torch.stack([objective(t, 1.0, 1.0) for t in terms]).sum().backward()
        optimizer.step()

    return step, stack


def graphed(step: Step, x: torch.Tensor, noise: torch.Tensor) -> Step:
    """Return the step as a CUDA graph; three steps are taken to warm up."""
    images, draws = x.clone(), noise.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(images, draws)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(images, draws)

    def replay(x: torch.Tensor, noise: torch.Tensor) -> None:
        images.copy_(x)
        draws.copy_(noise)
        graph.replay()

    return replay


class Batches:
    """Random images on the device; each call gives the next batch of each model."""

    def __init__(self, device: str, batch: int, d: int) -> None:
        self._g = torch.Generator(device=device).manual_seed(0)
        self._x = torch.randint(0, 256, (ROWS, *SHAPE), generator=self._g, device=device).to(torch.uint8)
        self._batch, self._d, self._device = batch, d, device

    def of(self, *models: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x [*models, b, ...] and noise [*models, b, d]."""
        size = (*models, self._batch)
        rows = torch.randint(0, ROWS, size, generator=self._g, device=self._device)
        return self._x[rows], torch.randn(*size, self._d, generator=self._g, device=self._device)


def milliseconds(run: Callable[[], None], steps: int, device: str) -> float:
    """Return milliseconds a call."""
    if device == "cpu":
        start = time.process_time()
        for _ in range(steps):
            run()
        return 1e3 * (time.process_time() - start) / steps
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        run()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start) / steps


def table(title: str, runs: dict[str, Callable[[], None]], given: argparse.Namespace) -> dict[str, float]:
    """Print milliseconds a step of each program, medians of rounds in turns; return them."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        milliseconds(run, 3, given.device)
    for _ in range(given.rounds):
        for name, run in runs.items():
            found[name].append(milliseconds(run, given.steps, given.device))
    result = {name: median(times) for name, times in found.items()}
    print(f"{title}\n\n| program | ms a step |\n|---|---|")
    for name, value in result.items():
        print(f"| {name} | {value:.3f} |")
    print()
    return result


def fully_connected(given: argparse.Namespace) -> dict[str, float]:
    """Time the MLPs: one, a batch, one after the other."""
    n, device, sizes = given.models, given.device, MLP()
    batches = Batches(device, given.batch, sizes.latent_dim)
    one = plain_step(model(0, device, sizes), device)
    batch, _ = batched_step([model(k, device, sizes) for k in range(n)], device)
    singles = [plain_step(model(k, device, sizes), device) for k in range(n)]
    runs = {
        "one model": lambda: one(*batches.of()),
        f"batch of {n}": lambda: batch(*batches.of(n)),
        f"{n} in sequence": lambda: [step(*batches.of()) for step in singles],
    }
    if device == "cuda":
        own = graphed(plain_step(model(0, device, sizes), device), *batches.of())
        whole = graphed(batched_step([model(k, device, sizes) for k in range(n)], device)[0], *batches.of(n))
        each = [graphed(plain_step(model(k, device, sizes), device), *batches.of()) for k in range(n)]
        runs["one model, CUDA graph"] = lambda: own(*batches.of())
        runs[f"batch of {n}, CUDA graph"] = lambda: whole(*batches.of(n))
        runs[f"{n} in sequence, CUDA graphs"] = lambda: [step(*batches.of()) for step in each]
    return table(f"784-512-256-16, batch {given.batch}", runs, given)


def convolutional(given: argparse.Namespace) -> None:
    """Time one convolutional model."""
    device, sizes = given.device, Conv()
    batches = Batches(device, given.batch, sizes.latent_dim)
    steps = {name: plain_step(model(0, device, sizes), device, name) for name in (None, "bf16")}
    runs = {name or "float32": lambda step=step: step(*batches.of()) for name, step in steps.items()}
    if device == "cuda":
        for name in (None, "bf16"):
            own = graphed(plain_step(model(0, device, sizes), device, name), *batches.of())
            runs[f"{name or 'float32'}, CUDA graph"] = lambda step=own: step(*batches.of())
    table(f"convolutions 32, 64 and 256 wide, batch {given.batch}", runs, given)


def difference(given: argparse.Namespace) -> float:
    """Return how far the first of a batch is from the same model trained alone, relative, after a few steps."""
    sizes = MLP()
    batches, alone = Batches(given.device, given.batch, sizes.latent_dim), model(0, given.device, sizes)
    batch, stack = batched_step([model(k, given.device, sizes) for k in range(given.models)], given.device)
    step = plain_step(alone, given.device)
    for _ in range(5):
        x, noise = batches.of(given.models)
        batch(x, noise)
        step(x[0], noise[0])
    first = model(0, given.device, sizes)
    stack.store(0, first)
    pairs = list(zip(first.parameters(), alone.parameters(), strict=True))
    far = sum(float((a - b).detach().double().square().sum()) for a, b in pairs)
    return math.sqrt(far / sum(float(b.detach().double().square().sum()) for _, b in pairs))


def main() -> int:
    """Print the tables and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; try it with --device cpu --models 4 --steps 20")
    torch.set_num_threads(1)
    hardware = torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, {platform.machine()}"
    print(f"{hardware}; PyTorch {torch.__version__}, CUDA {torch.version.cuda}; {given.models} models\n")
    found = fully_connected(given)
    convolutional(given)
    far = difference(given)
    same = far < 1e-4
    print(
        f"the batch's first model and the same alone, 5 steps on: {far:.1e} apart: {'PASS' if same else 'FAIL'}"
    )
    graph = ", CUDA graph" if given.device == "cuda" else ""
    together = found[f"batch of {given.models}{graph}"]
    ratio = together / found[f"one model{graph}"]
    others = found[f"{given.models} in sequence{graph + 's' if graph else ''}"] / together
    print(f"batch over one model: {ratio:.2f}; in sequence over batch: {others:.2f}")
    if given.device == "cpu":
        return 0 if same else 1
    print(f"at most {GOAL:g} times one model's time: {'PASS' if ratio <= GOAL else 'FAIL'}")
    return 0 if same and ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())

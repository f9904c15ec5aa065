"""What GEMM precision and bfloat16 give on this machine: error of a product, time of a training step.

The second table, of default networks and sizes of images, is what `trainer.precision=auto` goes by
(`auto_precision` in conf/data and conf/model).

    OMP_NUM_THREADS=1 python benchmarks/precision.py [--steps 60] [--rounds 3]

The step is `train_vae`'s, one thread, 784-512-256-16, batch 128, random images; medians over rounds of all settings
in turns. Errors are relative, Frobenius norms, against float64; a setting off by more than `FP32_ERROR` is refused by
`priorgap run`.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP, Architecture, Conv
from priorgap.models.vae import build_vae
from priorgap.pipeline.memory import keep_freed_blocks
from priorgap.pipeline.precision import FP32_ERROR, bf16_seconds_ratio, gemm_error
from priorgap.training.fit import TrainerConfig, train_vae

SETTINGS = (("highest", None), ("high", None), ("medium", None), ("highest", "bf16"))


# with the share of --steps that each takes
NETWORKS: tuple[tuple[str, tuple[int, ...], Architecture, float], ...] = (
    ("digits", (1, 8, 8), MLP(), 1.0),
    ("MNIST", (1, 28, 28), MLP(), 1.0),
    ("emoji", (3, 64, 64), MLP(), 0.2),
    ("digits", (1, 8, 8), Conv(), 0.6),
    ("MNIST", (1, 28, 28), Conv(), 0.2),
    ("emoji", (3, 64, 64), Conv(), 0.05),
)


def random_images(shape: tuple[int, ...], n_steps: int) -> Dataset:
    """Return so many batches of random images, and few to validate on."""
    x = torch.randint(0, 256, (128 * n_steps + 100, *shape), generator=stream(0, "x")).to(torch.uint8)
    split = Split(x)
    held = split.take(slice(0, 50))
    return Dataset("random", split.take(slice(100, None)), held, held)


def step(data: Dataset, trainer: TrainerConfig, architecture: Architecture) -> float:
    """Return the CPU milliseconds of a training step, validation and checkpoint included."""
    vae = build_vae(architecture, Bernoulli(), None, data.shape, generator=stream(0, "weights"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        train_vae(vae, data, ElboLoss(), trainer, seed=0, directory=Path(folder), progress=False)
        seconds = time.process_time() - start
    return 1e3 * seconds / -(-len(data.train) // trainer.batch_size)


def main() -> None:
    """Print one line a setting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_blocks()
    data = random_images((1, 28, 28), given.steps)
    found: dict[tuple[str, str | None], list[float]] = {s: [] for s in SETTINGS}
    for _ in range(given.rounds + 1):
        for setting in SETTINGS:
            torch.set_float32_matmul_precision(setting[0])
            trainer = TrainerConfig(max_epochs=1, accelerator="cpu", precision=setting[1])
            found[setting].append(step(data, trainer, MLP()))
    print(f"bfloat16 product: {bf16_seconds_ratio('cpu'):.2f} times float32's time")
    print(
        "| matmul_precision | trainer.precision | error | fp32-accurate | ms a step | images a CPU-second |"
    )
    print("|---|---|---|---|---|---|")
    for (setting, precision), times in found.items():
        # the first round warms up
        median = sorted(times[1:])[len(times[1:]) // 2]
        error = gemm_error(setting, "cpu")
        print(
            f"| {setting} | {precision or '32-true'} | {error:.1e} | {'yes' if error <= FP32_ERROR else 'no'} "
            f"| {median:.2f} | {128e3 / median:.0f} |"
        )
    torch.set_float32_matmul_precision("highest")
    print("\n| images | network | float32, ms a step | bf16, ms a step | ratio |")
    print("|---|---|---|---|---|")
    for name, shape, network, share in NETWORKS:
        ours = random_images(shape, max(2, round(share * given.steps)))
        times = {precision: [] for precision in (None, "bf16")}
        for _ in range(given.rounds + 1):
            for precision, taken in times.items():
                trainer = TrainerConfig(max_epochs=1, accelerator="cpu", precision=precision)
                taken.append(step(ours, trainer, network))
        single, half = (sorted(taken[1:])[given.rounds // 2] for taken in times.values())
        size = " x ".join(map(str, shape[::-1][:2])) + (" in colour" if shape[0] == 3 else "")
        kind = type(network).__name__
        print(f"| {name}, {size} | {kind} | {single:.2f} | {half:.2f} | {single / half:.2f} |")


if __name__ == "__main__":
    main()

"""What GEMM precision and bfloat16 give on this machine: error of a product, time of a training step.

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
from priorgap.models.networks import MLP
from priorgap.models.vae import build_vae
from priorgap.pipeline.precision import FP32_ERROR, bf16_seconds_ratio, gemm_error
from priorgap.training.fit import TrainerConfig, train_vae

SETTINGS = (("highest", None), ("high", None), ("medium", None), ("highest", "bf16"))


def step(data: Dataset, trainer: TrainerConfig) -> float:
    """Return the CPU milliseconds of a training step, validation and checkpoint included."""
    vae = build_vae(MLP(), Bernoulli(), None, data.shape, generator=stream(0, "weights"))
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
    x = torch.randint(0, 256, (128 * given.steps + 100, 1, 28, 28), generator=stream(0, "x")).to(torch.uint8)
    split = Split(x)
    held = split.take(slice(0, 50))
    data = Dataset("random", split.take(slice(100, None)), held, held)
    found: dict[tuple[str, str | None], list[float]] = {s: [] for s in SETTINGS}
    for _ in range(given.rounds + 1):
        for setting in SETTINGS:
            torch.set_float32_matmul_precision(setting[0])
            trainer = TrainerConfig(max_epochs=1, accelerator="cpu", precision=setting[1])
            found[setting].append(step(data, trainer))
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
            f"| {setting} | {precision or 'null'} | {error:.1e} | {'yes' if error <= FP32_ERROR else 'no'} "
            f"| {median:.2f} | {128e3 / median:.0f} |"
        )


if __name__ == "__main__":
    main()

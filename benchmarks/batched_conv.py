"""Whether stacking pays for convolutions: K networks as grouped convolutions beside one after the other.

    OMP_NUM_THREADS=1 python benchmarks/batched_conv.py [--replicas 8] [--device cuda]

Stride-2 convolutions and their transposes as `models.networks.Conv` has them, forward and backward, batch 128: what
a batch of convolutional models would save is at most this. Milliseconds a model, medians of rounds in turns (CPU
seconds on a CPU); prints how far the outputs differ.
"""

import argparse
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from gpu import milliseconds
from priorgap.core.random import stream

BATCH = 128
WORLDS = {
    "digits, 1 x 8 x 8, channels 8, 16": (1, 8, (8, 16)),
    "digits, 1 x 8 x 8, channels 32, 64": (1, 8, (32, 64)),
    "1 x 28 x 28, channels 8, 16": (1, 28, (8, 16)),
    "1 x 28 x 28, channels 32, 64": (1, 28, (32, 64)),
}


def weights(channels: tuple[int, ...], name: str) -> list[Tensor]:
    """Return the kernels of the halving layers, then those of the transposes, [out, in, 4, 4] and [in, out, 4, 4]."""
    generator = stream(0, name)
    pairs = list(pairwise(channels))
    down = [0.1 * torch.randn(n_out, n_in, 4, 4, generator=generator) for n_in, n_out in pairs]
    up = [0.1 * torch.randn(n_out, n_in, 4, 4, generator=generator) for n_in, n_out in reversed(pairs)]
    return down + up


def run(x: Tensor, kernels: list[Tensor], groups: int) -> Tensor:
    """Halve and double again."""
    half = len(kernels) // 2
    for kernel in kernels[:half]:
        x = functional.conv2d(x, kernel, stride=2, padding=1, groups=groups).relu()
    for place, kernel in enumerate(kernels[half:]):
        x = functional.conv_transpose2d(x, kernel, stride=2, padding=1, groups=groups)
        x = x.relu() if place < half - 1 else x
    return x


def compare(
    shape: tuple[int, int, tuple[int, ...]], n: int, device: str, rounds: int
) -> tuple[float, float, float]:
    """Return milliseconds a model alone and stacked, and the largest difference of the outputs."""
    n_in, side, channels = shape
    images = [torch.rand(BATCH, n_in, side, side, generator=stream(k, "images")).to(device) for k in range(n)]
    own = [[w.to(device) for w in weights((n_in, *channels), f"network {k}")] for k in range(n)]
    stacked = [torch.cat(same).requires_grad_() for same in zip(*own, strict=True)]
    own = [[w.requires_grad_() for w in kernels] for kernels in own]
    together = torch.cat(images, 1)

    def one_by_one() -> None:
        for x, kernels in zip(images, own, strict=True):
            run(x, kernels, 1).square().mean().backward()

    def at_once() -> None:
        run(together, stacked, n).square().mean().backward()

    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for kept, task in zip(times, (one_by_one, at_once), strict=True):
            kept.append(milliseconds(task, 1, device) / n)
    with torch.no_grad():
        alone = torch.cat([run(x, kernels, 1) for x, kernels in zip(images, own, strict=True)], 1)
        difference = float((run(together, stacked, n) - alone).abs().max() / alone.abs().max())
    return median(times[0][1:]), median(times[1][1:]), difference


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--replicas", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{given.replicas} networks, batch {BATCH}, {given.device}: ms a network, forward and backward\n")
    print(
        "| images and channels | one by one | grouped | ratio | relative difference |\n|---|---|---|---|---|"
    )
    for name, shape in WORLDS.items():
        alone, stacked, difference = compare(shape, given.replicas, given.device, given.rounds)
        print(f"| {name} | {alone:.2f} | {stacked:.2f} | {alone / stacked:.2f} | {difference:.0e} |")


if __name__ == "__main__":
    main()

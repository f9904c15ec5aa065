"""Precision, recall, density, coverage: ours beside the `prdc` package, on the same features.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py [--n 5000] [--width 128] [--rounds 5]

Prints both results to 6 digits, the CPU time of each and their ratio (medians of rounds in turns); exits 1
unless all agree to 4 digits.
"""

import argparse
import contextlib
import io
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import fields

import torch
from prdc import compute_prdc

from priorgap.estimators.coverage import PRDC, precision_recall_density_coverage


def in_turns(rounds: int, *calls: Callable[[], object]) -> list[tuple[object, float]]:
    """Return the result of each call and the median of its CPU seconds; the calls take turns."""
    results: list[object] = [None] * len(calls)
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for i, call in enumerate(calls):
            start = time.process_time()
            results[i] = call()
            seconds[i].append(time.process_time() - start)
    return [(result, statistics.median(found)) for result, found in zip(results, seconds, strict=True)]


def peer_prdc(real: torch.Tensor, fake: torch.Tensor) -> dict[str, float]:
    """Return the peer's values; it returns distances in the dtype it is given, and float32 ones flip near ties."""
    with contextlib.redirect_stdout(io.StringIO()):
        return compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=5)


def worlds(n: int, width: int, generator: torch.Generator) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return (real, fake) sets: equal laws, a shifted and narrowed one, ReLU features with dead units."""

    def draw(scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
        return scale * torch.randn(n, width, generator=generator) + shift

    mix = torch.randn(width, width, generator=generator) / width**0.5
    return {
        "equal laws": (draw(), draw()),
        "shifted, narrower": (draw(), draw(0.9, 0.05)),
        "dead units": ((draw() @ mix - 1).relu(), (draw(0.95) @ mix - 1).relu()),
    }


def main() -> int:
    """Run the comparison and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    agree, seconds_ours, seconds_peer, seconds_alone = True, 0.0, 0.0, 0.0
    print(f"n = {options.n}, D = {options.width}, k = 5, one thread")
    print("\n| world | measure | ours | prdc | s.e. |\n|---|---|---|---|---|")
    for world, (real, fake) in worlds(options.n, options.width, generator).items():
        # the peer gives no standard errors: one block gives none either
        (result, ours), (_, alone), (expected, peer) = in_turns(
            options.rounds,
            lambda r=real, f=fake: precision_recall_density_coverage(r, f, generator=generator),
            lambda r=real, f=fake: precision_recall_density_coverage(r, f, generator=generator, n_blocks=1),
            lambda r=real, f=fake: peer_prdc(r, f),
        )
        seconds_ours, seconds_peer, seconds_alone = (
            seconds_ours + ours,
            seconds_peer + peer,
            seconds_alone + alone,
        )
        for name in (field.name for field in fields(PRDC)):
            estimate = getattr(result, name)
            agree &= abs(estimate.value - float(expected[name])) < 5e-5
            error = "-" if estimate.std_error is None else f"{estimate.std_error:.5f}"
            print(f"| {world} | {name} | {estimate.value:.6f} | {float(expected[name]):.6f} | {error} |")
    print("\n| ours | CPU s | prdc, CPU s | ratio |\n|---|---|---|---|")
    for kind, seconds in (("with standard errors", seconds_ours), ("without", seconds_alone)):
        print(f"| {kind} | {seconds:.2f} | {seconds_peer:.2f} | {seconds_peer / seconds:.1f} |")
    print("\nequal to 4 digits: " + ("PASS" if agree else "FAIL"))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())

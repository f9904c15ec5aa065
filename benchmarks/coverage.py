"""Precision, recall, density, coverage: ours beside the `prdc` package, on the same features.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py [--n 5000] [--width 128]

Prints both results to 6 digits, the CPU time of each and their ratio; exits 1 unless all agree to 4 digits.
"""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable

import torch
from prdc import compute_prdc

from priorgap.estimators.coverage import precision_recall_density_coverage

NAMES = ("precision", "recall", "density", "coverage")


def timed(call: Callable[[], object]) -> tuple[object, float]:
    """Return the result of a call and the CPU seconds it took."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


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
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    agree, seconds_ours, seconds_peer, seconds_alone = True, 0.0, 0.0, 0.0
    print(f"n = {options.n}, D = {options.width}, k = 5, one thread")
    print(f"{'world':20s} {'measure':10s} {'ours':>9s} {'prdc':>9s} {'s.e.':>8s}")
    for world, (real, fake) in worlds(options.n, options.width, generator).items():
        result, ours = timed(
            lambda r=real, f=fake: precision_recall_density_coverage(r, f, generator=generator)
        )
        # the peer gives no standard errors: one block gives none either
        _, alone = timed(
            lambda r=real, f=fake: precision_recall_density_coverage(r, f, generator=generator, n_blocks=1)
        )
        with contextlib.redirect_stdout(io.StringIO()):
            # the peer returns distances in the dtype it is given; float32 ones flip near ties
            arrays = real.double().numpy(), fake.double().numpy()
            expected, peer = timed(lambda x=arrays: compute_prdc(*x, nearest_k=5))
        seconds_ours, seconds_peer, seconds_alone = (
            seconds_ours + ours,
            seconds_peer + peer,
            seconds_alone + alone,
        )
        for name in NAMES:
            estimate = getattr(result, name)
            agree &= abs(estimate.value - float(expected[name])) < 5e-5
            error = "-" if estimate.std_error is None else f"{estimate.std_error:.5f}"
            print(f"{world:20s} {name:10s} {estimate.value:9.6f} {float(expected[name]):9.6f} {error:>8s}")
    print(f"CPU seconds: ours {seconds_ours:.2f} (with standard errors), prdc {seconds_peer:.2f}", end="")
    print(f", prdc / ours = {seconds_peer / seconds_ours:.1f}; ", end="")
    print(f"without standard errors {seconds_alone:.2f}, prdc / ours = {seconds_peer / seconds_alone:.1f}")
    print("equal to 4 digits: " + ("PASS" if agree else "FAIL"))
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())

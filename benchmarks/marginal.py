"""Per-unit marginal KL and the mixture's log-density: ours beside direct evaluations, in one run.

    OMP_NUM_THREADS=1 python benchmarks/marginal.py [--n 60000] [--units 16] [--queries 5000]

Marginal KL: the peer evaluates the exact one-dimensional mixture of n components at every point of a grid and
integrates (on fewer points than ours, and on a few units only; its time is scaled to all of them, which is exact:
the work is the same for each). Log-density: the peer broadcasts z - mean to [queries, n, d] in slices that fit the
given memory, and takes torch.logsumexp. Prints values, CPU times, ratios, and the peak of each one's own memory.
Exits 1 unless values agree (1e-3 nat), the ratios are at least 30 and 5, and our memory stays below 200 MB.
"""

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from priorgap.estimators.marginal import marginal_divergences
from priorgap.estimators.mixture import mixture_log_prob

GRID, HALF, PEER_UNITS, SLICE = 2048, 8.0, 2, 8
GOAL_MARGINAL, GOAL_MIXTURE, MEMORY_MB = 30.0, 5.0, 200.0


def timed(call: Callable[[], Tensor], repeats: int = 1) -> tuple[Tensor, float]:
    """Return a call's result and the least of its CPU times: what else runs only adds to a time."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        times.append(time.process_time() - start)
    return result, min(times)


def direct_marginal_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(q(z_j) || N(0, 1)) of each unit from the mixture's density at each grid point."""
    grid = torch.linspace(-HALF, HALF, GRID)
    step = float(grid[1] - grid[0])
    log_p = -0.5 * (grid.square() + math.log(2 * math.pi))
    found = []
    for m, v in zip(mean.T, log_var.T, strict=True):
        density = torch.cat(
            [
                (torch.exp(-0.5 * (x[:, None] - m).square() * torch.exp(-v) - 0.5 * v)).mean(1)
                for x in grid.split(16)
            ]
        ) / math.sqrt(2 * math.pi)
        found.append((density * (density.clamp_min(1e-30).log() - log_p)).sum() * step)
    return torch.stack(found)


def broadcast_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Return the mixture's log-density from all differences, a slice of z at a time."""
    constant = 0.5 * mean.shape[1] * math.log(2 * math.pi) + math.log(len(mean))
    parts = []
    for rows in z.split(SLICE):
        terms = (rows[:, None] - mean).square() * torch.exp(-log_var) + log_var
        parts.append(torch.logsumexp(-0.5 * terms.sum(2), 1))
    return torch.cat(parts) - constant


def peak_mb() -> float:
    """Return the most memory that this process has held so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Run both comparisons and return the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--n", type=int, default=60_000)
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--queries", type=int, default=5000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    mean = 0.9 * torch.randn(options.n, options.units, generator=generator)
    log_var = -1.6 + 0.3 * torch.randn(options.n, options.units, generator=generator)
    z = torch.randn(options.queries, options.units, generator=generator)
    few = z[: max(SLICE, 100)]
    print(f"{options.n} posteriors, {options.units} units; CPU seconds\n")
    print("| task | ours | peer | ratio | goal | largest difference, nat | our memory, MB |")
    print("|---|---|---|---|---|---|---|")
    # ours first: the peak of memory only rises
    mixture_log_prob(z[:1], mean[:1], log_var[:1])
    before = peak_mb()
    density, ours = timed(lambda: mixture_log_prob(z, mean, log_var), 3)
    memory = peak_mb() - before
    kl, ours_kl = timed(lambda: marginal_divergences(mean, log_var).kl, 3)
    memory_kl = peak_mb() - before
    peer_kl, peer_seconds = timed(lambda: direct_marginal_kl(mean[:, :PEER_UNITS], log_var[:, :PEER_UNITS]))
    peer_seconds *= options.units / PEER_UNITS
    gap_kl = float((kl[:PEER_UNITS] - peer_kl).abs().max())
    ratio_kl = peer_seconds / ours_kl
    rows = [("marginal KL, all units", ours_kl, peer_seconds, ratio_kl, GOAL_MARGINAL, gap_kl, memory_kl)]
    peer, peer_seconds = timed(lambda: broadcast_log_prob(few, mean, log_var))
    peer_seconds *= options.queries / len(few)
    gap = float((density[: len(few)] - peer).abs().max())
    ratio = peer_seconds / ours
    rows.append((f"log-density, {options.queries} z", ours, peer_seconds, ratio, GOAL_MIXTURE, gap, memory))
    for name, own, other, share, goal, difference, held in rows:
        print(
            f"| {name} | {own:.2f} | {other:.2f} | {share:.1f} | {goal:.0f} | {difference:.1e} | {held:.0f} |"
        )
    passed = all(row[3] >= row[4] and row[5] <= 1e-3 and row[6] <= MEMORY_MB for row in rows)
    print("\n" + ("PASS" if passed else "FAIL"))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

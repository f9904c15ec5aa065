"""EM for full-covariance Gaussian mixtures: scikit-learn's against the library's, which is matrix products.

    OMP_NUM_THREADS=1 python benchmarks/gmm_em.py [--n 60000] [--dims 16]

Both start from the same clusters and do the same number of steps on the same draws.
Prints CPU seconds a step, their ratio, and the difference of the mean log-likelihoods; exits 1 if the fits differ.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable

import torch
from sklearn.mixture import GaussianMixture as ScikitMixture
from torch import Tensor

from priorgap.core.random import stream
from priorgap.densities import FittedMixture
from priorgap.densities.em import expectation_maximisation
from priorgap.densities.mixture import _start

STEPS, RIDGE = 10, 1e-6


def draws(n: int, d: int, k: int) -> Tensor:
    """Draw from a mixture of k overlapping components."""
    g = stream(0, "gmm_em", d, k)
    mean = 1.5 * torch.randn(k, d, generator=g, dtype=torch.float64)
    factor = 0.5 * torch.randn(k, d, d, generator=g, dtype=torch.float64) / d**0.5
    cov = factor @ factor.mT + 0.2 * torch.eye(d, dtype=torch.float64)
    weight = torch.full((k,), 1 / k, dtype=torch.float64)
    return FittedMixture(weight, mean, cov).draw(n, generator=g).double()


def library_em(
    z: Tensor, weight: Tensor, mean: Tensor, cov: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the library's EM from a start."""
    return expectation_maximisation(z, weight, mean, cov, max_iter=steps, tolerance=0.0, ridge=RIDGE)


def scikit_em(
    z: Tensor, weight: Tensor, mean: Tensor, cov: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Run scikit-learn's EM from the same start; it evaluates once more than it steps."""
    model = ScikitMixture(
        len(weight), tol=0.0, max_iter=steps, reg_covar=RIDGE, weights_init=weight.numpy(),
        means_init=mean.numpy(), precisions_init=torch.linalg.inv(cov).numpy(), random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # `fit` starts by k-means unless it is told not to, whatever the given start
        model.set_params(init_params="random_from_data").fit(z.numpy())
    return tuple(torch.from_numpy(a) for a in (model.weights_, model.means_, model.covariances_))


def seconds(run: Callable[..., tuple[Tensor, ...]], *arguments: object) -> tuple[float, tuple[Tensor, ...]]:
    """Return the CPU seconds of a call and its result."""
    start = time.process_time()
    result = run(*arguments)
    return time.process_time() - start, result


def compare(n: int, d: int, k: int) -> bool:
    """Print one line; return whether the fits are the same."""
    z = draws(n, d, k)
    z = (z - z.mean(0)) / z.std(0)
    cluster = torch.cdist(z, z[:k]).argmin(1).numpy()
    start = tuple(torch.from_numpy(a) for a in _start(z.numpy(), cluster, k, RIDGE))
    slow, theirs = seconds(scikit_em, z, *start, STEPS)
    fast, ours = seconds(library_em, z, *start, STEPS)
    scores = [float(FittedMixture(*found).log_prob(z).mean()) for found in (theirs, ours)]
    times = f"{slow / STEPS:.3f} | {fast / STEPS:.3f} | {slow / fast:.2f}"
    print(f"| {d} | {k} | {times} | {scores[1] - scores[0]:.2e} |", flush=True)
    return abs(scores[1] - scores[0]) < 1e-6


def main() -> None:
    """Print the comparison."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=60_000)
    parser.add_argument("--dims", default="16")
    given = parser.parse_args()
    print(f"n = {given.n}, {STEPS} steps, float64, one thread")
    print(
        "\n| d | components | scikit-learn, s a step | ours, s a step | ratio | log-likelihood difference |"
    )
    print("|---|---|---|---|---|---|")
    equal = True
    for d in (int(d) for d in given.dims.split(",")):
        for k in (10, 50):
            equal &= compare(given.n, d, k)
    print("\nPASS: the same fits" if equal else "\nFAIL: the fits differ")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()

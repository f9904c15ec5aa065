"""The certified bracket of KL(q(z) || p(z)) on worlds where the truth is known.

    OMP_NUM_THREADS=1 python benchmarks/bracket.py [--seeds 5] [--dims 2,16,64] [--jobs 1]

A world is a law of posteriors (mean, s): a component c of 10 is drawn, mean ~ N(m_c, B_c), s = s_c, hence
z ~ N(m_c, B_c + diag s_c^2): the population's q(z) is a mixture of 10 full Gaussians. Its KL to N(0, I) is

    sum_c w_c KL(N_c || N(0, I)) - I(c; z),

the first term in closed form, the mutual information by 400,000 draws: a bounded quantity, so that the truth is
known to 1e-3. Each cell sees 60,000 training posteriors (a tenth set aside to choose among densities) and 10,000
test posteriors, and never the law. A cell fails where the limits do not hold the truth, where lower point + 2 s.e.
is below 0.9, 0.85, 0.75 of it at d = 2, 16, 64, or, at d = 2, where the limits are more than 0.15 nat apart.
Exits 1 when more than one cell misses the truth, or any cell is too loose.
"""

import argparse
import math
import sys
import time
from dataclasses import dataclass

import torch
from joblib import Parallel, delayed
from sklearn.mixture import GaussianMixture
from torch import Tensor

from priorgap.estimators.bracket import Bracket, kl_lower_bound, kl_upper_bound, train_mixture_kl
from priorgap.estimators.gaussian import (
    gaussian_log_prob,
    kl_to_standard_normal,
    rate_per_unit,
    sample_moments,
    standard_normal_log_prob,
)
from priorgap.estimators.mixture import mixture_log_prob
from priorgap.estimators.uncertainty import Estimate, mean_estimate

N_COMPONENTS, N_TRAIN, N_TEST, N_TRUTH, N_DRAWS = 10, 60_000, 10_000, 400_000, 2
GMM_SIZES = (5, 10, 20)
# variance inside a component: what is left of the total of 1 a unit is between the components' means
WITHIN = {2: 0.35, 16: 0.62, 64: 0.757}
TIGHT = {2: 0.9, 16: 0.85, 64: 0.75}
WIDTH_AT_2 = 0.15


@dataclass(frozen=True)
class World:
    """A law of posteriors: weights [c], centres [c, d], Cholesky factors of the means' spread, s [c, d]."""

    weight: Tensor
    centre: Tensor
    factor: Tensor
    std: Tensor

    def covariances(self) -> Tensor:
        """Return the covariance of z in each component."""
        return self.factor @ self.factor.mT + torch.diag_embed(self.std.square())

    def posteriors(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw n posteriors as (mean, log_var), float32 as a model would give them."""
        c = torch.multinomial(self.weight, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.centre.shape[1], 1, generator=generator, dtype=torch.float64)
        mean = self.centre[c]
        for k in range(len(self.weight)):
            mean[c == k] += (self.factor[k] @ noise[c == k])[..., 0]
        return mean.float(), (2 * self.std[c].log()).float()

    def truth(self, generator: torch.Generator) -> Estimate:
        """Return KL(q || N(0, I)), closed but for the mutual information of component and z."""
        cov = self.covariances()
        parts = [kl_to_standard_normal(m, v) for m, v in zip(self.centre, cov, strict=True)]
        c = torch.multinomial(self.weight, N_TRUTH, replacement=True, generator=generator)
        noise = torch.randn(N_TRUTH, self.centre.shape[1], generator=generator, dtype=torch.float64)
        root, information = torch.linalg.cholesky(cov), torch.empty(N_TRUTH, dtype=torch.float64)
        for k in range(len(self.weight)):
            z = self.centre[k] + noise[c == k] @ root[k].T
            pairs = zip(self.centre, cov, strict=True)
            joint = torch.stack([gaussian_log_prob(z, m, v) for m, v in pairs], 1) + self.weight.log()
            information[c == k] = joint[:, k] - joint.logsumexp(1) - self.weight[k].log()
        estimate = mean_estimate(information)
        closed = float((self.weight * torch.tensor(parts, dtype=torch.float64)).sum())
        return Estimate(closed - estimate.value, estimate.std_error)


def make_world(d: int, generator: torch.Generator) -> World:
    """Make a world whose q has mean 0 and variance 1 in each unit, and whose rate is near 1.28 d nats."""
    weight = torch.rand(N_COMPONENTS, generator=generator, dtype=torch.float64) + 0.5
    weight /= weight.sum()
    std = 0.277 * torch.exp(0.15 * torch.randn(N_COMPONENTS, d, generator=generator, dtype=torch.float64))
    centre = torch.randn(N_COMPONENTS, d, generator=generator, dtype=torch.float64)
    centre -= weight @ centre
    centre *= ((1 - WITHIN[d]) / (weight @ centre.square())).sqrt()
    mixing = torch.randn(N_COMPONENTS, d, d, generator=generator, dtype=torch.float64) / math.sqrt(d)
    shape = 0.7 * torch.eye(d, dtype=torch.float64) + 0.3 * mixing @ mixing.mT
    spread = (WITHIN[d] - weight @ std.square()) / (weight @ shape.diagonal(dim1=1, dim2=2))
    scale = spread.sqrt()
    factor = torch.linalg.cholesky(scale[None, :, None] * shape * scale[None, None, :])
    return World(weight, centre, factor, std)


def draw(mean: Tensor, log_var: Tensor, n_draws: int, generator: torch.Generator) -> Tensor:
    """Draw z, [n * n_draws, d], image by image."""
    noise = torch.randn(len(mean), n_draws, mean.shape[1], generator=generator)
    return (mean[:, None] + (0.5 * log_var).exp()[:, None] * noise).reshape(-1, mean.shape[1])


def candidate_scores(
    fit: tuple[Tensor, Tensor], scored: list[Tensor], generator: torch.Generator
) -> dict[str, list[Tensor]]:
    """Fit each density on one draw of each posterior in `fit`; return its log-density at the scored draws."""
    mean, log_var = fit
    z = draw(mean, log_var, 1, generator)
    centre, cov = sample_moments(z)
    scores = {"gaussian": [gaussian_log_prob(x, centre, cov) for x in scored]}
    scores["train mixture"] = [mixture_log_prob(x, mean, log_var) for x in scored]
    for size in GMM_SIZES:
        seed = int(torch.randint(2**31, (1,), generator=generator))
        model = GaussianMixture(size, random_state=seed, max_iter=60, reg_covar=1e-5).fit(z.double().numpy())
        scores[f"gmm {size}"] = [torch.tensor(model.score_samples(x.double().numpy())) for x in scored]
    return scores


def lower_bound(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], generator: torch.Generator
) -> tuple[str, Estimate]:
    """Return the density with the best validation score, and its bound on the test draws."""
    n_fit = len(train[0]) * 9 // 10
    validation = draw(train[0][n_fit:], train[1][n_fit:], 1, generator)
    z = draw(*test, N_DRAWS, generator)
    scores = candidate_scores((train[0][:n_fit], train[1][:n_fit]), [validation, z], generator)
    best = max(scores, key=lambda name: float(scores[name][0].mean()))
    log_f, log_p = scores[best][1].view(-1, N_DRAWS), standard_normal_log_prob(z).view(-1, N_DRAWS)
    return best, kl_lower_bound(log_f, log_p)


def run_cell(d: int, seed: int) -> tuple[str, bool, bool]:
    """Run one world; return its line, whether the limits hold the truth, and whether they are tight enough."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1000 * d + seed)
    start = time.process_time()
    world = make_world(d, generator)
    truth = world.truth(generator)
    train, test = world.posteriors(N_TRAIN, generator), world.posteriors(N_TEST, generator)
    rate = float(rate_per_unit(*train).sum(1).mean())
    name, lower = lower_bound(train, test, generator)
    bracket = Bracket(lower, kl_upper_bound(*test, n_draws=N_DRAWS, generator=generator))
    described = train_mixture_kl(*train, n_draws=2000, generator=generator)
    low, high = bracket.limits()
    reached = (lower.value + 2 * (lower.std_error or 0.0)) / truth.value
    known = truth.value >= 0.1 and (truth.std_error or 1.0) <= 1e-3
    held = low <= truth.value <= high
    tight = known and reached >= TIGHT[d] and (d != 2 or high - low <= WIDTH_AT_2)
    line = (
        f"{d:3d} {seed:4d} {rate:6.2f} {truth.value:8.4f} {truth.std_error:.5f} {low:8.4f} {lower.value:8.4f} "
        f"{bracket.upper.value:8.4f} {high:8.4f} {reached:6.3f} {high - low:7.3f} {described.value:8.2f} "
        f"{name:14s} {time.process_time() - start:5.0f}  {'pass' if held else 'MISS'} {'pass' if tight else 'LOOSE'}"
    )
    return line, held, tight


def main() -> int:
    """Run every cell and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dims", type=str, default="2,16,64")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    print(
        f"N = {N_TRAIN} train, {N_TEST} test posteriors; nats; limits at 97.5 % each; seconds are CPU seconds"
    )
    print(
        "  d seed   rate    truth    s.e.  low lim.   lower    upper  up. lim. reach   width  train-mix "
        "density      sec.  truth width"
    )
    cells = [(int(d), seed) for d in options.dims.split(",") for seed in range(options.seeds)]
    results = []
    for result in Parallel(n_jobs=options.jobs, return_as="generator")(delayed(run_cell)(*c) for c in cells):
        print(result[0], flush=True)
        results.append(result)
    misses, loose = sum(not r[1] for r in results), sum(not r[2] for r in results)
    passed = misses <= 1 and loose == 0
    print(f"{len(cells)} cells: {misses} miss the truth (at most 1), {loose} too loose (0): ", end="")
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

import itertools
import warnings

import pytest
import torch
from sklearn.mixture import GaussianMixture as ScikitMixture
from torch import Tensor

from priorgap.core.random import stream
from priorgap.densities import FittedMixture, em
from priorgap.densities.em import expectation_maximisation

Parameters = tuple[Tensor, Tensor, Tensor]


def problem(d: int, k: int, n: int = 3_000) -> tuple[Tensor, Parameters]:
    """Overlapping clusters, and a start that is not their fit."""
    g = stream(0, "em", d, k)
    centre = 1.5 * torch.randn(k, d, generator=g, dtype=torch.float64)
    z = centre[torch.randint(k, (n,), generator=g)] + torch.randn(n, d, generator=g, dtype=torch.float64)
    z = (z - z.mean(0)) / z.std(0)
    weight = torch.full((k,), 1 / k, dtype=torch.float64)
    return z, (weight, z[:k].clone(), torch.eye(d, dtype=torch.float64).repeat(k, 1, 1))


def scikit(z: Tensor, start: Parameters, steps: int, ridge: float) -> Parameters:
    weight, mean, cov = (p.numpy() for p in start)
    model = ScikitMixture(
        len(weight), tol=0.0, max_iter=steps, reg_covar=ridge, weights_init=weight, means_init=mean,
        precisions_init=cov, init_params="random_from_data", random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(z.numpy())
    return tuple(torch.from_numpy(p) for p in (model.weights_, model.means_, model.covariances_))


def run(z: Tensor, start: Parameters, steps: int, ridge: float, tolerance: float = 0.0) -> Parameters:
    return expectation_maximisation(z, *start, max_iter=steps, tolerance=tolerance, ridge=ridge)


@pytest.mark.parametrize(("d", "k", "steps"), [(1, 2, 1), (2, 3, 7), (16, 5, 4), (3, 1, 3)])
@pytest.mark.parametrize("ridge", [1e-6, 0.3])
def test_each_step_equals_scikit_learns(d: int, k: int, steps: int, ridge: float) -> None:
    z, start = problem(d, k)
    for ours, theirs in zip(run(z, start, steps, ridge), scikit(z, start, steps, ridge), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-9)


def test_a_wrong_m_step_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: off-diagonal products counted once instead of twice, the easy mistake of this form."""
    right = em._coefficients

    def wrong(*arguments: Tensor) -> Tensor:
        table = right(*arguments)
        upper, d = arguments[3], arguments[1].shape[1]
        table[:, 1 + d :][:, upper[0] != upper[1]] *= 0.5
        return table

    z, start = problem(2, 3)
    theirs = scikit(z, start, 7, 1e-6)
    monkeypatch.setattr(em, "_coefficients", wrong)
    assert not torch.allclose(run(z, start, 7, 1e-6)[1], theirs[1], rtol=1e-3, atol=1e-3)


def test_no_step_lowers_the_likelihood() -> None:
    z, start = problem(4, 4)
    scores = [float(FittedMixture(*run(z, start, n, 0.0)).log_prob(z).mean()) for n in range(1, 12)]
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(scores))


def test_it_stops_where_a_step_gains_less_than_the_tolerance() -> None:
    z, start = problem(4, 4)
    free = [run(z, start, n, 1e-6)[1] for n in range(1, 30)]
    stopped = run(z, start, 29, 1e-6, tolerance=1e-2)[1]
    steps = next(n for n, mean in enumerate(free, 1) if torch.equal(mean, stopped))
    likelihood = [float(FittedMixture(*start).log_prob(z).mean())] + [
        float(FittedMixture(*run(z, start, n, 1e-6)).log_prob(z).mean()) for n in range(1, steps + 1)
    ]
    gains = [b - a for a, b in itertools.pairwise(likelihood)]
    assert 2 < steps < 29
    assert gains[steps - 2] < 1e-2 <= min(gains[: steps - 2])


def test_features_that_are_kept_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    z, start = problem(4, 3)
    kept = run(z, start, 7, 1e-6)
    monkeypatch.setattr(em, "_KEPT_NUMBERS", 0)
    for a, b in zip(kept, run(z, start, 7, 1e-6), strict=True):
        assert torch.equal(a, b)


def test_chunks_change_nothing_but_the_order_of_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    z, start = problem(3, 2)
    whole = run(z, start, 5, 1e-6)
    monkeypatch.setattr(em, "_CHUNK_NUMBERS", 1)
    for a, b in zip(whole, run(z, start, 5, 1e-6), strict=True):
        assert torch.allclose(a, b, rtol=1e-11, atol=1e-12)

"""The latent measures through the front door, for a model that the user supplies as two callables."""

import math

import torch
from torch import Tensor

from priorgap import compare
from priorgap.core.random import stream
from priorgap.densities import GaussianMixture
from priorgap.metrics import DependenceSplit, Holes, LatentDistances, TotalVariation

MIXTURE = GaussianMixture(n_components=(1,), n_fit=1_000, max_iter=20, reg_covar=1e-6)
S = 0.5


def encode(x: Tensor) -> tuple[Tensor, Tensor]:
    """Posteriors whose aggregate is N((1.5, 0), I): x is z + noise, shifted."""
    return math.sqrt(1 - S * S) * x[:, :2] + torch.tensor([1.5, 0.0]), torch.full(
        (len(x), 2), 2 * math.log(S)
    )


def decode(z: Tensor) -> Tensor:
    """E[x|z]; the third value is not in z."""
    return torch.cat([math.sqrt(1 - S * S) * (z - torch.tensor([1.5, 0.0])), torch.zeros(len(z), 1)], 1)


def test_compare_gives_them_and_says_why_some_are_absent():
    train, test = (torch.randn(n, 3, generator=stream(0, str(n))) for n in (800, 1_000))
    found = compare(
        encode,
        decode,
        train,
        test,
        samplers=["prior"],
        metrics=[
            Holes(mixture=MIXTURE, n_draws=1, n_prior=1_000, levels=[0.1], n_repeats=20),
            DependenceSplit(mixture=MIXTURE, n_draws=1),
            TotalVariation(n_fit=400, n_eval=800),
            LatentDistances(n_max=300, n_projections=10, n_repeats=9),
            "radius",
            "iw_bound",
            "amortisation_gap",
        ],
        n=50,
    )
    rows = {(r.measure, r.unit, r.bound): r.value for r in found.table.itertuples()}
    assert rows["hole_mass", "", "point"] > 0.05
    truth = 2 * 0.5 * (1 + math.erf(0.75 / math.sqrt(2))) - 1
    assert 0.3 < rows["tv_lower", "", "lower"] <= truth
    assert rows["mmd2_p", "", "point"] == rows["sliced_w2_p", "", "point"] == 0.1
    low, high = (rows["dimension_wise_kl", "", side] for side in ("lower", "upper"))
    assert low <= 0.5 * 1.5**2 + 0.2 and high >= 0.8
    assert rows["total_correlation", "", "lower"] <= 0.01
    assert rows["radius_ks", "", "point"] > 0.1
    reason = "log p(x|z) of the test images is not known"
    assert found.skipped["iw_bound"] == found.skipped["amortisation_gap"] == reason

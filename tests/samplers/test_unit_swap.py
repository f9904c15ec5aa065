"""Swapping one unit: the others stay, its dependence goes, and each arm keeps what it says of the marginal."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.random import stream
from priorgap.priors.base import Prior
from priorgap.samplers import FitInputs, Posterior, SamplerNotApplicable, UnitSwap

ARMS = ["prior", "moments", "shuffle"]
N = 6_000


def inputs(n: int = N) -> FitInputs:
    """Unit 0 has two modes at 1 and 5; unit 1 follows it."""
    g = stream(1, "means")
    mode = 4.0 * (torch.rand(n, generator=g) < 0.5) + 1
    mean = torch.stack([mode, 0.5 * mode], 1) + 0.1 * torch.randn(n, 2, generator=g)
    latents = Latents(mean, torch.full_like(mean, 0.2).log() * 2, (mode > 3).long())
    return FitInputs(latents, latents)


def draw(sampler: object, given: FitInputs, n: int = N) -> LatentDraw:
    return sampler.fit(given, generator=stream(0, "fit")).sample(n, generator=stream(0, "sample"))


def correlation(z: Tensor) -> float:
    return abs(float(torch.corrcoef(z.T)[0, 1]))


def in_the_gap(z: Tensor) -> float:
    """Share of unit 0 between its modes, where q has no mass."""
    return float(((z[:, 0] > 2) & (z[:, 0] < 4)).double().mean())


@pytest.mark.parametrize("arm", ARMS)
def test_the_other_units_are_the_posteriors_own(arm: str) -> None:
    given = inputs()
    plain, swapped = draw(Posterior(), given), draw(UnitSwap(0, arm), given)
    assert torch.equal(plain.z[:, 1], swapped.z[:, 1])
    assert torch.equal(plain.source, swapped.source) and torch.equal(plain.label, swapped.label)
    assert not torch.isclose(plain.z[:, 0], swapped.z[:, 0]).any(), "every row is replaced"


@pytest.mark.parametrize("arm", ARMS)
def test_dependence_is_gone(arm: str) -> None:
    assert correlation(draw(UnitSwap(0, arm), inputs()).z) < 0.06


def test_without_a_swap_it_is_there() -> None:
    # negative control of the test above, and of the marginals below
    z = draw(Posterior(), inputs()).z
    assert correlation(z) > 0.9 and in_the_gap(z) < 0.001


def test_arms_keep_no_moments_two_moments_and_the_whole_marginal() -> None:
    given = inputs()
    z = {arm: draw(UnitSwap(0, arm), given).z for arm in ARMS}
    q = draw(Posterior(), given).z[:, 0]
    assert abs(z["prior"][:, 0].mean()) < 0.1 and abs(z["prior"][:, 0].std() - 1) < 0.05
    for arm in ("moments", "shuffle"):
        assert abs(z[arm][:, 0].mean() - q.mean()) < 0.15 and abs(z[arm][:, 0].std() - q.std()) < 0.1
    assert in_the_gap(z["moments"]) > 0.3
    assert in_the_gap(z["shuffle"]) < 0.001


def test_shuffle_takes_a_fresh_draw_of_another_image() -> None:
    # two images: the other one is always the other one
    mean = torch.tensor([[0.0, 0.0], [10.0, 10.0]])
    two = Latents(mean, torch.full_like(mean, 0.01).log() * 2)
    z = draw(UnitSwap(0, "shuffle"), FitInputs(two, two), 200)
    assert torch.allclose(z.z[:, 0], mean[1 - z.source, 0], atol=0.1)
    assert torch.allclose(z.z[:, 1], mean[z.source, 1], atol=0.1)
    assert len(z.z[:, 0].unique()) > 150


def test_deterministic_encoder_swaps_means() -> None:
    given = inputs(50)
    bare = replace(given.train, log_var=None)
    z = draw(UnitSwap(1, "shuffle"), FitInputs(bare, bare), 100)
    assert set(z.z[:, 1].tolist()) <= set(bare.mean[:, 1].tolist())


class Learned(Prior):
    def log_prob(self, z: Tensor) -> Tensor:
        return z.sum(1)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.dim, generator=generator)


def test_what_cannot_be_is_refused() -> None:
    given = inputs(50)
    with pytest.raises(SamplerNotApplicable, match="unit_swap_2_prior: the model has 2 units"):
        draw(UnitSwap(2, "prior"), given)
    with pytest.raises(SamplerNotApplicable, match="standard-normal prior only"):
        draw(UnitSwap(0, "prior"), replace(given, prior=Learned(2)))
    draw(UnitSwap(0, "shuffle"), replace(given, prior=Learned(2)))
    for unit in (-1, True, 0.5):
        with pytest.raises(ValueError, match=f"unit={unit}"):
            UnitSwap(unit, "prior")
    with pytest.raises(ValueError, match="arm='mean'"):
        UnitSwap(0, "mean")

"""A sampler of the units in use: which they are, its density in closed form, and what a fit to all units loses."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.samplers import (
    ActiveUnits,
    ExPostGaussian,
    ExPostMixture,
    FitInputs,
    PerClass,
    PriorSampler,
    SamplerNotApplicable,
    TemperedPrior,
)

GMM = ExPostMixture(n_components=[8], n_fit=4000, draws_per_image=2, max_iter=60, reg_covar=1e-6)
USED = (1, 4, 5)
LEAK = 0.02


def planted(n: int, d: int, seed: int) -> Latents:
    """Eight clusters in the units USED; elsewhere means of s.d. LEAK and posteriors of variance 1."""
    g = stream(seed, "planted")
    corners = torch.tensor([[a, b, c] for a in (-2.0, 2.0) for b in (-2.0, 2.0) for c in (-2.0, 2.0)])
    label = torch.randint(0, 8, (n,), generator=g)
    mean = LEAK * torch.randn(n, d, generator=g)
    mean[:, USED] = corners[label] + 0.3 * torch.randn(n, 3, generator=g)
    log_var = torch.zeros(n, d)
    log_var[:, USED] = -3.0
    return Latents(mean, log_var, label)


def inputs(n: int = 2000, d: int = 30) -> FitInputs:
    return FitInputs(planted(n, d, 1), planted(n // 2, d, 2))


def test_the_units_in_use_are_the_planted_ones() -> None:
    active = ActiveUnits(GMM).in_use(inputs().train)
    assert active.nonzero().squeeze(1).tolist() == list(USED)


def test_a_change_of_scale_and_place_changes_nothing() -> None:
    """Calibration shifts and scales units; the share of the variance is the same."""
    train = inputs().train
    scale = torch.logspace(-3, 3, train.dim)
    assert train.log_var is not None
    moved = Latents(train.mean * scale + 7, train.log_var + 2 * scale.log())
    assert torch.equal(ActiveUnits(GMM).in_use(train), ActiveUnits(GMM).in_use(moved))


def test_its_density_is_that_of_two_independent_groups() -> None:
    given = inputs()
    sampler = ActiveUnits(ExPostGaussian("full"))
    own = sampler.fit(given, generator=stream(0, "fit"))
    moments = sampler.expected_moments(given)
    whole = ExPostGaussian("full").expected_moments(given)
    assert moments is not None
    z = own.sample(200, generator=stream(0, "z")).z
    exact = MultivariateNormal(moments.mean, moments.cov).log_prob(z.double())
    assert torch.allclose(own.log_prob(z), exact, rtol=1e-9)
    # variances of all units, covariances among the units in use, none between the groups
    active = sampler.in_use(given.train)
    assert torch.allclose(moments.cov.diagonal(), whole.cov.diagonal())
    assert torch.allclose(moments.cov[active][:, active], whole.cov[active][:, active])
    assert not moments.cov[active][:, ~active].any()


def test_a_fit_to_the_units_in_use_is_better_than_one_to_all() -> None:
    """Of the same mixture: fresh draws of the truth are more likely by what is lost on the other units."""
    given = inputs(n=800, d=60)
    fresh = planted(2000, 60, 3).draw(generator=stream(4, "z"))
    own = ActiveUnits(GMM).fit(given, generator=stream(0, "fit"))
    every = GMM.fit(given, generator=stream(0, "fit"))
    gain = float((own.log_prob(fresh) - every.log_prob(fresh)).mean())
    assert gain > 1.0
    # the truth of the other units is N(0, 1 + LEAK²): what is left to lose is the fit of the clusters
    active = ActiveUnits(GMM).in_use(given.train)
    alone = own.base.log_prob(fresh[:, active])
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(fresh[:, ~active].double()).sum(1)
    assert float((own.log_prob(fresh) - alone - normal).mean()) == pytest.approx(0.0, abs=0.05)


def test_units_that_are_left_out_wrongly_cost_likelihood() -> None:
    """The negative control: a limit above the share of a unit that clusters depend on."""
    given = inputs(d=6)
    fresh = planted(2000, 6, 3).draw(generator=stream(4, "z"))
    assert given.train.log_var is not None
    wide = given.train.log_var.clone()
    # a posterior of variance 1 beside means of variance 4.1: a share of 0.8
    wide[:, 1] = 0.0
    given = FitInputs(Latents(given.train.mean, wide), given.validation)
    fresh[:, 1] = fresh[:, 1] + stream_noise(len(fresh))
    right, wrong = (ActiveUnits(GMM, share).fit(given, generator=stream(0, "fit")) for share in (0.05, 0.9))
    assert int(right.active.sum()) == 3 and int(wrong.active.sum()) == 2
    assert float((right.log_prob(fresh) - wrong.log_prob(fresh)).mean()) > 0.1


def stream_noise(n: int) -> torch.Tensor:
    """Return what a posterior of variance 1 adds to one of variance exp(-3)."""
    return (1 - torch.tensor(-3.0).exp()).sqrt() * torch.randn(n, generator=stream(5, "more"))


def test_where_all_units_are_in_use_it_is_the_base() -> None:
    used = (inputs().train, inputs().validation)
    given = FitInputs(*(Latents(one.mean[:, USED], one.log_var[:, USED], one.label) for one in used))
    own, base = (s.fit(given, generator=stream(0, "fit")) for s in (ActiveUnits(GMM), GMM))
    assert torch.equal(
        own.sample(50, generator=stream(1, "z")).z, base.sample(50, generator=stream(1, "z")).z
    )


def test_a_collapsed_model_has_nothing_to_fit() -> None:
    train = Latents(1e-3 * torch.randn(500, 4, generator=stream(0, "x")), torch.zeros(500, 4))
    with pytest.raises(SamplerNotApplicable, match=r"active_gmm: no unit is in use .* less than 0\.05"):
        ActiveUnits(GMM).fit(FitInputs(train, train), generator=stream(0, "fit"))


def test_an_encoder_without_variances_has_units_in_use_that_vary() -> None:
    mean = torch.randn(400, 3, generator=stream(0, "x"))
    mean[:, 2] = 0.5
    given = FitInputs(Latents(mean), Latents(mean))
    own = ActiveUnits(GMM).fit(given, generator=stream(0, "fit"))
    assert own.active.tolist() == [True, True, False]
    z = own.sample(20, generator=stream(1, "z")).z
    assert torch.allclose(z[:, 2], torch.tensor(0.5), atol=1e-4)
    assert bool(own.log_prob(z).isfinite().all())


def test_its_state_keeps_both_groups() -> None:
    sampler = ActiveUnits(GMM)
    own = sampler.fit(inputs(), generator=stream(0, "fit"))
    again = sampler.restore(own.state())
    first, second = (one.sample(50, generator=stream(1, "z")).z for one in (own, again))
    assert torch.equal(first, second) and torch.equal(own.log_prob(first), again.log_prob(first))


def test_it_goes_into_a_sampler_of_classes() -> None:
    given = inputs(d=8)
    own = PerClass(ActiveUnits(ExPostGaussian("full"))).fit(given, generator=stream(0, "fit"))
    assert own.name == "per_class_active_gaussian_full"
    # within a class only the spread of its cluster is left: 0.09 of 0.09 + exp(-3)
    assert all(member.active.nonzero().squeeze(1).tolist() == list(USED) for member in own.members)


@pytest.mark.parametrize("base", [PriorSampler(), TemperedPrior(0.8)], ids=lambda base: base.name)
def test_a_base_that_draws_from_the_prior_is_refused(base) -> None:
    with pytest.raises(ValueError, match=f"base={base.name}: expected a sampler that draws nothing"):
        ActiveUnits(base)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_outside_of_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="least_share="):
        ActiveUnits(GMM, share)

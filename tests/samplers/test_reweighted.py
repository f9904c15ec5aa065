"""The reweighted prior: a ratio with a closed form, its effective sample size, and when it is refused."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.estimators.overlap import effective_share
from priorgap.priors.base import Prior
from priorgap.samplers import FitInputs, PriorSampler, ReweightedPrior, SamplerNotApplicable

LOGISTIC = ReweightedPrior(
    hidden=[], n_fit=20_000, epochs=8, batch_size=256, learning_rate=2e-2, weight_decay=0.0, n_proposals=200
)


def gaussian(shift: float, std: float = 1.0, n: int = 20_000, dim: int = 2) -> FitInputs:
    """Posteriors whose aggregate is N((shift, 0, ...), std² I)."""
    spread = 0.5 * std
    mean = (std**2 - spread**2) ** 0.5 * torch.randn(n, dim, generator=stream(1, "means"))
    mean[:, 0] += shift
    latents = Latents(mean, torch.full_like(mean, spread).log() * 2)
    return FitInputs(latents, latents)


def fitted(inputs: FitInputs, sampler: ReweightedPrior = LOGISTIC):
    return sampler.fit(inputs, generator=stream(0, "fit"))


def matches(z: Tensor, shift: float, std: float) -> None:
    expected = torch.zeros(z.shape[1])
    expected[0] = shift
    assert (z.mean(0) - expected).abs().max() < 0.1
    assert (z.std(0) - std).abs().max() < 0.1


def test_logistic_regression_finds_the_closed_form_ratio() -> None:
    law = fitted(gaussian(0.8, 0.7))
    z = torch.randn(2_000, 2, generator=stream(2))
    q = torch.distributions.Normal(torch.tensor([0.8, 0.0]), 0.7)
    p = torch.distributions.Normal(torch.zeros(2), 1.0)
    truth = (q.log_prob(z) - p.log_prob(z)).sum(1)
    with torch.no_grad():
        gap = law.network(z) - truth
    assert gap.std() < 0.15 and gap.mean().abs() < 0.1


@pytest.mark.parametrize("shift", [0.0, 0.7, 1.2])
def test_effective_share_is_the_closed_form(shift: float) -> None:
    # E_p[w]² / E_p[w²] of N(m, 1) against N(0, 1) is exp(-m²)
    assert fitted(gaussian(shift)).effective_share == pytest.approx(math.exp(-(shift**2)), rel=0.15)


def test_effective_share_of_known_weights() -> None:
    # p uniform on 4 points, q on the first k of them
    for k in (1, 2, 4):
        at_p = torch.tensor([math.log(4 / k)] * k + [-math.inf] * (4 - k))
        assert effective_share(at_p, at_p[:k]) == pytest.approx(k / 4)


def test_draws_of_p_alone_would_not_notice_that_q_is_far() -> None:
    # negative control: Kish's formula alone is hundreds of times too large, and would refuse nothing
    at_p = 4.0 * torch.randn(20_000, generator=stream(5), dtype=torch.float64) - 8
    at_q = at_p + 16  # the log-ratio of N(4, 1) against N(0, 1) at draws of either
    kish = float((2 * at_p.logsumexp(0) - (2 * at_p).logsumexp(0)).exp()) / len(at_p)
    truth = math.exp(-16)
    assert kish > 100 * truth
    assert effective_share(at_p, at_q) < 0.1 * kish


def test_draws_follow_q() -> None:
    z = fitted(gaussian(0.8, 0.7)).sample(4_000, generator=stream(3)).z
    matches(z, 0.8, 0.7)


def test_prior_and_inverted_ratio_do_not() -> None:
    # negative controls: no weights at all, and p/q for q/p
    inputs = gaussian(0.8, 0.7)
    law = fitted(inputs)
    inverted = fitted(inputs)
    with torch.no_grad():
        inverted.network.layers[-1].weight.neg_()
        inverted.network.layers[-1].bias.neg_()
    for wrong in (replace(law, n_proposals=1), inverted):
        with pytest.raises(AssertionError):
            matches(wrong.sample(4_000, generator=stream(3)).z, 0.8, 0.7)


def test_one_proposal_is_the_prior_draw_for_draw() -> None:
    inputs = gaussian(0.5, n=500)
    z = replace(fitted(inputs), n_proposals=1).sample(100, generator=stream(3)).z
    plain = PriorSampler().fit(inputs, generator=stream(0)).sample(100, generator=stream(3)).z
    assert torch.equal(z, plain)


def test_far_q_is_refused_with_the_number() -> None:
    with pytest.raises(
        SamplerNotApplicable, match=r"effective sample size is 0\.\d\d% of 20000 .* at least 1%"
    ):
        fitted(gaussian(3.5))


def test_state_keeps_the_effective_share() -> None:
    law = fitted(gaussian(0.7, n=500))
    state = law.state()
    assert state.json["effective_share"] == law.effective_share
    assert LOGISTIC.restore(state).effective_share == law.effective_share


class Shifted(Prior):
    """A learned prior in disguise: N(2, I)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.distributions.Normal(2.0, 1.0).log_prob(z).sum(1)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        return 2 + torch.randn(n, self.dim, generator=generator)


def test_proposals_are_the_models_own_prior() -> None:
    inputs = gaussian(0.0, n=2_000)
    mean = inputs.train.mean + 2
    moved = Latents(mean, inputs.train.log_var)
    law = fitted(FitInputs(moved, moved, Shifted(2)))
    assert law.effective_share > 0.9  # of the standard normal it would be below 1 %
    matches(law.sample(2_000, generator=stream(3)).z - 2, 0.0, 1.0)
    with pytest.raises(ValueError, match="learned prior"):
        LOGISTIC.restore(law.state())
    again = LOGISTIC.restore(law.state(), Shifted(2)).sample(10, generator=stream(3)).z
    assert torch.equal(again, law.sample(10, generator=stream(3)).z)


@pytest.mark.parametrize("key", ["n_fit", "epochs", "batch_size", "n_proposals"])
def test_bad_sizes_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key}=0"):
        replace(LOGISTIC, **{key: 0})
    with pytest.raises(ValueError, match="hidden="):
        replace(LOGISTIC, hidden=[0])

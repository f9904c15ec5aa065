"""The VampPrior's pseudo-inputs, and mixtures by matrix products."""

import math

import pytest
import torch
from torch import nn

from priorgap.core.random import isolated, stream
from priorgap.priors import mixture
from priorgap.priors.mixture import mixture_log_prob
from priorgap.priors.vamp import Vamp, VampPrior

SHAPE = (1, 4, 4)
PUBLISHED = Vamp(2, 300, squash="hardtanh", initial_mean=0.05, initial_std=0.01)


def prior(sizes: Vamp) -> VampPrior:
    with isolated(stream(0, "weights")):
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
        return sizes.build(encoder, SHAPE)


def test_without_a_choice_pseudo_inputs_are_what_they_were():
    with isolated(stream(0, "weights")):
        nn.Linear(16, 4)
        raw = 0.5 * torch.randn(8, *SHAPE)
    law = prior(Vamp(2, 8))
    assert torch.equal(law.raw_inputs, raw)
    assert torch.equal(law.pseudo_inputs(), (4 * raw).sigmoid())
    assert torch.equal(prior(Vamp(2, 8, squash="sigmoid")).pseudo_inputs(), law.pseudo_inputs())


def test_published_pseudo_inputs_start_nearly_black_and_are_cut():
    law = prior(PUBLISHED)
    raw = law.raw_inputs.detach()
    assert float(raw.mean()) == pytest.approx(0.05, abs=5 * 0.01 / math.sqrt(raw.numel()))
    assert float(raw.std()) == pytest.approx(0.01, rel=0.05)
    with torch.no_grad():
        law.raw_inputs[0].fill_(-0.3)
        law.raw_inputs[1].fill_(1.7)
        assert torch.equal(law.pseudo_inputs(), law.raw_inputs.clamp(0, 1))
    law.log_prob(torch.randn(5, 2, generator=stream(1))).sum().backward()
    gradient = law.raw_inputs.grad.flatten(1).abs().amax(1)
    assert torch.equal(gradient[:2], torch.zeros(2)) and bool((gradient[2:] > 0).all())


def test_what_would_never_move_is_refused():
    for message, change in {
        "initial_mean=-0.05: with squash=hardtanh expected a number from 0 to 1": {"initial_mean": -0.05},
        "initial_mean=nan: expected a number": {"initial_mean": math.nan},
        "initial_std=0: expected a number above 0": {"initial_std": 0},
        "squash=tanh: expected sigmoid, hardtanh or null": {"squash": "tanh"},
    }.items():
        with pytest.raises(ValueError) as caught:
            Vamp(2, 3, **{"squash": "hardtanh", **change})
        assert message in str(caught.value) and "\n" not in str(caught.value)
    assert Vamp(2, 3, initial_mean=-0.05).initial_mean == -0.05


def terms(n=50, k=20, d=6, *, away=0.0):
    g = stream(0)
    z, mean = (torch.randn(rows, d, generator=g, dtype=torch.float64) for rows in (n, k))
    log_std = torch.rand(k, d, generator=g, dtype=torch.float64) * 3 - 3
    log_weight = torch.randn(k, generator=g, dtype=torch.float64).log_softmax(0)
    return z + away, log_weight, mean + away, log_std


def exact(z, log_weight, mean, log_std):
    parts = torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp()), 1)
    return torch.logsumexp(log_weight + parts.log_prob(z[:, None]), 1)


def test_matrix_products_give_the_density(monkeypatch):
    used = []
    expanded = mixture._expanded_distances
    monkeypatch.setattr(mixture, "_expanded_distances", lambda *a: used.append(1) or expanded(*a))
    torch.testing.assert_close(mixture_log_prob(*terms()), exact(*terms()), atol=1e-9, rtol=0)
    assert used


def test_far_from_zero_they_would_be_wrong_and_are_not_used(monkeypatch):
    far = terms(away=1e6)
    z, _, mean, log_std = far
    white = ((z[:, None] - mean) / log_std.exp()).square().sum(2)
    assert float((mixture._expanded_distances(z, mean, log_std) - white).abs().max()) > 1e-3
    monkeypatch.setattr(mixture, "_expanded_distances", lambda *a: pytest.fail("used"))
    torch.testing.assert_close(mixture_log_prob(*far), exact(*far), atol=1e-6, rtol=0)


def test_training_is_by_differences_as_before(monkeypatch):
    monkeypatch.setattr(mixture, "_expanded_distances", lambda *a: pytest.fail("used"))
    z, *rest = terms()
    mixture_log_prob(z.float(), *(t.float() for t in rest))
    mixture_log_prob(z.requires_grad_(), *rest)

"""Models that are told a past: what depends on it, what it costs, and what calibration may fold."""

import pytest
import torch
from torch.distributions import Normal

from priorgap.core.contexts import Contexts
from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.random import stream
from priorgap.models.calibrate import calibrate
from priorgap.models.controls import Autoencoder
from priorgap.models.decoding import DrawnDecoder
from priorgap.models.families import ForecastGRU, ForecastMLP, ForecastTCN, build_model
from priorgap.models.likelihoods import Bernoulli, Gaussian
from priorgap.models.losses import ElboLoss
from priorgap.models.told import RestLikelihood, ToldVAE
from priorgap.models.told_part import Past
from priorgap.samplers.drawing import with_contexts

P, T, F, D = 5, 8, 2, 3
ARCHITECTURES = [
    ForecastMLP(D, (16,), n_past=P),
    ForecastTCN(D, 8, 2, n_past=P),
    ForecastGRU(D, 8, n_past=P),
]


def made(architecture=ARCHITECTURES[0], likelihood=None) -> ToldVAE:
    law = Gaussian(0.5) if likelihood is None else likelihood
    found = build_model(architecture, law, None, (T, F), generator=stream(0, "weights"))
    assert isinstance(found, ToldVAE)
    return found


def normal(*shape: int, name: str = "x") -> torch.Tensor:
    return torch.randn(shape, generator=stream(1, name))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: type(a).__name__)
def test_the_past_is_given_and_decides_the_future(architecture) -> None:
    vae = made(architecture)
    z, past = normal(4, D), normal(4, P, F, name="past")
    x = vae.decode(z, past)
    assert x.shape == (4, T, F)
    assert torch.equal(x[:, :P], past)
    other = past.clone()
    other[0] += 1
    moved = (vae.decode(z, other)[:, P:] - x[:, P:]).abs().amax((1, 2))
    # the row whose past changed, and no other
    assert moved[0] > 1e-3 and moved[1:].max() < 1e-6
    mean, log_var = vae.encode(vae_window := normal(4, T, F))
    assert mean.shape == log_var.shape == (4, D)
    # q(z|past, future): both change it
    for steps in (slice(0, P), slice(P, T)):
        changed = vae_window.clone()
        changed[:, steps] += 1
        assert (vae.encode(changed)[0] - mean).abs().max() > 1e-4


def test_the_loss_is_that_of_the_future() -> None:
    vae, x, noise = made(), normal(4, T, F), normal(4, D, name="noise")
    terms = vae.terms(x, noise)
    mean, log_var = vae.encode(x)
    z = mean + (0.5 * log_var).exp() * noise
    future = vae.decode(z, x[:, :P])[:, P:]
    expected = (future - x[:, P:]).square().flatten(1).sum(1) / (2 * 0.5**2)
    torch.testing.assert_close(terms.reconstruction, expected)
    assert terms.rate.shape == (4, D)
    # a model of whole windows pays for the past too
    with pytest.raises(AssertionError):
        torch.testing.assert_close(terms.reconstruction, expected + x[:, :P].square().flatten(1).sum(1))
    (grad,) = torch.autograd.grad(terms.reconstruction.sum(), [vae.reader[-1].weight])
    assert grad.abs().max() > 0


def test_its_likelihood_is_the_futures() -> None:
    law = RestLikelihood(Gaussian(0.5), Past(P, (T, F))).for_shape((T, F))
    raw, x = normal(3, T, F), normal(3, T, F, name="other")
    expected = -Normal(raw[:, P:], 0.5).log_prob(x[:, P:]).flatten(1).sum(1)
    torch.testing.assert_close(law.negative_log_likelihood(raw, x), expected)
    draw = law.draw(raw, generator=stream(0, "draw"))
    assert torch.equal(draw[:, :P], raw[:, :P]) and (draw[:, P:] - raw[:, P:]).abs().min() > 0
    at = law.draw_at(law.mean(raw), generator=stream(0, "draw"))
    assert torch.equal(at, draw)
    assert law.generated(T * F)[1] == (T - P) * F
    # weights per dimension are per dimension of the future
    loss = ElboLoss(alpha=6.0, reduction="mean")
    assert loss.in_sum_units(law, T * F) == loss.in_sum_units(law.likelihood, (T - P) * F)
    assert loss.sigma_x(law, T * F) == loss.sigma_x(Gaussian(0.5), (T - P) * F)
    assert RestLikelihood(Bernoulli(), Past(P, (T, F))).unit_interval and not law.unit_interval


def test_calibration_folds_and_leaves_reconstructions() -> None:
    vae, x = made(), normal(200, T, F)
    latents = Latents(*vae.encode(x))
    folded = calibrate(vae, latents)
    assert isinstance(folded, ToldVAE)
    mean, log_var = folded.encode(x)
    total = mean.var(0, correction=0) + log_var.exp().mean(0)
    torch.testing.assert_close(total, torch.ones(D), rtol=1e-3, atol=1e-3)
    past = vae.context_of(x)
    torch.testing.assert_close(
        folded.decode(mean, past), vae.decode(latents.mean, past), rtol=1e-3, atol=1e-4
    )
    # without the fold they differ
    assert (vae.decode(mean, past) - vae.decode(latents.mean, past)).abs().max() > 1e-3


def test_draws_keep_the_past_and_depend_on_z_alone_in_their_noise() -> None:
    vae, z, past = made(), normal(4, D), normal(4, P, F, name="past")
    decode = DrawnDecoder(vae.raw, vae.likelihood, None, seed=1)
    x = decode(z, context=past)
    assert torch.equal(x[:, :P], past)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(decode(z[order], context=past[order]), x[order], rtol=0, atol=1e-5)
    residual = (x - vae.decode(z, past).detach())[:, P:]
    assert 0.25 < float(residual.std()) < 0.8


def test_wrong_pasts_are_one_line() -> None:
    vae, z = made(), normal(2, D)
    for past, got in ((None, "none"), (torch.zeros(2, P + 1, F), r"\[6, 2\]")):
        with pytest.raises(ValueError, match=rf"expected one of shape \[5, 2\] for each row, got {got}"):
            vae.decode(z, past)
    for n in (None, 0, -1, True, 1.5):
        with pytest.raises(ValueError, match=r"^n_past="):
            ForecastMLP(n_past=n)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"model\.n_past=8: the data's series have 8 steps; expected at most 7"
    ):
        made(ForecastGRU(D, 8, n_past=T))
    with pytest.raises(ValueError, match="expected series"):
        build_model(ARCHITECTURES[0], Gaussian(), None, (1, 8, 8), generator=stream(0, "w"))


def test_the_same_seed_has_the_same_weights() -> None:
    one, two = (made(ForecastTCN(D, 8, 2, n_past=P)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_draws_with_a_row_get_its_context_and_others_a_fresh_one() -> None:
    values = torch.arange(10.0)[:, None]
    told = Contexts(values, torch.arange(4), fresh=torch.arange(7, 10))
    z = torch.zeros(6, D)
    with_row = with_contexts(LatentDraw(z, torch.tensor([3, 0, 1, 1, 2, 0])), told, generator=stream(0, "c"))
    assert with_row.context is not None and with_row.context.tolist() == [3, 0, 1, 1, 2, 0]
    others = with_contexts(LatentDraw(z), told, generator=stream(0, "c")).context
    assert others is not None and sorted(others.tolist()) == [7, 7, 8, 8, 9, 9]
    plain = with_contexts(LatentDraw(z), Contexts(values, torch.arange(4)), generator=stream(0, "c")).context
    assert plain is not None and max(plain.tolist()) < 4


def test_other_models_are_told_nothing() -> None:
    assert Autoencoder.context_of(None, normal(2, T, F)) is None  # type: ignore[arg-type]

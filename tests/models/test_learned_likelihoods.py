"""Continuous Bernoulli, learned sigma, discretised logistic: normalised, and equal to references."""

import math

import pytest
import torch

from priorgap.core.build import build, configuration_directory, load_option
from priorgap.core.random import stream
from priorgap.modalities import GapLayout
from priorgap.models.continuous_bernoulli import ContinuousBernoulli, log_normaliser
from priorgap.models.learned_scale import DiscretizedLogistic, LearnedGaussian
from priorgap.models.likelihoods import Bernoulli, Likelihood
from priorgap.models.losses import ElboLoss
from priorgap.tables.layout import Column, TableLayout

LOGITS = torch.tensor([-30.0, -4.0, -0.3, -0.11, -0.05, -1e-7, 0.0, 1e-4, 0.09, 0.5, 3.0, 25.0]).double()
LEVELS = torch.arange(256, dtype=torch.float64) / 255


def per_value(likelihood: Likelihood, raw: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """-log p of each value of x [m] under each raw [k], [k, m]."""
    rows = raw.repeat_interleave(len(x)).view(-1, 1, 1, 1)
    nll = likelihood.negative_log_likelihood(rows, x.repeat(len(raw)).view(-1, 1, 1, 1))
    return nll.view(len(raw), len(x)).detach()


def midpoints(n: int = 200_000) -> torch.Tensor:
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def test_continuous_bernoulli_is_a_density_with_this_mean():
    x = midpoints()
    p = (-per_value(ContinuousBernoulli(), LOGITS, x)).exp()
    assert torch.allclose(p.mean(1), torch.ones(len(LOGITS)).double(), atol=1e-6)
    assert torch.allclose((p * x).mean(1), ContinuousBernoulli().mean(LOGITS), atol=1e-6)
    # negative control: the Bernoulli's cross-entropy is no density there, nor is its sigmoid this mean
    wrong = (-per_value(Bernoulli(), LOGITS, x)).exp()
    assert not torch.allclose(wrong.mean(1), torch.ones(len(LOGITS)).double(), atol=1e-2)
    assert not torch.allclose((p * x).mean(1), LOGITS.sigmoid(), atol=1e-2)


def test_continuous_bernoulli_equals_torch_distributions():
    x = torch.rand(len(LOGITS), 1, 1, 1, generator=stream(0), dtype=torch.float64)
    raw = LOGITS.clamp(-12, 12).view(-1, 1, 1, 1)
    law = torch.distributions.ContinuousBernoulli(logits=raw, lims=(0.499, 0.501))
    expected = -law.log_prob(x).flatten()
    assert torch.allclose(ContinuousBernoulli().negative_log_likelihood(raw, x), expected, atol=1e-4)
    assert torch.allclose(ContinuousBernoulli().mean(raw), law.mean, atol=1e-4)


def test_continuous_bernoulli_has_gradients_everywhere():
    for dtype in (torch.float32, torch.float64):
        raw = torch.cat([LOGITS, torch.tensor([-80.0, 80.0])]).to(dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(log_normaliser(raw).sum(), raw)
        assert torch.isfinite(gradient).all()
        # d/dl log C = 1 / l - 1 / sinh(l)
        away = raw.detach().abs() > 0.05
        l = raw.detach()[away].double()  # noqa: E741
        assert torch.allclose(gradient[away].double(), 1 / l - 1 / torch.sinh(l), atol=1e-5)


@pytest.mark.parametrize("scale", [0.004, 0.03, 0.5])
def test_discretized_logistic_sums_to_one_with_this_mean(scale):
    raw = torch.tensor([-9.0, -1.0, 0.0, 2.0, 12.0], dtype=torch.float64)
    likelihood = DiscretizedLogistic(scale).for_shape((1, 1, 1)).double()
    p = (-per_value(likelihood, raw, LEVELS)).exp()
    assert torch.allclose(p.sum(1), torch.ones(5).double(), atol=1e-9)
    with torch.no_grad():
        assert torch.allclose((p * LEVELS).sum(1), likelihood.mean(raw), atol=1e-4)


def test_discretized_logistic_equals_scipy():
    from scipy.stats import logistic

    raw = torch.tensor([-2.0, 0.0, 1.5], dtype=torch.float64)
    likelihood = DiscretizedLogistic(0.05).double()
    edges = torch.cat([torch.tensor([-torch.inf]), (LEVELS[1:] + LEVELS[:-1]) / 2, torch.tensor([torch.inf])])
    for centre, nll in zip(raw.sigmoid().tolist(), per_value(likelihood, raw, LEVELS), strict=True):
        mass = torch.from_numpy(logistic.cdf(edges.numpy(), loc=centre, scale=0.05)).diff()
        seen = mass > 1e-9
        # scipy's difference loses digits far out: compare where there is mass
        assert torch.allclose(nll[seen], -mass[seen].log(), atol=1e-5)


def test_discretized_logistic_keeps_digits_far_from_the_mean():
    likelihood = DiscretizedLogistic(0.002)
    raw = torch.full((1, 1, 1, 1), -8.0, requires_grad=True)
    nll = likelihood.negative_log_likelihood(raw, torch.full((1, 1, 1, 1), 0.9))
    assert 400 < float(nll) < 500
    nll.sum().backward()
    assert torch.isfinite(raw.grad).all() and torch.isfinite(likelihood.log_scale.grad)


@pytest.mark.parametrize("squash", [True, False])
def test_learned_gaussian_equals_torch_distributions(squash):
    raw = torch.randn(4, 1, 4, 4, generator=stream(0), dtype=torch.float64)
    x = torch.rand(raw.shape, generator=stream(1), dtype=torch.float64)
    likelihood = LearnedGaussian(0.2, squash).double()
    for sigma in (None, 0.7):
        law = torch.distributions.Normal(raw.sigmoid() if squash else raw, sigma or 0.2)
        expected = -law.log_prob(x).flatten(1).sum(1)
        assert torch.allclose(likelihood.negative_log_likelihood(raw, x, sigma=sigma), expected, rtol=1e-6)
    gap = likelihood.negative_log_likelihood(raw, x) - likelihood.reconstruction_loss(raw, x)
    assert torch.allclose(gap, torch.full_like(gap, 8 * math.log(2 * math.pi)))


def test_learned_sigma_goes_to_the_root_mean_squared_error_whatever_alpha():
    raw = torch.randn(50, 1, 4, 4, generator=stream(0), dtype=torch.float64)
    x = raw + 0.37 * torch.randn(raw.shape, generator=stream(1), dtype=torch.float64)
    error = float((raw - x).square().mean().sqrt())
    for alpha in (0.1, 30.0):
        likelihood = LearnedGaussian(1.0, squash=False).double()
        weight = ElboLoss(alpha).in_sum_units(likelihood, 16).alpha
        optimizer = torch.optim.LBFGS(likelihood.parameters(), max_iter=100)

        def loss(likelihood=likelihood, weight=weight, optimizer=optimizer):
            optimizer.zero_grad()
            value = weight * likelihood.reconstruction_loss(raw, x).mean()
            value.backward()
            return value

        optimizer.step(loss)
        assert float(likelihood.log_sigma.exp()) == pytest.approx(error, rel=1e-4)
    assert ElboLoss(5.0, 1.0, "mean").in_sum_units(likelihood, 16) == ElboLoss(1.0)
    assert ElboLoss(5.0).sigma_x(likelihood, 16) is None
    assert ElboLoss(5.0).describe(likelihood, 16).endswith("learned sigma absorbs alpha")


@pytest.mark.parametrize(
    "name", sorted(p.stem for p in (configuration_directory() / "likelihood").glob("*.yaml"))
)
def test_every_likelihood_draws_its_own_law(name):
    """The file's name is the likelihood's; draws have its mean, and -log p of draws is its entropy's estimate."""
    likelihood = build(load_option("likelihood", name), Likelihood, where="likelihood")
    # of tables: columns of numbers; with a scale for each channel: series; all others: an image
    shape = {
        "table": (3,),
        "gaussian_by_channel": (1, 3),
        "student_t": (1, 3),
        "gaussian_with_gaps": (1, 3),
    }.get(name, (1, 1, 3))
    columns = tuple(Column(str(i), "continuous", i, i + 1) for i in range(3))
    gaps = GapLayout(3, ()) if name == "gaussian_with_gaps" else None
    likelihood = (
        likelihood.for_table(TableLayout(columns) if name == "table" else None)
        .for_gaps(gaps)
        .for_shape(shape)
    )
    assert likelihood.name == name
    raw = torch.tensor([-1.5, 0.02, 2.5]).view(1, *shape).expand(60_000, *shape)
    x = likelihood.draw(raw, generator=stream(0))
    assert x.shape == raw.shape and not x.requires_grad and x.dtype == raw.dtype
    assert torch.equal(x, likelihood.draw(raw, generator=stream(0)))
    error = x.std(0) / math.sqrt(len(x))
    with torch.no_grad():
        assert ((x.mean(0) - likelihood.mean(raw[:1])[0]).abs() < 4.5 * error + 1e-4).all()
    if likelihood.unit_interval:
        assert float(x.min()) >= 0 and float(x.max()) <= 1
    if name == "discretized_logistic":
        assert torch.allclose(x * 255, (x * 255).round(), atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearnedGaussian(0.0, None), "initial_sigma=0.0: expected a positive number"),
        (lambda: DiscretizedLogistic(float("nan")), "initial_scale=nan: expected"),
        (lambda: DiscretizedLogistic(0.1).for_shape((6,)), "expected images"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert message in str(caught.value)
    with pytest.raises(RuntimeError, match="for_shape"):
        LearnedGaussian(1.0, None).mean(torch.zeros(1))

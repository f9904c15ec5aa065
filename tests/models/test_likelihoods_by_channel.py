"""A scale for each channel, Gaussian and Student's t: equal to torch.distributions, and learned."""

import math

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import StudentT as ReferenceT

from priorgap.core.build import build, load_option
from priorgap.core.random import stream
from priorgap.models.by_channel import GaussianByChannel, StudentT
from priorgap.models.likelihoods import Likelihood
from priorgap.models.losses import ElboLoss

SCALES = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
LAWS = [GaussianByChannel(0.3), StudentT(0.3, 5.0), StudentT(0.3, 2.5)]
SHAPES = [(3,), (7, 3)]


def at_scales(law, shape: tuple[int, ...]) -> Likelihood:
    found = law.for_shape(shape).double()
    with torch.no_grad():
        found.log_scale.copy_(SCALES.log())
    return found


def reference(law, raw: torch.Tensor) -> torch.distributions.Distribution:
    return ReferenceT(law.nu, raw, SCALES) if isinstance(law, StudentT) else Normal(raw, SCALES)


def ids(value: object) -> str:
    return f"{value.name}{getattr(value, 'nu', '')}" if isinstance(value, Likelihood) else str(value)


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
@pytest.mark.parametrize("law", LAWS, ids=ids)
def test_they_equal_torch_distributions(law, shape) -> None:
    found = at_scales(law, shape)
    raw, x = (torch.randn(5, *shape, generator=stream(i, "x"), dtype=torch.float64) for i in (0, 1))
    expected = -reference(law, raw).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(
        found.negative_log_likelihood(raw, x).detach(), expected, rtol=1e-10, atol=1e-10
    )
    # its constant is the same for all x, raw and scales
    left_out = found.negative_log_likelihood(raw, x) - found.reconstruction_loss(raw, x)
    assert float((left_out.max() - left_out.min()).detach()) < 1e-9
    assert found.mean(raw) is raw
    # negative control: the scales of other channels, and steps taken for channels
    with torch.no_grad():
        found.log_scale.copy_(SCALES.log().flip(0))
    assert (found.negative_log_likelihood(raw, x) - expected).abs().min() > 0.01


@pytest.mark.parametrize("law", LAWS[:2], ids=ids)
def test_draws_have_their_distribution(law) -> None:
    found = at_scales(law, (4, 3))
    raw = torch.zeros(20_000, 4, 3, dtype=torch.float64) + torch.arange(3)
    x = found.draw(raw, generator=stream(0, "draw"))
    assert torch.equal(x, found.draw_at(raw, generator=stream(0, "draw")))
    standard = (x - raw) / SCALES
    exact = reference(law, raw[:1, :1])
    # the share of |noise| below 1, by channel and step
    from scipy import stats

    expected = stats.t(law.nu).cdf(1) if isinstance(law, StudentT) else stats.norm.cdf(1)
    share = (standard.abs() < 1).double().mean(0)
    assert (share - (2 * expected - 1)).abs().max() < 0.015
    assert (x.var(0).mean(0) / exact.variance.flatten() - 1).abs().max() < 0.1
    # the other law's draws are told apart
    other = stats.norm.cdf(1) if isinstance(law, StudentT) else stats.t(5).cdf(1)
    assert (share - (2 * other - 1)).abs().min() > 0.015
    # noise is independent over channels and steps
    flat = standard.flatten(1).T.clamp(-4, 4)
    assert (torch.corrcoef(flat) - torch.eye(12)).abs().max() < 0.04


def fitted(law, x: torch.Tensor) -> torch.Tensor:
    found = law.for_shape(x.shape[1:]).double()
    optimizer = torch.optim.LBFGS(
        found.parameters(), max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-16
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = found.reconstruction_loss(torch.zeros_like(x), x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return found.log_scale.detach().exp()


def test_each_channels_scale_is_learned() -> None:
    x = torch.randn(400, 5, 3, generator=stream(0, "x"), dtype=torch.float64) * SCALES
    expected = x.square().mean((0, 1)).sqrt()
    torch.testing.assert_close(fitted(GaussianByChannel(0.3), x), expected, rtol=1e-6, atol=1e-8)
    noise = StudentT(1.0, 5.0).for_shape((5, 3)).double()
    heavy = noise.draw(torch.zeros(2000, 5, 3, dtype=torch.float64), generator=stream(0, "t")) * SCALES
    torch.testing.assert_close(fitted(StudentT(0.3, 5.0), heavy), SCALES, rtol=0.05, atol=0)
    # one far value moves a Gaussian's scale, and Student's hardly
    x[0, 0, 0] = 1000.0
    assert fitted(GaussianByChannel(0.3), x)[0] > 10 * expected[0]
    assert fitted(StudentT(0.3, 5.0), x)[0] < 1.1 * expected[0]


def test_the_files_and_the_objective() -> None:
    for name in ("gaussian_by_channel", "student_t"):
        law = build(load_option("likelihood", name), Likelihood, where="likelihood")
        assert law.name == name
        settled = law.for_shape((6, 4))
        assert [tuple(p.shape) for p in settled.parameters()] == [(4,)]
        loss = ElboLoss(alpha=300.0).in_sum_units(settled, 24)
        assert loss.alpha == 1 and loss.sigma_x(settled, 24) is None


def test_what_they_are_not_for_is_one_line() -> None:
    with pytest.raises(
        ValueError, match=r"likelihood=student_t: .* shape \[1, 8, 8\]; expected .*learned_gaussian"
    ):
        StudentT(0.3, 5.0).for_shape((1, 8, 8))
    for nu in (2.0, 0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"^nu="):
            StudentT(0.3, nu)
    with pytest.raises(ValueError, match=r"^initial_scale=0"):
        GaussianByChannel(0)

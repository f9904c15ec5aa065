"""Windows with gaps: -log p against scipy, value by value; draws, gradients, learned scales."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from priorgap.core.build import build, load_option
from priorgap.core.random import stream
from priorgap.modalities import GapLayout
from priorgap.models.by_channel import GaussianByChannel
from priorgap.models.decoding import DrawnDecoder
from priorgap.models.gaussian_with_gaps import GaussianWithGaps
from priorgap.models.likelihoods import Bernoulli, Gaussian, Likelihood
from priorgap.models.losses import ElboLoss

LAYOUT = GapLayout(3, (0, 2))
SIGMA = (0.2, 1.0, 3.0)


def law(layout: GapLayout = LAYOUT) -> GaussianWithGaps:
    made = GaussianWithGaps(1.0, 0.01).for_gaps(layout).for_shape((4, layout.width)).double()
    with torch.no_grad():
        made.log_sigma.copy_((torch.tensor(SIGMA[: layout.n_values], dtype=torch.float64) - 0.01).log())
    return made


def windows(n: int = 6, layout: GapLayout = LAYOUT, share: float = 0.3) -> Tensor:
    """Values with gaps at random, among them a window without any value of the first column."""
    values = torch.randn(n, 4, layout.n_values, generator=stream(0, "x"), dtype=torch.float64).numpy()
    gaps = torch.rand(n, 4, layout.n_values, generator=stream(0, "gaps")).numpy() < share
    gaps[0, :, 0] = True
    gaps[..., [i for i in range(layout.n_values) if i not in layout.about]] = False
    return torch.from_numpy(layout.encoded(np.where(gaps, np.nan, values)))


def raw_of(n: int = 6, layout: GapLayout = LAYOUT) -> Tensor:
    return torch.randn(n, 4, layout.width, generator=stream(0, "raw"), dtype=torch.float64)


def by_scipy(raw: Tensor, x: Tensor) -> list[float]:
    """-log p, one value after another."""
    found = []
    for own, row in zip(raw.numpy(), x.numpy(), strict=True):
        total = 0.0
        for step, there in zip(own, row, strict=True):
            for c in range(3):
                missing = c in LAYOUT.about and there[3 + LAYOUT.about.index(c)] == 1
                total -= 0.0 if missing else stats.norm.logpdf(there[c], step[c], SIGMA[c])
            for i in range(2):
                p = 1 / (1 + math.exp(-step[3 + i]))
                total -= stats.bernoulli.logpmf(int(there[3 + i]), p)
        found.append(total)
    return found


def test_it_is_the_density_of_values_and_the_probability_of_gaps() -> None:
    found, raw, x = law(), raw_of(), windows()
    assert found.negative_log_likelihood(raw, x).tolist() == pytest.approx(by_scipy(raw, x), rel=1e-12)
    # what is left out is the constant of the values that are there
    left_out = found.negative_log_likelihood(raw, x) - found.reconstruction_loss(raw, x)
    there = 12 - x[..., 3:].flatten(1).sum(1)
    assert left_out.tolist() == pytest.approx((0.5 * math.log(2 * math.pi) * there).tolist())
    # the control: zeros taken for values are another density
    plain = GaussianByChannel(1.0).for_shape((4, 3)).double()
    with torch.no_grad():
        plain.log_scale.copy_(torch.tensor(SIGMA).double().log())
    other = plain.negative_log_likelihood(raw[..., :3], x[..., :3]) + Bernoulli().negative_log_likelihood(
        raw[..., 3:], x[..., 3:]
    )
    assert float((other - found.negative_log_likelihood(raw, x)).detach().abs().min()) > 0.01


def test_without_indicators_it_is_a_gaussian_by_channel() -> None:
    layout = GapLayout(3, ())
    raw, x = raw_of(layout=layout), windows(layout=layout)
    plain = GaussianByChannel(1.0).for_shape((4, 3)).double()
    with torch.no_grad():
        plain.log_scale.copy_(torch.tensor(SIGMA, dtype=torch.float64).log())
    torch.testing.assert_close(
        law(layout).negative_log_likelihood(raw, x), plain.negative_log_likelihood(raw, x), rtol=1e-12, atol=0
    )
    assert torch.equal(law(layout).mean(raw), raw)


def test_missing_values_have_no_gradient_and_the_others_the_right_one() -> None:
    found, x = law(), windows()
    raw = raw_of().requires_grad_()
    assert torch.autograd.gradcheck(lambda r: found.reconstruction_loss(r, x), (raw,))
    (gradient,) = torch.autograd.grad(found.reconstruction_loss(raw, x).sum(), raw)
    missing = x[..., 3:] == 1
    assert bool((gradient[..., [0, 2]][missing] == 0).all()) and bool(
        (gradient[..., [0, 2]][~missing] != 0).all()
    )
    # a value that stands where the indicator says missing changes nothing
    filled = x.clone()
    filled[..., 0] += 5 * x[..., 3]
    assert torch.equal(found.reconstruction_loss(raw, filled), found.reconstruction_loss(raw, x))
    # logits and errors far out stay finite
    far = found.reconstruction_loss(raw.detach() * 1e4, x)
    assert bool(torch.isfinite(far).all())


def test_draws_have_their_law_and_no_value_where_it_is_missing() -> None:
    found = law()
    raw = raw_of(1).expand(40_000, -1, -1)
    x = found.draw(raw, generator=stream(0, "draw"))
    assert torch.equal(x, found.draw(raw, generator=stream(0, "draw"))) and x.dtype == raw.dtype
    missing, p = x[..., 3:], raw[0, :, 3:].sigmoid()
    assert set(missing.unique().tolist()) == {0.0, 1.0}
    assert bool((x[..., [0, 2]][missing == 1] == 0).all())
    n = len(x)
    assert bool(((missing.mean(0) - p).abs() < 4.5 * (p * (1 - p) / n).sqrt()).all())
    for c, step in ((0, 1), (1, 0), (2, 3)):
        there = x[:, step, c] if c == 1 else x[x[:, step, 3 + LAYOUT.about.index(c)] == 0, step, c]
        assert stats.kstest(there.numpy(), "norm", (float(raw[0, step, c]), SIGMA[c])).pvalue > 1e-4
        # the control: another mean
        assert (
            stats.kstest(there.numpy(), "norm", (float(raw[0, step, c]) + 0.1 * SIGMA[c], SIGMA[c])).pvalue
            < 1e-4
        )
    # E[x|z] is that of draws; the estimate of the entropy by draws is the closed form
    error = x.std(0) / math.sqrt(n)
    assert bool(((x.mean(0) - found.expectation(raw[:1])[0]).abs() < 4.5 * error + 1e-9).all())
    nll = found.negative_log_likelihood(raw, x)
    of_gaps = -(p * p.log() + (1 - p) * (1 - p).log()).sum()
    each = [0.5 + math.log(s) + 0.5 * math.log(2 * math.pi) for s in SIGMA]
    shares = torch.stack([1 - p[:, 0], torch.ones(4).double(), 1 - p[:, 1]], 1)
    entropy = float(of_gaps + (shares * torch.tensor(each).double()).sum())
    assert abs(float(nll.mean().detach()) - entropy) < 4.5 * float(nll.std().detach()) / math.sqrt(n)


def test_the_mean_is_a_window() -> None:
    found, raw = law(), raw_of()
    x = found.mean(raw)
    assert torch.equal(x[..., 3:], (raw[..., 3:] >= 0).double())
    assert bool((x[..., [0, 2]][x[..., 3:] == 1] == 0).all()) and torch.equal(x[..., 1], raw[..., 1])
    # a row's draw is its own, whatever is decoded with it
    decoder = DrawnDecoder(lambda z, label: raw_of()[: len(z)], found, None, 0)
    z = torch.randn(6, 2, generator=stream(0, "z"))
    assert torch.equal(decoder(z)[:2], decoder(z[:2]))


@pytest.mark.parametrize("alpha", [1.0, 30.0])
def test_sigma_is_the_error_of_the_values_that_are_there(alpha: float) -> None:
    x = windows(500, share=0.5)
    found = GaussianWithGaps(1.0, 0.01).for_gaps(LAYOUT).for_shape((4, 5)).double()
    optimizer = torch.optim.LBFGS(found.parameters(), max_iter=200, tolerance_grad=1e-12)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = alpha * found.reconstruction_loss(torch.zeros_like(x), x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    there = [x[..., 0][x[..., 3] == 0], x[..., 1].flatten(), x[..., 2][x[..., 4] == 0]]
    expected = [float(own.square().mean().sqrt()) for own in there]
    assert found.sigma.tolist() == pytest.approx(expected, rel=1e-5)
    # the control: with zeros for values it would be smaller
    assert expected[0] > 1.2 * float(x[..., 0].square().mean().sqrt())


def test_the_file_and_the_objective() -> None:
    option = build(load_option("likelihood", "gaussian_with_gaps"), Likelihood, where="likelihood")
    settled = option.for_table(None).for_gaps(LAYOUT).for_shape((4, 5))
    assert [tuple(p.shape) for p in settled.parameters()] == [(3,)] and list(settled.state_dict()) == [
        "log_sigma"
    ]
    loss = ElboLoss(alpha=300.0)
    assert loss.in_sum_units(settled, 20).alpha == 300 and loss.sigma_x(settled, 20) is None


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(
        ValueError, match=r"no missing-indicators; expected data=windows with data\.missing=mask"
    ):
        GaussianWithGaps(1.0, 0.01).for_gaps(None)
    with pytest.raises(
        ValueError, match=r"likelihood=gaussian: the windows have missing-indicators .* expected "
    ):
        Gaussian().for_gaps(LAYOUT)
    assert Gaussian().for_gaps(None).sigma == 1.0 and Gaussian().for_gaps(GapLayout(3, ())).sigma == 1.0
    for shape in ((5,), (4, 3), (1, 4, 5)):
        with pytest.raises(ValueError, match="windows with gaps have 5 channels"):
            GaussianWithGaps(1.0, 0.01).for_gaps(LAYOUT).for_shape(shape)
    with pytest.raises(ValueError, match=r"likelihood.min_sigma=2.0, likelihood.initial_sigma=1.0"):
        GaussianWithGaps(1.0, 2.0)

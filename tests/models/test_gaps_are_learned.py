"""Planted gaps are learned: their share, what values are beside them, and when they come."""

import numpy as np
import torch
from torch import Tensor

from priorgap.core.random import stream
from priorgap.modalities import GapLayout
from priorgap.models.by_channel import GaussianByChannel
from priorgap.models.gaussian_with_gaps import GaussianWithGaps
from priorgap.models.likelihoods import Likelihood
from priorgap.models.networks import MLP
from priorgap.models.vae import VAE, build_vae

LAYOUT = GapLayout(1, (0,))
N, STEPS, CORRELATION = 3000, 6, 0.9
# of the value before, in its standard deviations, and how likely a gap is beyond
HIGH, LIKELY = 0.8, 0.9


def process(rng: np.random.Generator) -> np.ndarray:
    """Windows [n, STEPS] of a stationary linear-Gaussian process of variance 1."""
    noise = rng.normal(size=(N, STEPS))
    x = noise.copy()
    for t in range(1, STEPS):
        x[:, t] = CORRELATION * x[:, t - 1] + np.sqrt(1 - CORRELATION**2) * noise[:, t]
    return x


def windows(missing: np.ndarray, values: np.ndarray) -> Tensor:
    return torch.from_numpy(LAYOUT.encoded(np.where(missing, np.nan, values)[..., None])).float()


def generated(x: Tensor, likelihood: Likelihood, n_epochs: int = 25) -> Tensor:
    """Windows that a VAE trained on x draws from its prior."""
    vae = build_vae(MLP(4, (64,)), likelihood, None, tuple(x.shape[1:]), generator=stream(0, "init"))
    optimiser = torch.optim.Adam(vae.parameters(), 3e-3)
    generator = stream(0, "training")
    for _ in range(n_epochs):
        for rows in torch.randperm(len(x), generator=generator).split(100):
            terms = vae.terms(x[rows], torch.randn(len(rows), 4, generator=generator))
            optimiser.zero_grad()
            (terms.reconstruction + terms.rate.sum(1)).mean().backward()
            optimiser.step()
    return drawn(vae)


@torch.no_grad()
def drawn(vae: VAE) -> Tensor:
    z = torch.randn(4 * N, 4, generator=stream(0, "z"))
    return vae.likelihood.draw(vae.decode_raw(z), generator=stream(0, "x"))


def with_gaps() -> Likelihood:
    return GaussianWithGaps(1.0, 0.01).for_gaps(LAYOUT)


def test_gaps_at_random_keep_their_share_and_leave_values_as_they_are() -> None:
    rng = np.random.default_rng(0)
    values = process(rng)
    x = windows(rng.random(values.shape) < 0.3, values)
    made = generated(x, with_gaps())
    share, real = float(made[..., 1].mean()), float(x[..., 1].mean())
    # four standard errors of the training share
    assert abs(share - real) < 4 * (0.21 / x[..., 1].numel()) ** 0.5
    there = made[..., 0][made[..., 1] == 0]
    assert abs(float(there.mean())) < 0.1 and abs(float(there.std()) - 1) < 0.06
    deciles = torch.linspace(0.1, 0.9, 9)
    gap = there[:50_000].quantile(deciles) - torch.distributions.Normal(0.0, 1.0).icdf(deciles)
    assert float(gap.abs().max()) < 0.12
    # the control: zeros taken for values draw the marginal to 0, sd sqrt(0.7)
    filled = generated(x[..., :1], GaussianByChannel(1.0))
    assert float(filled.std()) < 0.9


def shares(x: Tensor) -> tuple[float, float]:
    """The share of gaps after a high value that is there, and after another."""
    before, there, gap = x[:, :-1, 0], x[:, :-1, 1] == 0, x[:, 1:, 1]
    return float(gap[there & (before > HIGH)].mean()), float(gap[there & (before <= HIGH)].mean())


def test_gaps_that_follow_high_values_do_so_in_draws() -> None:
    rng = np.random.default_rng(0)
    values = process(rng)
    missing = np.zeros(values.shape, bool)
    missing[:, 1:] = (values[:, :-1] > HIGH) & (rng.random((N, STEPS - 1)) < LIKELY)
    x = windows(missing, values)
    assert shares(x)[0] > 0.85 and shares(x)[1] == 0
    made = generated(x, with_gaps())
    after_high, after_others = shares(made)
    assert after_high > 0.4 and after_others < 0.1
    assert abs(float(made[..., 1].mean() - x[..., 1].mean())) < 0.02
    # what is there is lower than all values, in the data and in draws
    real, found = (float(one[..., 0][one[..., 1] == 0].mean()) for one in (x, made))
    assert real < -0.1 and abs(found - real) < 0.1
    # the control: as many gaps at random come after any value
    at_random = windows(rng.random(values.shape) < missing.mean(), values)
    after_high, after_others = shares(generated(at_random, with_gaps()))
    assert abs(after_high - after_others) < 0.06

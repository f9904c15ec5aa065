"""The bracket of KL(q(z)‖p(z)) for series: a linear encoder of sines, whose aggregate posterior is an integral."""

import math

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.data import Sines
from priorgap.densities import GaussianMixture
from priorgap.metrics import bracket_of_kl

SINES = Sines(n_steps=16, frequencies=(2, 3), amplitudes=(1.0, 0.5), noise=0.3)
MIXTURE = GaussianMixture(n_components=(10,), n_fit=20_000, max_iter=60, reg_covar=1e-5)


def weights(scale: float) -> torch.Tensor:
    """An encoder that reads the first channel's phase: z = scale * (its cosine and sine coefficients)."""
    t = 2 * math.pi * SINES.frequencies[0] * torch.arange(16, dtype=torch.float64) / 16
    w = torch.zeros(2, 16, 2, dtype=torch.float64)
    w[0, :, 0], w[1, :, 0] = t.cos() / 8, t.sin() / 8
    return scale * w.flatten(1)


def truth(scale: float, s: float) -> float:
    """KL(q‖N(0, I)) by quadrature: q is the mean over the phase of Gaussians around a circle."""
    w = weights(scale)
    phase = 2 * math.pi * torch.arange(360, dtype=torch.float64)[:, None, None] / 360
    centres = SINES.signal(phase).flatten(1) @ w.T
    cov = SINES.noise**2 * w @ w.T + s**2 * torch.eye(2, dtype=torch.float64)
    assert float(cov[0, 1].abs()) < 1e-12
    axis = torch.linspace(-6, 6, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    q = torch.zeros(len(grid), dtype=torch.float64)
    for centre in centres:
        q += torch.exp(-0.5 * ((grid - centre) ** 2 / cov.diagonal()).sum(1))
    q /= len(centres) * 2 * math.pi * cov.diagonal().prod().sqrt()
    cell = float(axis[1] - axis[0]) ** 2
    assert float(q.sum()) * cell == pytest.approx(1, abs=1e-6)
    log_p = -0.5 * grid.square().sum(1) - math.log(2 * math.pi)
    return float((q * (q.clamp(min=1e-300).log() - log_p)).sum() * cell)


def posteriors(part: str, n: int, scale: float, s: float) -> Latents:
    x = SINES.draw(n, generator=stream(0, "bracket", part))
    mean = x.flatten(1) @ weights(scale).T
    return Latents(mean.float(), torch.full_like(mean, 2 * math.log(s)).float())


@pytest.mark.parametrize(("scale", "s"), [(1.4, 0.3), (2.5, 0.5)])
def test_the_bracket_holds_the_truth(scale: float, s: float) -> None:
    sizes = {"train": 8_000, "validation": 1_000, "test": 4_000}
    train, validation, test = (posteriors(part, n, scale, s) for part, n in sizes.items())
    found, _ = bracket_of_kl(
        train, validation, test, mixture=MIXTURE, n_draws=2, generator=stream(1, "bracket")
    )
    low, high = found.limits()
    value = truth(scale, s)
    assert low <= value <= high, (low, value, high)
    assert high - low < 0.2
    # negative control: another encoder's truth is outside
    other = truth(scale * 1.3, s)
    assert not low <= other <= high

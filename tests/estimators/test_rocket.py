"""Random convolutions: against plain loops, what they see, and what is refused."""

import numpy as np
import pytest
import torch

from priorgap.core.random import stream
from priorgap.estimators.rocket import Rocket


def windows(n, n_steps=20, n_channels=2, name="x"):
    return torch.randn(n, n_steps, n_channels, generator=stream(0, "rocket", name), dtype=torch.float64)


def test_features_are_those_of_plain_loops():
    x = 3 * windows(4) + 5
    rocket = Rocket.of(x, n_kernels=12, generator=stream(0))
    scaled = ((x - rocket.centre) / rocket.scale).numpy()
    shares, largest = [], []
    for own in rocket.kernels:
        for weight, bias in zip(own.weight.numpy(), own.bias.numpy(), strict=True):
            padded = np.pad(scaled, ((0, 0), (own.padding, own.padding), (0, 0)))
            reach = own.dilation * (weight.shape[1] - 1)
            y = np.stack(
                [
                    (padded[:, t : t + reach + 1 : own.dilation] * weight.T).sum((1, 2)) + bias
                    for t in range(padded.shape[1] - reach)
                ],
                1,
            )
            shares.append((y > 0).mean(1))
            largest.append(y.max(1))
    found = rocket(x).numpy()
    assert found.shape == (4, 24)
    for values in (*shares, *largest):
        assert np.abs(found - values[:, None]).max(0).min() < 1e-9


def test_kernels_are_of_the_generator_alone():
    x, y = windows(30), windows(30, name="y")
    first, again, other = (Rocket.of(x, n_kernels=20, generator=stream(seed)) for seed in (0, 0, 1))
    assert torch.equal(first(y), again(y))
    assert not torch.equal(first(y)[:, :20].mean(0), other(y)[:, :20].mean(0))
    # of any number of rows at once
    assert torch.allclose(first(torch.cat([x, y]))[30:], first(y), atol=1e-12)


def test_centred_kernels_see_level_at_padded_ends_alone_and_others_everywhere():
    x = windows(50)
    for centred in (True, False):
        rocket = Rocket.of(x, n_kernels=60, generator=stream(0), centred=centred)
        sums = torch.cat([own.weight.sum(2).flatten() for own in rocket.kernels])
        moved = (rocket(x + 3) - rocket(x)).abs().amax(0) > 1e-6
        padded = torch.cat([torch.full((2 * len(own.bias),), own.padding > 0) for own in rocket.kernels])
        assert bool((sums.abs() < 1e-9).all()) is centred
        assert not bool((moved & ~padded).any()) if centred else bool(moved[~rocket.shares].all())


def test_order_in_time_level_and_amplitude_are_seen():
    t = torch.arange(20.0)[:, None]
    x = windows(200) * 0.1 + torch.sin(t * 0.6 + 6 * torch.rand(200, 1, 1, generator=stream(3)))
    rocket = Rocket.of(x, n_kernels=100, generator=stream(0))
    real = rocket(x)

    def apart(changed):
        return float(((rocket(changed).mean(0) - real.mean(0)).abs() / (real.std(0) + 1e-9)).max())

    shuffled = x.gather(1, torch.rand(x.shape, generator=stream(4)).argsort(1))
    assert apart(shuffled) > 1 and apart(x + 2) > 1 and apart(2 * x) > 0.8
    assert apart(x[torch.randperm(200, generator=stream(5))]) < 1e-9


@pytest.mark.parametrize(("n_steps", "n_channels"), [(1, 1), (2, 3), (7, 1), (12, 5)])
def test_short_windows_have_features(n_steps, n_channels):
    x = windows(5, n_steps, n_channels)
    found = Rocket.of(x, n_kernels=30, generator=stream(0))(x)
    assert found.shape == (5, 60) and bool(torch.isfinite(found).all())
    still = Rocket.of(x * 0 + 1, n_kernels=3, generator=stream(0))(x * 0 + 1)
    assert bool(torch.isfinite(still).all())


def test_what_is_no_window_is_refused():
    x = windows(5)
    for bad, n_kernels, line in (
        (x[0], 3, r"^x has shape \(20, 2\): expected windows \[n, T, f\]$"),
        (x, 0, "^n_kernels=0: expected an integer >= 1$"),
        (x * float("nan"), 3, "^x has values that are not finite"),
    ):
        with pytest.raises(ValueError, match=line):
            Rocket.of(bad, n_kernels=n_kernels, generator=stream(0))
    with pytest.raises(ValueError, match=r"^x has shape \(5, 19, 2\): expected \[n, 20, 2\]$"):
        Rocket.of(x, n_kernels=3, generator=stream(0))(x[:, 1:])

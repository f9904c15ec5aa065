"""Sines: what is drawn has the stated moments and spectrum, and a wrong order of steps is found."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from priorgap.core.build import build, load_option
from priorgap.core.random import stream
from priorgap.data import Sines
from priorgap.data.splits import DataSource
from priorgap.testing.data_contract import LAWS

N = 4000
# standard errors: each estimate lies further out by chance with a probability of 7e-6; there are some 3,000
LIMIT = 4.5
WORLD = Sines(n_steps=16, frequencies=(2, 2, 5), amplitudes=(1.0, 0.5, 2.0), noise=0.3)
UNIVARIATE = Sines(n_steps=7, frequencies=(3,), amplitudes=(2.0,), noise=0.5)


def draws(world: Sines, name: str = "test") -> Tensor:
    return world.draw(N, generator=stream(0, name))


def furthest(rows: Tensor, truth: Tensor) -> float:
    """How many standard errors the mean of independent rows is from the truth, at most."""
    rows = rows.flatten(1)
    error = rows.std(0) / len(rows) ** 0.5
    return float(((rows.mean(0) - truth.flatten()) / error).abs().max())


def lagged_products(x: Tensor) -> Tensor:
    """Each row's mean product of values h steps apart, for all h."""
    steps = x.shape[1]
    return torch.stack([(x[:, h:] * x[:, : steps - h]).mean(1) for h in range(steps)], 1)


def periodogram(x: Tensor) -> Tensor:
    return torch.fft.rfft(x, dim=1).abs() ** 2 / x.shape[1]


def products(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    return flat[:, :, None] * flat[:, None]


def shuffled_in_time(x: Tensor) -> Tensor:
    order = torch.rand(len(x), x.shape[1], generator=stream(1, "order")).argsort(1)
    return x.gather(1, order[..., None].expand_as(x))


@pytest.mark.parametrize("world", [WORLD, UNIVARIATE], ids=["three channels", "univariate"])
def test_moments_and_spectrum_are_as_stated(world: Sines) -> None:
    x = draws(world)
    assert furthest(x, torch.zeros(world.n_steps, world.n_channels)) < LIMIT
    assert furthest(lagged_products(x), world.autocovariance()) < LIMIT
    assert furthest(periodogram(x), world.spectrum()) < LIMIT
    assert furthest(products(x), world.covariance()) < LIMIT


def test_rows_shuffled_in_time_fail() -> None:
    x = shuffled_in_time(draws(WORLD))
    # what does not see the order does not see the shuffle
    assert furthest(lagged_products(x)[:, 0], WORLD.autocovariance()[0]) < LIMIT
    assert furthest(lagged_products(x), WORLD.autocovariance()) > 25
    assert furthest(periodogram(x), WORLD.spectrum()) > 25
    assert furthest(products(x), WORLD.covariance()) > 25


def test_channels_of_other_rows_fail_the_covariance_alone() -> None:
    x = draws(WORLD)
    x[..., 1] = x[..., 1].roll(1, 0)
    assert furthest(lagged_products(x), WORLD.autocovariance()) < LIMIT
    assert furthest(periodogram(x), WORLD.spectrum()) < LIMIT
    assert furthest(products(x), WORLD.covariance()) > 25


def test_a_larger_amplitude_fails() -> None:
    x = draws(WORLD) * 1.1
    assert furthest(lagged_products(x)[:, 0], WORLD.autocovariance()[0]) > 10


def test_the_closed_forms_agree_with_each_other() -> None:
    covariance = WORLD.covariance()
    diagonal = covariance.diagonal().reshape(WORLD.n_steps, WORLD.n_channels)
    assert torch.allclose(diagonal, WORLD.autocovariance()[0].expand_as(diagonal))
    assert torch.allclose(WORLD.autocorrelation()[0], torch.ones(3, dtype=torch.float64))
    # Parseval: the mean over all frequencies is the variance
    spectrum = WORLD.spectrum()
    both = torch.cat([spectrum, spectrum[1:-1]])
    assert torch.allclose(both.mean(0), WORLD.autocovariance()[0])
    # one phase is left beside the noise: two directions
    values = torch.linalg.eigvalsh(covariance - WORLD.noise**2 * torch.eye(48, dtype=torch.float64))
    assert int((values > 1e-9).sum()) == 2


def test_the_signal_is_the_mean_given_the_phase() -> None:
    phase = torch.tensor([0.0, 0.5], dtype=torch.float64).reshape(2, 1, 1)
    signal = UNIVARIATE.signal(phase)
    assert signal.shape == (2, 7, 1) and float(signal[0, 0, 0]) == 0
    assert torch.allclose(signal[1, 0, 0], 2 * torch.sin(torch.tensor(0.5, dtype=torch.float64)))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_sines_keep_the_contract(law: Callable[..., None], tmp_path: Path) -> None:
    law(build(load_option("data", "sines")["source"], DataSource, where="data.source"), tmp_path)


def test_seeds_and_parts_are_streams_of_their_own(tmp_path: Path) -> None:
    first, other = (Sines(data_seed=seed).load(root=tmp_path, download=False) for seed in (0, 1))
    assert first.kind == "float_sequence" and first.shape == (24, 3)
    assert not torch.equal(first.train.x, other.train.x)
    # phases too: rows of two parts would go together with those of one stream
    n = len(first.validation)
    for other_part in (first.test.x[:n], first.train.x[:n]):
        together = (first.validation.x[..., 2] * other_part[..., 2]).mean(1)
        assert abs(float(together.mean())) < LIMIT * float(together.std()) / n**0.5
    # more rows of one part leave the others as they are
    more = Sines(n_train=10).load(root=tmp_path, download=False)
    assert torch.equal(more.test.x, first.test.x) and len(more.train) == 10


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"frequencies": (2, 12)}, "frequencies=[2, 12]: expected at least one integer, each from 1 to 11"),
        ({"frequencies": ()}, "frequencies=[]: expected at least one"),
        ({"frequencies": (0,), "amplitudes": (1.0,)}, "frequencies=[0]"),
        ({"amplitudes": (1.0,)}, "amplitudes=[1.0]: expected 3 positive numbers"),
        ({"amplitudes": (1.0, -1.0, 1.0)}, "amplitudes=[1.0, -1.0, 1.0]"),
        ({"noise": 0.0}, "noise=0.0: expected a positive number"),
    ],
)  # fmt: skip
def test_refusals_name_key_value_and_what_was_expected(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        Sines(**settings)  # type: ignore[arg-type]
    assert words in str(caught.value) and str(caught.value).startswith("data.source.")

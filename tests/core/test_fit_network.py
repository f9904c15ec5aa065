"""The plain loop: it minimises, repeats, leaves global state alone, and refuses what it cannot do."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from priorgap.core.fit_network import fit_network
from priorgap.core.random import isolated, stream

SETTINGS = {"epochs": 60, "batch_size": 32, "learning_rate": 0.05, "schedule": "cosine"}


def line(seed: int = 0) -> nn.Linear:
    with isolated(stream(seed)):
        return nn.Linear(2, 1)


def squared(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return functional.mse_loss(module(x), y)


@pytest.fixture
def data(generator):
    x = torch.randn(200, 2, generator=generator)
    return x, x @ torch.tensor([[2.0], [-1.0]]) + 0.5


def test_it_reaches_the_least_squares_solution(data):
    module = line()
    curve = fit_network(module, squared, data, generator=stream(0), **SETTINGS)
    assert torch.allclose(module.weight, torch.tensor([[2.0, -1.0]]), atol=1e-3)
    assert module.bias.item() == pytest.approx(0.5, abs=1e-3)
    assert len(curve.losses) == 60 and curve.losses[-1] < 1e-5 < curve.losses[0]
    assert not module.training


def test_the_same_generator_gives_the_same_bits(data):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    modules = [line(), line(), line()]
    for module, seed in zip(modules, (0, 0, 1), strict=True):
        fit_network(module, squared, data, generator=stream(seed), **{**SETTINGS, "epochs": 2})
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(modules[0].weight, modules[1].weight)
    assert not torch.equal(modules[0].weight, modules[2].weight)


def test_the_curve_is_the_mean_over_rows(data):
    """With a learning rate of almost nothing it is the loss of the whole data; the last batch is short."""
    module = line()
    expected = squared(module, *data).item()
    curve = fit_network(
        module, squared, data, epochs=1, batch_size=64, learning_rate=1e-12, generator=stream(0)
    )
    assert curve.losses[0] == pytest.approx(expected, rel=1e-5)


def test_progress_and_weight_decay(data):
    seen = []
    shrunk, free = line(), line()
    settings = {**SETTINGS, "epochs": 3, "schedule": "constant"}
    curve = fit_network(
        free, squared, data, generator=stream(0), progress=lambda *a: seen.append(a), **settings
    )
    assert seen == [(i + 1, loss) for i, loss in enumerate(curve.losses)]
    fit_network(shrunk, squared, data, generator=stream(0), weight_decay=5.0, **settings)
    assert shrunk.weight.norm().item() < free.weight.norm().item()


@pytest.mark.parametrize(
    ("inputs", "changes", "message"),
    [
        ((), {}, "rows: expected the same positive number"),
        ((torch.zeros(0, 2), torch.zeros(0, 1)), {}, r"\[0, 0\] rows"),
        ((torch.zeros(3, 2), torch.zeros(4, 1)), {}, r"\[3, 4\] rows"),
        ((torch.zeros(3, 2), torch.zeros(3, 1)), {"epochs": 0}, "epochs=0"),
        ((torch.zeros(3, 2), torch.zeros(3, 1)), {"batch_size": 0}, "batch_size=0"),
    ],
)
def test_bad_input_is_refused(inputs, changes, message):
    with pytest.raises(ValueError, match=message):
        fit_network(line(), squared, inputs, generator=stream(0), **{**SETTINGS, **changes})


def test_a_loss_that_is_not_finite_stops_it(data):
    x, y = data
    with pytest.raises(RuntimeError, match="loss of Linear is nan in epoch 0"):
        fit_network(line(), squared, (x, y * float("nan")), generator=stream(0), **SETTINGS)

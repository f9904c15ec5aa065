"""The flow-matching sampler: its integrator against a known flow, its loss's minimiser, an exact state."""

import math

import pytest
import torch

from priorgap.core.latents import Latents, Moments
from priorgap.core.random import stream
from priorgap.densities import FittedGaussian
from priorgap.densities.flow_matching import (
    FlowMatching,
    VelocityNetwork,
    VelocityShape,
    integrate,
    matching_loss,
)
from priorgap.samplers import FitInputs, FlowMatchingSampler, PriorSampler
from priorgap.samplers.protocols import LatentDensity

CORRELATED = FittedGaussian.from_moments(
    Moments(torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
)
SHAPE = VelocityShape((64, 64), 2)


def gaussian_velocity(scale):
    """Return E[y - e | x] on the lines from N(0, 1) to N(0, scale^2): it carries x to scale x."""

    def velocity(x, t):
        return x * (t * scale**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * scale**2)

    return velocity


@pytest.mark.parametrize("scale", [0.05, 0.5, 3.0])
def test_the_integrator_follows_a_known_flow(scale):
    x = torch.randn(200, 3, generator=stream(1), dtype=torch.float64)
    errors = [
        float((integrate(gaussian_velocity(scale), x, steps) - scale * x).abs().max())
        for steps in (16, 32, 64)
    ]
    # of order 4: half the step, a sixteenth of the error; at least a tenth is asked for
    assert errors[2] < errors[1] / 10 and errors[0] < 2e-3


def test_a_cruder_rule_is_rejected():
    """Negative control: Euler's steps are of order 1."""
    x = torch.randn(200, 3, generator=stream(1), dtype=torch.float64)

    def euler(steps):
        y = x
        for step in range(steps):
            y = y + gaussian_velocity(3.0)(y, step / steps) / steps
        return float((y - 3 * x).abs().max())

    assert euler(32) > euler(16) / 10


def test_the_loss_is_least_at_the_known_velocity():
    """Its value there is known too: the variance of y - e given the point between them."""

    class Known(VelocityNetwork):
        def forward(self, y, t):
            return y * ((t * 9 - (1 - t)) / ((1 - t) ** 2 + t**2 * 9))[:, None] * self.factor

    network = Known(1, SHAPE)
    g = stream(2)
    z = 3 * torch.randn(200_000, 1, generator=g)
    noise, t = torch.randn(200_000, 1, generator=g), torch.rand(200_000, generator=g)
    losses = {}
    for factor in (0.8, 1.0, 1.2):
        network.factor = factor
        losses[factor] = float(matching_loss(network, z, noise, t))
    between = ((1 - t) ** 2 + 9 * t**2).double()
    expected = float((10 - (9 * t - (1 - t)).double().square() / between).mean())
    assert losses[1.0] < min(losses[0.8], losses[1.2])
    assert math.isclose(losses[1.0], expected, rel_tol=0.02)


def test_finds_a_correlated_gaussian():
    z = CORRELATED.draw(4_000, generator=stream(1))
    law = FlowMatching(SHAPE, 16, 30, 200, 3e-3, 0.0).fit(z, z[:500], generator=stream(2))
    drawn = law.draw(4_000, generator=stream(4)).double()
    assert torch.allclose(drawn.mean(0), CORRELATED.mean, atol=0.1)
    assert torch.allclose(drawn.T.cov(), CORRELATED.cov, atol=0.15)


def test_more_steps_change_little_and_few_do():
    z = CORRELATED.draw(1_000, generator=stream(1))
    fitted = {
        steps: FlowMatching(SHAPE, steps, 10, 100, 3e-3, 0.0)
        .fit(z, z[:200], generator=stream(2))
        .draw(500, generator=stream(3))
        for steps in (1, 16, 64)
    }
    assert (fitted[16] - fitted[64]).abs().max() < 1e-3 < (fitted[1] - fitted[64]).abs().max()


def test_keeps_the_epoch_that_is_best_on_validation():
    """Validation draws mirror the training draws: the better a field fits these, the worse it fits those."""
    train = -torch.rand(2_000, 2, generator=stream(6)).log()
    mirrored = 2 * train.mean(0) - train

    def error(chosen):
        law = FlowMatching(SHAPE, 8, 30, 50, 3e-3, 0.0).fit(train, chosen, generator=stream(8))
        g = stream(9)
        noise, t = torch.randn(mirrored.shape, generator=g), torch.rand(len(mirrored), generator=g)
        return float(matching_loss(law.network, mirrored, noise, t).detach())

    assert error(mirrored) < error(mirrored[:0]) - 0.1


def test_shares_its_noise_with_the_prior_and_its_state_is_exact():
    latents = Latents(CORRELATED.draw(400, generator=stream(1)), torch.full((400, 2), -4.0))
    sampler = FlowMatchingSampler([16], 2, 4, 400, 1, 3, 100, 1e-2, 0.0)
    given = FitInputs(latents, latents)
    fitted = sampler.fit(given, generator=stream(2))
    z = fitted.sample(500, generator=stream(3)).z
    noise = PriorSampler().fit(given, generator=stream(2)).sample(500, generator=stream(3))
    assert torch.equal(z, fitted.field.carried(noise.z))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    again = sampler.restore(fitted.state())
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(again.sample(500, generator=stream(3)).z, z)


def test_it_offers_no_density():
    """A log-density by integration would enter the bracket, which holds only with a bound on its error."""
    latents = Latents(CORRELATED.draw(50, generator=stream(1)), torch.full((50, 2), -4.0))
    fitted = FlowMatchingSampler([4], 1, 1, 50, 1, 1, 50, 1e-2, 0.0).fit(
        FitInputs(latents, latents), generator=stream(2)
    )
    assert not isinstance(fitted, LatentDensity)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, [], "hidden="), (0, [0], "hidden="), (1, 0, "frequencies=0"), (2, 0, "steps=0"), (3, 1, "n_fit=1"),
        (4, 0, "draws_per_image=0"), (5, 0, "epochs=0"), (6, 0, "batch_size=0"), (7, 0.0, "learning_rate=0"),
        (8, -1.0, "weight_decay=-1"),
    ],
)  # fmt: skip
def test_bad_values_are_refused(place, value, words):
    arguments = [[4], 1, 1, 50, 1, 1, 50, 1e-2, 0.0]
    arguments[place] = value
    with pytest.raises(ValueError, match=words):
        FlowMatchingSampler(*arguments)

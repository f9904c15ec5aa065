"""The flow sampler: our noise through its inverse, an exact state, torch.distributions as it was."""

import subprocess
import sys

import pytest
import torch

from priorgap.core.latents import Latents, Moments
from priorgap.core.random import stream
from priorgap.densities import FittedGaussian
from priorgap.densities.flow import Flow, FlowShape
from priorgap.samplers import FitInputs, FlowSampler, PriorSampler

N = 2_000
CORRELATED = FittedGaussian.from_moments(
    Moments(torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
)
MAF = FlowShape("maf", 2, (16,), 4, 0.0)


@pytest.mark.parametrize("kind", ["nsf", "maf"])
def test_finds_a_correlated_gaussian(kind: str) -> None:
    z = CORRELATED.draw(N, generator=stream(1))
    law = Flow(FlowShape(kind, 2, (16,), 4, 0.0), 8, 100, 1e-2, 0.0).fit(z, z[:500], generator=stream(2))
    fresh = CORRELATED.draw(N, generator=stream(3))
    gap = float((CORRELATED.log_prob(fresh) - law.log_prob(fresh)).mean())
    alone = FittedGaussian(CORRELATED.mean, torch.diag(CORRELATED.cov.diagonal()))
    assert gap < 0.05 < 0.5 < float((CORRELATED.log_prob(fresh) - alone.log_prob(fresh)).mean())
    drawn = law.draw(N, generator=stream(4)).double()
    assert torch.allclose(drawn.T.cov(), CORRELATED.cov, atol=0.1)


def test_density_and_draws_are_of_one_law() -> None:
    z = CORRELATED.draw(500, generator=stream(1))
    law = Flow(MAF, 3, 100, 1e-2, 0.0).fit(z, z, generator=stream(2))
    noise = torch.randn(300, 2, generator=stream(5))
    drawn = law.draw(300, generator=stream(5))
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda e: law.network.inverse(e[None])[0], row) for row in noise]
    )
    base = -0.5 * noise.square().sum(1) - torch.tensor(2 * torch.pi).log()
    expected = base - torch.linalg.slogdet(jacobian).logabsdet
    assert torch.allclose(law.log_prob(drawn).float(), expected, atol=1e-4)


def test_keeps_the_epoch_that_is_best_on_validation() -> None:
    train, validation = (CORRELATED.draw(n, generator=stream(6, n)) for n in (40, 2_000))
    scores = {}
    for epochs in (1, 60):
        for chosen in (validation, validation[:0]):
            law = Flow(FlowShape("nsf", 2, (64,), 8, 0.0), epochs, 10, 2e-2, 0.0)
            fitted = law.fit(train, chosen, generator=stream(7))
            scores[epochs, len(chosen) > 0] = float(fitted.log_prob(validation).mean())
    # without validation the last of many epochs is overfitted
    assert scores[60, True] > scores[60, False] + 0.2
    assert scores[1, True] == scores[1, False]


def test_shares_its_noise_with_the_prior() -> None:
    latents = Latents(CORRELATED.draw(400, generator=stream(1)), torch.full((400, 2), -4.0))
    sampler = FlowSampler("maf", 2, [16], 4, 0.0, 400, 1, 3, 100, 1e-2, 0.0)
    fitted = sampler.fit(FitInputs(latents, latents), generator=stream(2))
    z = fitted.sample(500, generator=stream(3)).z
    noise = (
        PriorSampler().fit(FitInputs(latents, latents), generator=stream(2)).sample(500, generator=stream(3))
    )
    assert torch.allclose(z, fitted.flow.network.inverse(noise.z))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    sampler.restore(fitted.state())
    assert torch.equal(before, torch.get_rng_state())


def test_bad_values_are_refused() -> None:
    for bad, words in (
        ({"kind": "iaf"}, "kind='iaf'"),
        ({"bins": 1}, "bins=1"),
        ({"dropout": 1.0}, "dropout=1"),
    ):
        with pytest.raises(ValueError, match=words):
            FlowShape(**{"kind": "nsf", "transforms": 1, "hidden": (4,), "bins": 4, "dropout": 0.0} | bad)
    with pytest.raises(ValueError, match="n_fit=1"):
        FlowSampler("maf", 2, [16], 4, 0.0, 1, 1, 3, 100, 1e-2, 0.0)
    with pytest.raises(ValueError, match="learning_rate=0"):
        Flow(MAF, 1, 10, 0.0, 0.0)


def test_validation_of_distributions_survives_zuko() -> None:
    code = (
        "import torch, sys; from priorgap.densities.flow import import_zuko\n"
        "assert 'zuko' not in sys.modules\n"
        "import_zuko(); assert 'zuko' in sys.modules\n"
        "try: torch.distributions.Normal(0.0, -1.0)\n"
        "except ValueError: sys.exit(0)\n"
        "sys.exit('a negative scale was accepted')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

"""A second VAE, on z: the two-stage sampler of Dai & Wipf (2019), with its learned variance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.densities.protocols import check_n
from priorgap.fitting import fit_network
from priorgap.latents import LatentDraw
from priorgap.samplers.protocols import FitInputs, LabelSource, Role, SamplerState
from priorgap.streams import child, isolated

_MIN_LOG_GAMMA = -5.0


class SecondStage(nn.Module):
    """u ~ N(0, I), z = f(u) + gamma eps in units of z's aggregate moments; q(u|z) is a diagonal Gaussian.

    Attributes:
        log_gamma: log of the decoder's standard deviation, one for all units, a parameter of the likelihood.
    """

    def __init__(self, dim: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.encoder = _dense([dim, *hidden, 2 * dim])
        self.decoder = _dense([dim, *reversed(hidden), dim])
        self.log_gamma = nn.Parameter(torch.zeros(()))

    @property
    def gamma(self) -> Tensor:
        """The decoder's standard deviation, kept above e^-5 of a unit's own."""
        return self.log_gamma.clamp_min(_MIN_LOG_GAMMA).exp()

    def negative_elbo(self, z: Float[Tensor, "n d"], noise: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return KL(q(u|z) ‖ N(0, I)) − log N(z; f(u), gamma² I) at one draw of u, in standardised units, nats."""
        white = (z - self.centre) / self.scale
        mean, log_var = self.encoder(white).chunk(2, 1)
        rate = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
        error = (white - self.decoder(mean + (0.5 * log_var).exp() * noise)) / self.gamma
        # without log gamma here, gamma cannot be learned; at a fixed gamma = 1 most units of u collapse
        normaliser = white.shape[1] * (self.gamma.log() + 0.5 * math.log(2 * math.pi))
        return rate + 0.5 * error.square().sum(1) + normaliser

    def generate(self, u: Float[Tensor, "n d"], noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return f(u) + gamma eps in the units of z."""
        return self.centre + self.scale * (self.decoder(u) + self.gamma * noise)


def _dense(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True, eq=False)
class FittedTwoStage:
    """The second stage's decoder and its noise.

    Attributes:
        name: the sampler's name.
        network: the second VAE, in eval mode.
        hidden: its hidden widths.
    """

    name: str
    network: SecondStage
    hidden: tuple[int, ...]
    kind: ClassVar[str] = "two_stage"

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows: u, then the decoder's noise."""
        check_n(n)
        dim = len(self.network.centre)
        u = torch.randn(n, dim, generator=generator)
        noise = torch.randn(n, dim, generator=generator)
        with torch.no_grad():
            return LatentDraw(self.network.generate(u, noise))

    def state(self) -> SamplerState:
        """Return the network's weights and widths."""
        dim = len(self.network.centre)
        return SamplerState(
            self.name,
            dict(self.network.state_dict()),
            {
                "kind": self.kind,
                "dim": dim,
                "hidden": list(self.hidden),
                "gamma": float(self.network.gamma.detach()),
            },
        )

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        # the initial weights, which nobody sees, are drawn from the global RNG
        with torch.random.fork_rng(devices=[]):
            network = SecondStage(state.json["dim"], state.json["hidden"])
        network.load_state_dict(state.tensors)
        return cls(state.name, network.eval(), tuple(state.json["hidden"]))


@dataclass(frozen=True)
class TwoStage:
    """A second VAE with as many units, fitted to draws of z; its likelihood's gamma is learned.

    Attributes:
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        steps: gradient steps; every step sees fresh draws of its images' posteriors.
        batch_size: images a step.
        learning_rate: Adam's, falling to 0.
    """

    hidden: Sequence[int]
    steps: int
    batch_size: int
    learning_rate: float
    name: str = "two_stage"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden={list(self.hidden)}: expected positive integers")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate}: expected a number above 0")
        for key in ("steps", "batch_size"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least 1")

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedTwoStage:
        """Train the second stage."""
        train = inputs.train
        with isolated(generator):
            network = SecondStage(train.dim, self.hidden)
        # two rows or more: FitInputs sees to that
        z = train.draw(generator=generator).float()
        network.centre.copy_(z.mean(0))
        network.scale.copy_(z.std(0).clamp_min(1e-6))
        own = child(generator)

        def loss(module: SecondStage, mean: Tensor, std: Tensor) -> Tensor:
            draws = mean + std * torch.randn(mean.shape, generator=own)
            return module.negative_elbo(draws, torch.randn(mean.shape, generator=own)).mean()

        batches = -(-len(train) // self.batch_size)
        fit_network(
            network,
            loss,
            (train.mean.float(), train.std.float()),
            epochs=-(-self.steps // batches),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule="cosine",
            generator=generator,
        )
        return FittedTwoStage(self.name, network, tuple(self.hidden))

    def expected_moments(self, inputs: FitInputs) -> None:
        """Return None: a network has no moments in closed form."""
        return None

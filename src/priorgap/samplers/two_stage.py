"""A second VAE, on z: the two-stage sampler of Dai & Wipf (2019), with a learned decoder variance."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.core.fit_network import fit_network
from priorgap.core.latents import LatentDraw
from priorgap.core.random import child, isolated
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.densities.networks import standardise
from priorgap.densities.protocols import check_n
from priorgap.priors.base import Prior
from priorgap.samplers.ex_post import FITTED
from priorgap.samplers.protocols import (
    FitInputs,
    LabelSource,
    Role,
    SamplerState,
    check_kind,
)

_MIN_LOG_GAMMA = -5.0
_LOG_VAR = (-15.0, 5.0)


class Residual(nn.Module):
    """An affine map plus a residual network, which fits separate modes better than plain layers of the same size."""

    def __init__(self, n_in: int, n_out: int, width: int, n_blocks: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_in, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width)) for _ in range(n_blocks)
        )
        self.last = nn.Linear(width, n_out)
        self.skip = nn.Linear(n_in, n_out)

    def forward(self, x: Float[Tensor, "n k"]) -> Float[Tensor, "n m"]:
        """Return the map of each row."""
        h = self.first(x)
        for block in self.blocks:
            h = h + block(h)
        found: Tensor = self.last(nn.functional.silu(h)) + self.skip(x)
        return found


class SecondStage(nn.Module):
    """u ~ N(0, I), z = f(u) + gamma eps in units of z's aggregate moments; q(u|z) is a diagonal Gaussian.

    Attributes:
        log_gamma: log of the decoder's standard deviation, one for all units, a parameter of the likelihood.
    """

    def __init__(self, dim: int, width: int, n_blocks: int) -> None:
        super().__init__()
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.encoder = Residual(dim, 2 * dim, width, n_blocks)
        self.decoder = Residual(dim, dim, width, n_blocks)
        self.log_gamma = nn.Parameter(torch.zeros(()))

    @property
    def gamma(self) -> Tensor:
        """The decoder's standard deviation, kept above e^-5 of each unit's own standard deviation."""
        return self.log_gamma.clamp_min(_MIN_LOG_GAMMA).exp()

    def negative_elbo(self, z: Float[Tensor, "n d"], noise: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return KL(q(u|z) ‖ N(0, I)) − log N(z; f(u), gamma² I) at one draw of u, in standardised units, nats."""
        white = (z - self.centre) / self.scale
        mean, log_var = self.encoder(white).chunk(2, 1)
        # The bounds are far outside of what a fit needs; without them one wild step makes exp overflow and the loss
        # NaN.
        log_var = log_var.clamp(*_LOG_VAR)
        rate = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
        error = (white - self.decoder(mean + (0.5 * log_var).exp() * noise)) / self.gamma
        # Without log gamma in the loss gamma could not be learned, and at a fixed gamma = 1 most units of u collapse.
        normaliser = white.shape[1] * (self.gamma.log() + 0.5 * math.log(2 * math.pi))
        found: Tensor = rate + 0.5 * error.square().sum(1) + normaliser
        return found

    def generate(self, u: Float[Tensor, "n d"], noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return f(u) + gamma eps in the units of z."""
        found: Tensor = self.centre + self.scale * (self.decoder(u) + self.gamma * noise)
        return found


@dataclass(frozen=True, eq=False)
class FittedTwoStage:
    """The decoder of the second stage, and its noise.

    Attributes:
        name: the sampler's name.
        network: the second VAE, in eval mode.
        width: the width of its hidden layers.
        n_blocks: the number of residual blocks of its encoder, and of its decoder.
    """

    name: str
    network: SecondStage
    width: int
    n_blocks: int
    kind: ClassVar[str] = "two_stage"
    facts: ClassVar[SamplerFacts] = FITTED

    def sample(self, n: int, *, generator: torch.Generator) -> LatentDraw:
        """Draw n rows: u, then the decoder's noise."""
        check_n(n)
        dim = len(self.network.centre)
        u = torch.randn(n, dim, generator=generator)
        noise = torch.randn(n, dim, generator=generator)
        with torch.no_grad():
            return LatentDraw(self.network.generate(u, noise))

    def state(self) -> SamplerState:
        """Return the network's weights and sizes."""
        json = {
            "kind": self.kind,
            "dim": len(self.network.centre),
            "width": self.width,
            "n_blocks": self.n_blocks,
            "gamma": float(self.network.gamma.detach()),
        }
        return SamplerState(self.name, dict(self.network.state_dict()), json)

    @classmethod
    def from_state(cls, state: SamplerState) -> Self:
        """Rebuild from `state`'s result."""
        check_kind(state, cls.kind)
        json = state.json
        # The initial weights are overwritten at once. Drawing them must not change the global random state.
        with torch.random.fork_rng(devices=[]):
            network = SecondStage(json["dim"], json["width"], json["n_blocks"])
        network.load_state_dict(state.tensors)
        return cls(state.name, network.eval(), json["width"], json["n_blocks"])


@dataclass(frozen=True)
class TwoStage:
    """A second VAE with as many units, fitted to draws of z; the gamma of its likelihood is learned.

    Attributes:
        width: the width of the hidden layers of encoder and decoder.
        n_blocks: the number of residual blocks of each.
        steps: gradient steps; every step uses new draws from its images' posteriors.
        batch_size: images for each step.
        learning_rate: Adam's, falling to 0.
    """

    width: int
    n_blocks: int
    steps: int
    batch_size: int
    learning_rate: float
    name: str = "two_stage"
    role: ClassVar[Role] = "candidate"
    label_source: ClassVar[LabelSource] = ""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate}: expected a number above 0")
        for key in ("width", "n_blocks", "steps", "batch_size"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least 1")

    def fit(self, inputs: FitInputs, *, generator: torch.Generator) -> FittedTwoStage:
        """Train the second stage."""
        train = inputs.train
        with isolated(generator):
            network = SecondStage(train.dim, self.width, self.n_blocks)
        z = train.draw(generator=generator).float()
        standardise(network, z)
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
        return FittedTwoStage(self.name, network, self.width, self.n_blocks)

    def restore(self, state: SamplerState, prior: Prior | None = None) -> FittedTwoStage:
        """Return the fitted sampler with this state."""
        return FittedTwoStage.from_state(state)

    def expected_moments(self, inputs: FitInputs) -> None:
        """Return None: a network has no moments in closed form."""
        return None

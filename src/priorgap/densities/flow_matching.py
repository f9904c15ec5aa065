"""Flow matching on z: a velocity field that carries N(0, I) to the draws along straight lines."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.core.fit_network import fit_network
from priorgap.core.random import isolated
from priorgap.densities.networks import BestEpoch, check_fit, standardise
from priorgap.densities.protocols import check_n, check_points

_ROWS = 16_384

Velocity = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class VelocityShape:
    """The architecture of a velocity field.

    Attributes:
        hidden: widths of the hidden layers.
        frequencies: time enters as sines and cosines of 2 pi k t for k = 1, ..., `frequencies`.
    """

    hidden: tuple[int, ...]
    frequencies: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden={list(self.hidden)}: expected positive integers")
        if self.frequencies < 1:
            raise ValueError(f"frequencies={self.frequencies}: expected an integer of at least 1")


class VelocityNetwork(nn.Module):
    """v(y, t) for standardised z: the velocity of a point at time t."""

    def __init__(self, dim: int, shape: VelocityShape) -> None:
        super().__init__()
        widths = [dim + 2 * shape.frequencies, *shape.hidden]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Linear(widths[-1], dim))
        self.frequencies = shape.frequencies
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self, y: Float[Tensor, "n d"], t: Float[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Return the velocity at each point and time."""
        angle = 2 * math.pi * t[:, None] * torch.arange(1, self.frequencies + 1, device=t.device)
        found: Tensor = self.body(torch.cat([y, angle.sin(), angle.cos()], 1))
        return found


def matching_loss(
    network: VelocityNetwork, z: Float[Tensor, "n d"], noise: Float[Tensor, "n d"], t: Float[Tensor, "n"]
) -> Tensor:
    r"""Return the mean squared error of the velocity on straight lines from noise to z.

    E ||v((1 - t) e + t y, t) - (y - e)||^2, y the standardised z, e ~ N(0, I), t uniform: its minimiser carries
    N(0, I) at t = 0 to the distribution of y at t = 1.

    **Source**: Lipman et al. (2023), "Flow matching for generative modeling", with independent pairs of noise and z.
    """
    y = (z - network.centre) / network.scale
    between = (1 - t[:, None]) * noise + t[:, None] * y
    found: Tensor = (network(between, t) - (y - noise)).square().sum(1).mean()
    return found


def integrate(velocity: Velocity, y: Float[Tensor, "n d"], steps: int) -> Float[Tensor, "n d"]:
    """Return where points at time 0 are at time 1, by the classical Runge-Kutta method of order 4 in equal steps."""
    h = 1 / steps
    for step in range(steps):
        t = step * h
        a = velocity(y, t)
        b = velocity(y + h / 2 * a, t + h / 2)
        c = velocity(y + h / 2 * b, t + h / 2)
        d = velocity(y + h * c, t + h)
        y = y + h / 6 * (a + 2 * b + 2 * c + d)
    return y


@dataclass(frozen=True, eq=False)
class FittedFlowMatching:
    """A trained velocity field, in eval mode; without a density, which would need a bound of integration errors.

    Attributes:
        network: the field.
        shape: the architecture.
        steps: the number of integration steps.
    """

    network: VelocityNetwork
    shape: VelocityShape
    steps: int
    kind: ClassVar[str] = "flow_matching"

    def carried(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return the z to which the noise is carried, in bounded memory for any n."""

        def velocity(y: Tensor, t: float) -> Tensor:
            found: Tensor = self.network(y, torch.full((len(y),), t))
            return found

        with torch.no_grad():
            y = torch.cat([integrate(velocity, rows, self.steps) for rows in noise.split(_ROWS)])
            return self.network.centre + self.network.scale * y

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows, float32: our own noise, in one call, carried to time 1."""
        check_n(n)
        return self.carried(torch.randn(n, len(self.network.centre), generator=generator))

    def state(self) -> dict[str, Tensor]:
        """Return the weights and the standardisation."""
        return dict(self.network.state_dict())

    def description(self) -> dict[str, Any]:
        """Return the shape, the dimension and the steps as plain JSON types."""
        own = {**asdict(self.shape), "hidden": list(self.shape.hidden)}
        return {**own, "dim": len(self.network.centre), "steps": self.steps}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], description: dict[str, Any]) -> Self:
        """Rebuild from `state`'s and `description`'s results."""
        shape = VelocityShape(tuple(description["hidden"]), description["frequencies"])
        # The initial weights are overwritten at once. Drawing them must not change the global random state.
        with torch.random.fork_rng(devices=[]):
            network = VelocityNetwork(description["dim"], shape)
        network.load_state_dict(tensors)
        return cls(network.eval(), shape, description["steps"])


@dataclass(frozen=True)
class FlowMatching:
    """A velocity field by flow matching; the epoch is chosen by the validation loss at fixed noise and times.

    Attributes:
        shape: the architecture.
        steps: the number of integration steps of a draw.
        epochs: passes over the draws.
        batch_size: draws for each step.
        learning_rate: Adam's, falling to 0.
        weight_decay: decoupled.
    """

    shape: VelocityShape
    steps: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: expected an integer of at least 1")
        check_fit(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )

    def fit(
        self, z_train: Float[Tensor, "n d"], z_validation: Float[Tensor, "m d"], *, generator: torch.Generator
    ) -> FittedFlowMatching:
        """Train on `z_train`; keep the weights of the epoch with the smallest loss on `z_validation`.

        Without validation draws the last epoch's weights are kept.

        Raises:
            ValueError: fewer than two points.
        """
        check_points(z_train, "z_train")
        z = z_train.float()
        with isolated(generator):
            network = VelocityNetwork(z.shape[1], self.shape)
        standardise(network, z)
        held_out = z_validation.float()
        fixed = _noise_and_times(held_out, generator)

        def score() -> float:
            return float(matching_loss(network, held_out, *fixed))

        best = BestEpoch(network, score if len(held_out) else None)

        def loss(module: nn.Module, rows: Tensor) -> Tensor:
            assert isinstance(module, VelocityNetwork)
            return matching_loss(module, rows, *_noise_and_times(rows, generator))

        fit_network(
            network,
            loss,
            (z,),
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            schedule="cosine",
            generator=generator,
            progress=best.look,
        )
        best.restore()
        return FittedFlowMatching(network.eval(), self.shape, self.steps)


def _noise_and_times(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(rows.shape, generator=generator), torch.rand(len(rows), generator=generator)

"""A normalising flow on z, with zuko's transforms and our own noise and base density."""

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from priorgap.core.fit_network import fit_network
from priorgap.core.random import isolated
from priorgap.densities.networks import BestEpoch, check_fit, standardise
from priorgap.densities.protocols import check_n, check_points

Family = Literal["nsf", "maf"]
_ROWS = 16_384


def import_zuko() -> Any:
    """Import zuko and restore torch.distributions' validation, which zuko switches off for the whole process."""
    validating = torch.distributions.Distribution._validate_args
    try:
        import zuko
    finally:
        torch.distributions.Distribution.set_default_validate_args(validating)
    return zuko


class DropoutReLU(nn.Module):
    """ReLU, then dropout in training; zuko needs an activation that is built without arguments."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Return max(x, 0); in training a share of it is dropped."""
        return nn.functional.dropout(nn.functional.relu(x), self.share, self.training)


@dataclass(frozen=True)
class FlowShape:
    """The architecture of a flow.

    Attributes:
        kind: "nsf" (masked autoregressive rational-quadratic splines) or "maf" (masked autoregressive affine maps).
        transforms: the number of transforms, with alternating orders of the units.
        hidden: widths of each conditioner's hidden layers.
        bins: the number of bins of each spline; not used by "maf".
        dropout: share of a conditioner's hidden units that training drops.
    """

    kind: Family
    transforms: int
    hidden: tuple[int, ...]
    bins: int
    dropout: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.kind not in get_args(Family):
            raise ValueError(f"kind={self.kind!r}: expected nsf or maf")
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden={list(self.hidden)}: expected positive integers")
        for key, least in (("transforms", 1), ("bins", 2)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}={getattr(self, key)}: expected an integer of at least {least}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: expected a number from 0 to below 1")


class FlowNetwork(nn.Module):
    """Transforms from standardised z to the base N(0, I), and back."""

    def __init__(self, dim: int, shape: FlowShape) -> None:
        super().__init__()
        flows = import_zuko().flows

        def activation() -> nn.Module:
            return DropoutReLU(shape.dropout)

        sizes = {"transforms": shape.transforms, "hidden_features": shape.hidden, "activation": activation}
        flow = flows.NSF(dim, bins=shape.bins, **sizes) if shape.kind == "nsf" else flows.MAF(dim, **sizes)
        # Only the transform is used, because the library's base distribution draws from the global RNG.
        self.transform = flow.transform
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z), nats."""
        base, log_det = self.transform(None).call_and_ladj((z - self.centre) / self.scale)
        normal = -0.5 * base.square().sum(1) - 0.5 * base.shape[1] * math.log(2 * math.pi)
        found: Tensor = normal + log_det - self.scale.log().sum()
        return found

    def inverse(self, noise: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return the z that belongs to the noise."""
        found: Tensor = self.centre + self.scale * self.transform(None).inv(noise)
        return found


def flow_loss(network: nn.Module, z: Float[Tensor, "n d"]) -> Tensor:
    """Return the mean negative log-density, nats."""
    assert isinstance(network, FlowNetwork)
    return -network.log_prob(z).mean()


@dataclass(frozen=True, eq=False)
class FittedFlow:
    """A trained flow, in eval mode.

    Attributes:
        network: the transforms.
        shape: the architecture.
    """

    network: FlowNetwork
    shape: FlowShape
    kind: ClassVar[str] = "flow"

    def log_prob(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Return log f(z), nats, computed in float32; memory is bounded whatever n."""
        with torch.no_grad():
            return torch.cat([self.network.log_prob(rows.float()).double() for rows in z.split(_ROWS)])

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """Draw n rows, float32: our own noise, in one call, through the inverse."""
        check_n(n)
        noise = torch.randn(n, len(self.network.centre), generator=generator)
        with torch.no_grad():
            return torch.cat([self.network.inverse(rows) for rows in noise.split(_ROWS)])

    def state(self) -> dict[str, Tensor]:
        """Return the weights and the standardisation."""
        return dict(self.network.state_dict())

    def description(self) -> dict[str, Any]:
        """Return the shape and the dimension as plain JSON types."""
        return {**asdict(self.shape), "hidden": list(self.shape.hidden), "dim": len(self.network.centre)}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor], description: dict[str, Any]) -> Self:
        """Rebuild from `state`'s and `description`'s results."""
        shape = FlowShape(**{key: value for key, value in description.items() if key != "dim"})
        # The initial weights are overwritten at once. Drawing them must not change the global random state.
        with torch.random.fork_rng(devices=[]):
            network = FlowNetwork(description["dim"], shape)
        network.load_state_dict(tensors)
        return cls(network.eval(), shape)


@dataclass(frozen=True)
class Flow:
    """A normalising flow by maximum likelihood; the epoch is chosen by validation log-likelihood.

    Attributes:
        shape: the architecture.
        epochs: passes over the draws.
        batch_size: draws for each step.
        learning_rate: Adam's, falling to 0.
        weight_decay: decoupled.
    """

    shape: FlowShape
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float

    def __post_init__(self) -> None:
        check_fit(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )

    def fit(
        self, z_train: Float[Tensor, "n d"], z_validation: Float[Tensor, "m d"], *, generator: torch.Generator
    ) -> FittedFlow:
        """Train on `z_train`; keep the weights of the epoch with the best mean log-density on `z_validation`.

        Without validation draws the last epoch's weights are kept.

        Raises:
            ValueError: fewer than two points.
        """
        check_points(z_train, "z_train")
        z = z_train.float()
        with isolated(generator):
            network = FlowNetwork(z.shape[1], self.shape)
        standardise(network, z)
        held_out = z_validation.float()

        def score() -> float:
            parts = [network.log_prob(rows).double() for rows in held_out.split(_ROWS)]
            return -float(torch.cat(parts).mean())

        best = BestEpoch(network, score if len(held_out) else None)
        # Dropout draws from the global RNG.
        with isolated(generator):
            fit_network(
                network,
                flow_loss,
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
        return FittedFlow(network.eval(), self.shape)

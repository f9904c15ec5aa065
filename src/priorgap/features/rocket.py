"""The `rocket` feature space of series: random convolutions, of which only scales are fitted."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.estimators.rocket import Rocket
from priorgap.features.maps import FeatureMap
from priorgap.features.spaces import SpaceInputs

# A maximum that varies by less than this, in standard deviations of the channels, counts as constant.
_LEAST_MAXIMUM = 1e-3


@dataclass(frozen=True, eq=False)
class RocketFeatures:
    """Two features of each random kernel: the share of positive positions and the maximum, on one common scale.

    Each feature is divided by its standard deviation over training windows, so that both kinds have the same weight
    in distances. A share that varies by less than one position, or a maximum by less than a thousandth, is not
    scaled, because a single different window would give a nearly constant feature a large weight.

    A kernel's weights are not centred, so that it responds to the level and to slow changes as well as to fast ones.
    Centred kernels respond to little but noise in smooth series; a decoder's means have no noise, and widely
    scattered draws then look better.

    Attributes:
        rocket: the kernels, and the scale of the channels.
        centre, scale: mean and scale of each feature.
    """

    rocket: Rocket
    centre: Float[Tensor, "D"]
    scale: Float[Tensor, "D"]
    name: ClassVar[str] = "rocket"
    # Kernels are random, and only overall scales come from training rows, so the features treat training rows like
    # unseen ones.
    fitted: ClassVar[bool] = False

    @classmethod
    def of(cls, x: Float[Tensor, "n T f"], *, n_kernels: int, generator: torch.Generator) -> "RocketFeatures":
        """Draw kernels for windows of x's shape, and scale channels and features by x.

        Args:
            x: real training windows.
            n_kernels: the number of kernels, half the number of features.
            generator: draws the kernels.

        Raises:
            ValueError: x is not a set of finite windows.
        """
        rocket = Rocket.of(x, n_kernels=n_kernels, generator=generator, centred=False)
        found = rocket(x)
        least = torch.where(rocket.shares, 1 / x.shape[1], _LEAST_MAXIMUM).double()
        spread = found.std(0, correction=0)
        return cls(rocket, found.mean(0), torch.where(spread > least, spread, torch.ones_like(spread)))

    def __call__(self, x: Float[Tensor, "n T f"]) -> Float[Tensor, "n D"]:
        """Return the features of windows.

        Raises:
            ValueError: the windows have another shape.
        """
        return ((self.rocket(x) - self.centre) / self.scale).float()


@dataclass(frozen=True)
class RocketSpace:
    """Features of series by random convolutions with a fixed seed: the default space of series.

    Attributes:
        n_kernels: the number of kernels, half the number of features. FID compares covariances of all features, which
            are singular unless there are more windows than features; a few times more are needed.
    """

    n_kernels: Annotated[int, AtLeast(1)]
    name: ClassVar[str] = "rocket"
    needs_classifier: ClassVar[bool] = False

    def check(self, train: Split) -> None:
        """Refuse data without time steps."""
        if not train.modality.sequences:
            raise ValueError(
                f"features=rocket: the data are {train.modality.described(train.shape)}; expected series "
                "[steps, channels], as of data=windows, or features=classifier"
            )

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Draw the kernels for the training windows' shape, and scale by these windows."""
        self.check(inputs.train)
        generator = stream(inputs.seed, "features", self.name)
        return RocketFeatures.of(inputs.train.floats(), n_kernels=self.n_kernels, generator=generator)

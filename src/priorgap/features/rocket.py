"""The `rocket` feature space of series: random convolutions, of which nothing is trained but scales."""

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

# a maximum that varies by less, in standard deviations of the channels, is taken to be constant
_LEAST_MAXIMUM = 1e-3


@dataclass(frozen=True, eq=False)
class RocketFeatures:
    """Two features of each random kernel: the share of positive positions and the maximum, on one scale.

    Each feature is in standard deviations of the training windows, so that distances count both kinds alike.
    A share that varies by less than one position, or a maximum by less than a thousandth, keeps its own unit: a
    feature that is all but constant gets no weight from one window that differs.

    The weights of a kernel are not centred: it sees level and slow changes as well as fast ones. Centred kernels see
    little but noise in smooth series; a decoder's means have none, and widely scattered draws then pass for better.

    Attributes:
        rocket: the kernels, and the scale of the channels.
        centre, scale: of each feature.
    """

    rocket: Rocket
    centre: Float[Tensor, "D"]
    scale: Float[Tensor, "D"]
    name: ClassVar[str] = "rocket"
    # kernels are random and only overall scales come from training rows, so these are not told from unseen rows
    fitted: ClassVar[bool] = False

    @classmethod
    def of(cls, x: Float[Tensor, "n T f"], *, n_kernels: int, generator: torch.Generator) -> "RocketFeatures":
        """Draw kernels for windows of this shape, and scale channels and features by these.

        Args:
            x: real training windows.
            n_kernels: half the number of features.
            generator: draws the kernels.

        Raises:
            ValueError: x is no set of finite windows.
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
    """Features of series by random convolutions of fixed seed: the default of series.

    Attributes:
        n_kernels: half the number of features. FID compares covariances of all features: with as many windows as
            features these are singular, so a few times more windows are wanted.
    """

    n_kernels: Annotated[int, AtLeast(1)]
    name: ClassVar[str] = "rocket"
    needs_classifier: ClassVar[bool] = False

    def check(self, train: Split) -> None:
        """Refuse what has no steps of time."""
        if not train.modality.sequences:
            raise ValueError(
                f"features=rocket: the data are {train.modality.described(train.shape)}; expected series "
                "[steps, channels], as of data=windows, or features=classifier"
            )

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Draw the kernels for the shape of the training windows, which scale them."""
        self.check(inputs.train)
        generator = stream(inputs.seed, "features", self.name)
        return RocketFeatures.of(inputs.train.floats(), n_kernels=self.n_kernels, generator=generator)

"""Features of series by random convolutions; nothing is trained but the channels' scale."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from priorgap.estimators.checks import NotFinite

LENGTHS = (7, 9, 11)
_BATCH = 256


@dataclass(frozen=True, eq=False)
class _Kernels:
    """Kernels with the same length, dilation and padding, which are run together."""

    weight: Float[Tensor, "k f length"]
    bias: Float[Tensor, "k"]
    dilation: int
    padding: int


@dataclass(frozen=True, eq=False)
class Rocket:
    """Random kernels for windows [n, T, f], and the scale of the windows for which they were drawn.

    Each kernel gives two features: the share of positions where the convolution is positive, and its maximum. Kernels
    have weights of N(0, 1), centred or not, a random length, dilation and padding, a random set of channels and a
    bias of U(-1, 1); windows are divided by each channel's standard deviation, not scaled one by one, so that level
    and amplitude affect the features.

    **Source**: Dempster, Petitjean & Webb (2020), "ROCKET"; several channels as in its authors' code.
    """

    centre: Float[Tensor, "f"]
    scale: Float[Tensor, "f"]
    kernels: tuple[_Kernels, ...]
    n_steps: int

    @classmethod
    def of(
        cls,
        x: Float[Tensor, "n T f"],
        *,
        n_kernels: int,
        generator: torch.Generator,
        centred: bool = True,
    ) -> "Rocket":
        """Draw kernels for windows with the shape and the scale of x.

        Args:
            x: real training windows.
            n_kernels: the number of kernels, half the number of features.
            generator: draws the kernels.
            centred: whether a kernel's weights sum to 0 over its steps, as in its authors' code: it then responds to
                changes, and to the level only at padded ends.

        Raises:
            ValueError: x is no set of windows, or n_kernels is below 1.
        """
        if x.ndim != 3 or min(x.shape) < 1:
            raise ValueError(f"x has shape {tuple(x.shape)}: expected windows [n, T, f]")
        if n_kernels < 1:
            raise ValueError(f"n_kernels={n_kernels}: expected an integer >= 1")
        if not bool(torch.isfinite(x).all()):
            raise NotFinite("x has values that are not finite: expected finite numbers")
        x = x.double()
        scale = x.std((0, 1), correction=0)
        _, n_steps, n_channels = x.shape
        drawn: dict[tuple[int, int, int], list[tuple[Tensor, Tensor]]] = {}
        for _ in range(n_kernels):
            shape, kernel = _kernel(n_steps, n_channels, generator=generator, centred=centred)
            drawn.setdefault(shape, []).append(kernel)
        kernels = tuple(
            _Kernels(torch.stack([w for w, _ in own]), torch.stack([b for _, b in own]), dilation, padding)
            for (_, dilation, padding), own in sorted(drawn.items())
        )
        return cls(x.mean((0, 1)), torch.where(scale > 0, scale, torch.ones_like(scale)), kernels, n_steps)

    def __call__(self, x: Float[Tensor, "n T f"]) -> Float[Tensor, "n D"]:
        """Return the features of windows.

        Raises:
            ValueError: the windows have another shape.
        """
        if x.ndim != 3 or tuple(x.shape[1:]) != (self.n_steps, len(self.scale)):
            raise ValueError(f"x has shape {tuple(x.shape)}: expected [n, {self.n_steps}, {len(self.scale)}]")
        with torch.no_grad():
            return torch.cat([self._features(part) for part in x.split(_BATCH)])

    @property
    def shares(self) -> Bool[Tensor, "D"]:
        """Which features are shares of positions; the others are maxima."""
        return torch.cat([torch.arange(2 * len(own.bias)) < len(own.bias) for own in self.kernels])

    def _features(self, x: Float[Tensor, "b T f"]) -> Float[Tensor, "b D"]:
        signal = ((x.double() - self.centre) / self.scale).transpose(1, 2)
        found = []
        for own in self.kernels:
            y = functional.conv1d(signal, own.weight, own.bias, padding=own.padding, dilation=own.dilation)
            found += [(y > 0).double().mean(2), y.amax(2)]
        return torch.cat(found, 1)


def _kernel(
    n_steps: int, n_channels: int, *, generator: torch.Generator, centred: bool
) -> tuple[tuple[int, int, int], tuple[Float[Tensor, "f length"], Tensor]]:
    """Draw one kernel: length, dilation, padding, weights and bias."""

    def uniform() -> float:
        return float(torch.rand((), generator=generator, dtype=torch.float64))

    fitting = [length for length in LENGTHS if length <= n_steps] or [n_steps]
    length = fitting[int(uniform() * len(fitting))]
    reach = math.log2((n_steps - 1) / (length - 1)) if length > 1 else 0.0
    dilation = int(2 ** (uniform() * reach))
    padding = (length - 1) * dilation // 2 if uniform() < 0.5 else 0
    # A kernel uses from one channel to all of them, small numbers more often.
    n_used = int(2 ** (uniform() * math.log2(n_channels + 1)))
    used = torch.randperm(n_channels, generator=generator)[: max(1, min(n_used, n_channels))]
    own = torch.randn(len(used), length, generator=generator, dtype=torch.float64)
    weight = torch.zeros(n_channels, length, dtype=torch.float64)
    weight[used] = own - own.mean(1, keepdim=True) if centred and length > 1 else own
    bias = torch.tensor(2 * uniform() - 1, dtype=torch.float64)
    return (length, dilation, padding), (weight, bias)

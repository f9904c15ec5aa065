"""Synthetic time series whose distribution is known: sines of random phase with noise."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split


@dataclass(frozen=True)
class Sines:
    """x[t, c] = a_c sin(2 pi k_c t / T + phase) + noise * e: second moments and spectrum have closed forms.

    A row has one phase, uniform on the circle and the same in all channels; e is standard normal, and rows are
    independent, so that any split of them is valid. Over the rows:

    - mean 0, autocovariance of channel c at lag h: a_c^2 / 2 cos(2 pi k_c h / T) + noise^2 [h = 0];
    - periodogram |DFT|^2 / T at frequency j, 0 <= j <= T / 2: a_c^2 T / 4 [j = k_c] + noise^2;
    - covariance of x[t, c] and x[s, d]: a_c a_d / 2 cos(2 pi (k_c t - k_d s) / T) + noise^2 [t = s, c = d]; channels
      of one frequency are correlated at every step, those of two frequencies are not on average over the steps;
    - marginally the arcsine distribution on [-a_c, a_c], plus the noise.

    Given the phase a row is Gaussian, so that whatever is linear in x is an integral over one circle.

    Attributes:
        n_steps: T, the length of a row.
        frequencies: k_c, whole cycles in a row, one for each channel; above 0 and below T / 2.
        amplitudes: a_c, one for each channel.
        noise: the standard deviation of the noise.
        n_train: rows of the training split.
        n_validation: rows of the validation split.
        n_test: rows of the test split.
        data_seed: the seed of the draws.
    """

    name: str = "sines"
    n_steps: Annotated[int, AtLeast(3)] = 24
    frequencies: tuple[int, ...] = (2, 2, 5)
    amplitudes: tuple[float, ...] = (1.0, 0.5, 1.0)
    noise: float = 0.2
    n_train: Annotated[int, AtLeast(1)] = 4000
    n_validation: Annotated[int, AtLeast(1)] = 1000
    n_test: Annotated[int, AtLeast(1)] = 2000
    data_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int | None = None

    def __post_init__(self) -> None:
        for key in ("frequencies", "amplitudes"):
            object.__setattr__(self, key, tuple(getattr(self, key)))
        wrong = [k for k in self.frequencies if not 0 < k < self.n_steps / 2]
        if wrong or not self.frequencies:
            raise ValueError(
                f"data.source.frequencies={list(self.frequencies)}: expected at least one integer, each from 1 to "
                f"{math.ceil(self.n_steps / 2) - 1}, below half of n_steps={self.n_steps}"
            )
        if len(self.amplitudes) != self.n_channels or not all(0 < a < math.inf for a in self.amplitudes):
            raise ValueError(
                f"data.source.amplitudes={list(self.amplitudes)}: expected {self.n_channels} positive numbers, one "
                "for each of the frequencies"
            )
        if not 0 < self.noise < math.inf:
            raise ValueError(f"data.source.noise={self.noise}: expected a positive number")

    @property
    def n_channels(self) -> int:
        """The number of values at each step."""
        return len(self.frequencies)

    def draw(self, n: int, *, generator: torch.Generator) -> Float[Tensor, "n T f"]:
        """Draw n rows, float64."""
        phase = 2 * math.pi * torch.rand(n, 1, 1, generator=generator, dtype=torch.float64)
        e = torch.randn(n, self.n_steps, self.n_channels, generator=generator, dtype=torch.float64)
        return self.signal(phase) + self.noise * e

    def signal(self, phase: Float[Tensor, "n 1 1"]) -> Float[Tensor, "n T f"]:
        """Return the noiseless rows of given phases, which are the means of x given its phase."""
        return self._amplitudes() * torch.sin(self._angles() + phase)

    def autocovariance(self) -> Float[Tensor, "T f"]:
        """Return the autocovariance of each channel at lags 0 to T - 1."""
        found = self._amplitudes() ** 2 / 2 * torch.cos(self._angles())
        found[0] += self.noise**2
        return found

    def autocorrelation(self) -> Float[Tensor, "T f"]:
        """Return the autocorrelation of each channel at lags 0 to T - 1."""
        found = self.autocovariance()
        return found / found[0]

    def spectrum(self) -> Float[Tensor, "k f"]:
        """Return the expected periodogram |DFT|^2 / T of each channel at frequencies 0 to T // 2."""
        found = torch.full((self.n_steps // 2 + 1, self.n_channels), self.noise**2, dtype=torch.float64)
        lines = self._amplitudes() ** 2 * self.n_steps / 4
        for channel, frequency in enumerate(self.frequencies):
            found[frequency, channel] += lines[channel]
        return found

    def covariance(self) -> Float[Tensor, "D D"]:
        """Return the covariance of a row's values, flattened by steps first: value (t, c) has index t f + c."""
        angle, amplitude = self._angles().flatten(), self._amplitudes().expand(self.n_steps, -1).flatten()
        signal = torch.outer(amplitude, amplitude) / 2 * torch.cos(angle[:, None] - angle)
        return signal + self.noise**2 * torch.eye(len(angle), dtype=torch.float64)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return drawn splits; nothing is read from `root` and nothing is downloaded."""
        sizes = {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}
        train, validation, test = (
            Split(
                self.draw(n, generator=stream(self.data_seed, "sines", part)).float(), None, "float_sequence"
            )
            for part, n in sizes.items()
        )
        provenance = {"source": "drawn", "data_seed": self.data_seed, "sizes": list(sizes.values())}
        return Dataset(self.name, train, validation, test, None, official=True, provenance=provenance)

    def _amplitudes(self) -> Float[Tensor, "f"]:
        return torch.tensor(self.amplitudes, dtype=torch.float64)

    def _angles(self) -> Float[Tensor, "T f"]:
        """Return 2 pi k_c t / T."""
        steps = torch.arange(self.n_steps, dtype=torch.float64)[:, None]
        cycles = torch.tensor(self.frequencies, dtype=torch.float64)
        found: Tensor = 2 * math.pi / self.n_steps * steps * cycles
        return found

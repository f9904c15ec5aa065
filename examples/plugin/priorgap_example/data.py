"""Bars: images of one horizontal or vertical bar, blurred and noisy, generated from a seed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from priorgap.core.arguments import AtLeast
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split


@dataclass(frozen=True)
class Bars:
    """Images [n, 1, size, size] of one bar each; its direction is the class.

    Attributes:
        size: width and height.
        n_train, n_validation, n_test: rows of each split.
        data_seed: the seed of the draws.
    """

    size: Annotated[int, AtLeast(4)]
    n_train: Annotated[int, AtLeast(2)]
    n_validation: Annotated[int, AtLeast(2)]
    n_test: Annotated[int, AtLeast(2)]
    data_seed: Annotated[int, AtLeast(0)]
    name: str = "bars"
    n_classes: int = 2

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; nothing is read from `root` and nothing is downloaded."""
        sizes = {"train": self.n_train, "validation": self.n_validation, "test": self.n_test}
        train, validation, test = (self._split(name, n) for name, n in sizes.items())
        facts = {"source": "priorgap_example bars", "data_seed": self.data_seed}
        return Dataset(self.name, train, validation, test, self.n_classes, official=False, provenance=facts)

    def _split(self, part: str, n: int) -> Split:
        g = stream(self.data_seed, "bars", part)
        label = torch.randint(0, 2, (n,), generator=g)
        place = self.size * torch.rand(n, generator=g)
        axis = torch.arange(self.size) + 0.5
        profile = torch.exp(-(axis - place[:, None]).square())
        x = profile[:, :, None].expand(n, self.size, self.size)
        x = torch.where(label[:, None, None] == 1, x, x.transpose(1, 2))
        x = (x + 0.05 * torch.randn(n, self.size, self.size, generator=g)).clamp(0, 1)
        return Split((x * 255).round().to(torch.uint8).unsqueeze(1), label, "uint8_image")

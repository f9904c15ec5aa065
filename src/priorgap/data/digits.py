"""The built-in default data: 1,797 real handwritten digits of 8 x 8 pixels, which scikit-learn ships."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch

from priorgap.core.arguments import AtLeast
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split, check_fractions, stratified_split


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits as uint8 images [n, 1, 8, 8], with a fixed split of our own (there is no official one).

    Attributes:
        validation_fraction: the part of each class kept for validation.
        test_fraction: the part of each class kept for the test.
        split_seed: the seed of the split; the same for every model of a study.
    """

    name: str = "digits"
    validation_fraction: float = 0.2
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    n_classes: int = 10

    def __post_init__(self) -> None:
        check_fractions(self.validation_fraction, self.test_fraction)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; nothing is read from `root` and nothing is downloaded."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        # The values 0 to 16 are scaled to 0 to 255.
        x = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
        label = torch.from_numpy(bunch.target).to(torch.int64)
        fractions = (self.test_fraction, self.validation_fraction)
        test, validation, train = stratified_split(
            label, fractions, generator=stream(self.split_seed, "split", self.name)
        )
        everything = Split(x, label, "uint8_image")
        provenance = {
            "source": "scikit-learn load_digits",
            "split": "stratified, ours (the data set has no official one)",
            "split_seed": self.split_seed,
            "sizes": [len(train), len(validation), len(test)],
        }
        return Dataset(
            self.name,
            everything.take(train),
            everything.take(validation),
            everything.take(test),
            self.n_classes,
            official=False,
            provenance=provenance,
        )

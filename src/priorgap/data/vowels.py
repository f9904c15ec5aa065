"""Japanese Vowels: 640 labelled series of nine speakers, read from the files of another package."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from priorgap.core.arguments import AtLeast
from priorgap.core.random import stream
from priorgap.data.files.packaged import packaged_file
from priorgap.data.scaling import ColumnScaling
from priorgap.data.splits import DataCorrupt, Dataset, Split, stratified_split

_PACKAGE, _FOLDER = "aeon", "aeon/datasets/data/JapaneseVowels"
SHA256 = {
    "TRAIN": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "TEST": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}
_INSTALL = "pip install --no-deps aeon==1.6.0 brings the files; it need not be importable"
_COEFFICIENTS = tuple(f"lpc{i}" for i in range(1, 13))


@dataclass(frozen=True)
class Vowels:
    """Series [n_steps, 12] of linear-prediction coefficients of two vowels; the label is one of nine male speakers.

    The series have 7 to 29 steps: each is brought to `n_steps` by linear interpolation over its own duration, first
    and last step kept, so that all series have the same length. The test part is the published one (370 series);
    validation is taken from the 270 published for training, in each class.

    **Source**: Kudo, Toyama & Shimbo (1999), "Multidimensional curve classification using passing-through regions";
    UCI, here from the files that the package aeon holds (BSD), read without importing it.

    Attributes:
        n_steps: the number of steps of every series.
        validation_fraction: the part of the published training series kept for validation, in each class.
        split_seed: the seed of the split.
    """

    n_steps: Annotated[int, AtLeast(2)] = 20
    validation_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    name: str = "vowels"
    n_classes: int = 9

    def __post_init__(self) -> None:
        if self.n_steps < 2:
            raise ValueError(f"data.source.n_steps={self.n_steps}: expected an integer >= 2")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"data.source.validation_fraction={self.validation_fraction}: expected a number between 0 and 1"
            )

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set from the installed package; `root` is not used and nothing is downloaded.

        Raises:
            DataUnavailable: the package is not installed.
            DataCorrupt: its files have other checksums.
        """
        read = {part: self._read(part) for part in SHA256}
        label = torch.tensor(read["TRAIN"][1])
        generator = stream(self.split_seed, "split", self.name)
        validation, train = stratified_split(label, (self.validation_fraction,), generator=generator)
        official = [resampled(one, self.n_steps) for one in read["TRAIN"][0]]
        scaling = ColumnScaling.fit(np.concatenate([official[i] for i in train.tolist()]), _COEFFICIENTS)

        def part(series: "list[np.ndarray]", labels: "list[int]") -> Split:
            x = np.stack([scaling.scaled(one) for one in series]).astype(np.float32)
            return Split(torch.from_numpy(x), torch.tensor(labels), "float_sequence")

        known = part(official, read["TRAIN"][1])
        test = part([resampled(one, self.n_steps) for one in read["TEST"][0]], read["TEST"][1])
        lengths = sorted(len(one) for series, _ in read.values() for one in series)
        facts = {
            "source": f"package {_PACKAGE}, {_FOLDER}", "sha256": dict(SHA256), "columns": list(_COEFFICIENTS),
            "steps_before": [lengths[0], lengths[-1]], "n_steps": self.n_steps, "split_seed": self.split_seed,
            "sizes": [len(train), len(validation), len(test)], **scaling.facts(),
        }  # fmt: skip
        return Dataset(
            self.name, known.take(train), known.take(validation), test, self.n_classes, True, facts
        )

    def _read(self, part: str) -> "tuple[list[np.ndarray], list[int]]":
        file = f"{_FOLDER}/JapaneseVowels_{part}.ts"
        path = packaged_file(_PACKAGE, file, SHA256[part], data=self.name, install=_INSTALL)
        try:
            return read_ts(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataCorrupt(f"data={self.name}: {path}: {error}") from error


def read_ts(text: str) -> "tuple[list[np.ndarray], list[int]]":
    """Return the series [steps, channels] of a `.ts` text, and their classes from 0 on.

    Lines after `@data` hold the channels, separated by colons, each with its steps separated by commas, and at the
    end the class, as `@classLabel` names it.

    Raises:
        ValueError: a line has another form.
    """
    head, _, body = text.partition("@data\n")
    names = next((line.split()[2:] for line in head.splitlines() if line.startswith("@classLabel")), [])
    series, labels = [], []
    for number, line in enumerate(filter(None, body.splitlines()), 1):
        *channels, name = line.split(":")
        if name not in names:
            raise ValueError(f"series {number}: class {name!r}; expected one of {', '.join(names)}")
        columns = [np.array(channel.split(","), dtype=np.float64) for channel in channels]
        series.append(np.stack(columns, axis=1))
        labels.append(names.index(name))
    return series, labels


def resampled(series: np.ndarray, n_steps: int) -> np.ndarray:
    """Return a series [steps, channels] at n_steps equally spaced moments, interpolated linearly between steps."""
    moments = np.linspace(0, len(series) - 1, n_steps)
    steps = np.arange(len(series))
    return np.stack([np.interp(moments, steps, channel) for channel in series.T], axis=1)

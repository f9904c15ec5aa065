"""Patches of two colour photographs that scikit-learn ships: natural textures without a download."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.artifacts import file_digest
from priorgap.core.random import stream
from priorgap.data.splits import Dataset, Split, check_fractions

_PHOTOS = ("china.jpg", "flower.jpg")
# The number of vertical bands of each photograph; each band belongs to one part of the data.
_BANDS = 16
_LEAST_SIDE = 8


@dataclass(frozen=True)
class PhotoPatches:
    """Overlapping square patches; no patch shares a pixel with one in another part of the data.

    Each photograph is cut into 16 vertical bands. A band belongs to training, validation or test as a whole, and half
    a patch on either side of it is left out: neighbouring pixels look alike, and after a random split of overlapping
    patches the test set would hold no unseen pixels.

    Attributes:
        side: the side of a patch, in pixels.
        stride: the distance from one patch to the next, in pixels.
        validation_fraction: the part of the bands kept for validation.
        test_fraction: the part of the bands kept for the test.
        split_seed: the seed of the split.
    """

    side: Annotated[int, AtLeast(_LEAST_SIDE)] = 16
    stride: Annotated[int, AtLeast(1)] = 4
    validation_fraction: float = 0.125
    test_fraction: float = 0.25
    split_seed: Annotated[int, AtLeast(0)] = 0
    name: str = "photo_patches"
    n_classes: int = len(_PHOTOS)

    def __post_init__(self) -> None:
        check_fractions(self.validation_fraction, self.test_fraction)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set; nothing is read from `root` and nothing is downloaded.

        Raises:
            ValueError: a patch does not fit into a band; one line.
        """
        from sklearn.datasets import load_sample_images

        found = load_sample_images()
        photos = {
            Path(file).name: torch.tensor(x) for file, x in zip(found.filenames, found.images, strict=True)
        }
        bands_of = self._bands()
        parts: dict[str, list[Tensor]] = {name: [] for name in bands_of}
        labels: dict[str, list[int]] = {name: [] for name in bands_of}
        for number, photo in enumerate(_PHOTOS):
            for name, bands in bands_of.items():
                patches = self._patches(photos[photo], bands)
                parts[name].append(patches)
                labels[name] += [number] * len(patches)
        splits = {name: Split(torch.cat(parts[name]), torch.tensor(labels[name])) for name in parts}
        files = {Path(file).name: file_digest(Path(file)) for file in found.filenames}
        facts = {
            "source": "scikit-learn load_sample_images", "sha256": files,
            "classes": [Path(photo).stem for photo in _PHOTOS],
            "attribution": "photographs by danielbuechele (china) and vultilion (flower), Flickr, CC BY 2.0",
            "split": "by upright bands of the photographs, ours", "split_seed": self.split_seed,
            "sizes": [len(split) for split in splits.values()],
        }  # fmt: skip
        return Dataset(
            self.name,
            splits["train"],
            splits["validation"],
            splits["test"],
            self.n_classes,
            official=False,
            provenance=facts,
        )

    def _bands(self) -> dict[str, list[int]]:
        """Return the bands of each part; they are the same in both photographs."""
        order = torch.randperm(_BANDS, generator=stream(self.split_seed, "split", self.name)).tolist()
        n_test, n_validation = (
            max(1, round(fraction * _BANDS)) for fraction in (self.test_fraction, self.validation_fraction)
        )
        return {
            "train": order[n_test + n_validation :],
            "validation": order[n_test : n_test + n_validation],
            "test": order[:n_test],
        }

    def _patches(self, photo: Tensor, bands: Sequence[int]) -> Tensor:
        """Return the patches [n, 3, side, side] of some bands of a photograph [h, w, 3]."""
        height, width, _ = photo.shape
        margin = self.side // 2
        found = []
        for band in sorted(bands):
            left, right = band * width // _BANDS + margin, (band + 1) * width // _BANDS - margin
            if right - left < self.side or height < self.side:
                widest = width // _BANDS // 2
                raise ValueError(
                    f"data.source.side={self.side}: expected {_LEAST_SIDE} to {widest}, half of a band"
                )
            cut = photo[:, left:right].permute(2, 0, 1)
            grid = cut.unfold(1, self.side, self.stride).unfold(2, self.side, self.stride)
            found.append(grid.permute(1, 2, 0, 3, 4).reshape(-1, 3, self.side, self.side))
        return torch.cat(found).contiguous()

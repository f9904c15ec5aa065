"""A small world with a known truth: two classes of 8x8 images, a smooth decoder, and an accurate encoder."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.features.maps import PixelFeatures
from priorgap.metrics import ModelEvidence, Reference, build_reference
from priorgap.metrics.evidence import LogLikelihood
from priorgap.modalities.images import quantise

DIM = 3
CLASSES = 2
STD = 0.3
SIZES = {"train": 400, "validation": 250, "test": 250}


def _weights() -> Tensor:
    return torch.randn(DIM, 64, generator=stream(0, "decoder")) * 0.9


def decode(z: Tensor, label: Tensor | None = None) -> Tensor:
    """Return one image per z; neighbouring z give similar images."""
    return torch.sigmoid(z.float() @ _weights()).view(-1, 1, 8, 8)


def encode(x: Split) -> Tensor:
    """Return the least-squares inverse of the decoder, for stored images."""
    logits = torch.logit(x.floats().flatten(1).clamp(1e-3, 1 - 1e-3))
    found: Tensor = logits @ torch.linalg.pinv(_weights())
    return found


def truth(n: int, name: str) -> tuple[Tensor, Tensor]:
    """Return z of images: two clusters at +-1.5 in the first unit, one for each class, and a hole between them."""
    g = stream(1, "truth", name)
    label = torch.randint(0, CLASSES, (n,), generator=g)
    z = 0.5 * torch.randn(n, DIM, generator=g)
    z[:, 0] += 3.0 * label - 1.5
    return z, label


def part(name: str) -> tuple[Split, Latents]:
    """Return the images of one split, and their posteriors."""
    z, label = truth(SIZES[name], name)
    g = stream(1, "noise", name)
    x = decode(z) + 0.05 * torch.randn(len(z), 1, 8, 8, generator=g)
    mean = z + STD * 0.3 * torch.randn(z.shape, generator=g)
    return Split(quantise(x), label), Latents(mean, torch.full_like(mean, STD).log() * 2, label)


def log_likelihood_of(split: Split) -> LogLikelihood:
    """Return the function log N(x | decode z, 0.1² I) of the rows of a split."""

    def log_likelihood(z: Tensor, row: Tensor) -> Tensor:
        error = (decode(z) - split.batch(row)).flatten(1).square().sum(1)
        return -0.5 * error / 0.1**2 - 64 * math.log(0.1 * math.sqrt(2 * math.pi))

    return log_likelihood


@dataclass(frozen=True)
class World:
    """The real data and one model's evidence."""

    reference: Reference
    model: ModelEvidence

    def draw(self, n: int = 250, seed: int = 3) -> LatentDraw:
        """Draw from the true distribution of z, with labels."""
        z, label = truth(n, f"draw {seed}")
        return LatentDraw(z, None, label)

    def prior_draw(self, n: int = 250) -> LatentDraw:
        """Draw from N(0, I), without labels."""
        return LatentDraw(torch.randn(n, DIM, generator=stream(2, "prior")))


_WORLDS: dict[str, World] = {}


def world() -> World:
    """Return the world, built once; every call returns new evidence with an empty cache."""
    if "world" not in _WORLDS:
        (train, z_train), (validation, z_validation), (test, z_test) = map(part, SIZES)
        reference = build_reference(
            train,
            validation,
            test,
            n_classes=CLASSES,
            feature_map=PixelFeatures(),
            n=250,
            n_pool=400,
            n_classifier=200,
            epochs=6,
            seed=0,
        )
        distortion = torch.rand(len(test), generator=stream(4)) + 20
        model = ModelEvidence(
            z_train,
            z_validation,
            z_test,
            decode=decode,
            encode=encode,
            reference=reference,
            distortion=distortion,
            distortion_sse=2 * distortion,
            log_likelihood=log_likelihood_of(test),
        )
        _WORLDS["world"] = World(reference, model)
    built = _WORLDS["world"]
    return replace(built, model=fresh(built.model))


def fresh(model: ModelEvidence, **changes: Any) -> ModelEvidence:
    """Return the same evidence with some fields changed and an empty cache."""
    return replace(model, **({"memo": {}} | changes))

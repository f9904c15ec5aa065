"""A small world of series with a known truth: windows of two waves, a smooth decoder, an accurate encoder."""

import math

import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.features.maps import PixelFeatures
from priorgap.metrics import ModelEvidence, Reference, build_reference
from priorgap.testing.world import STD, World, fresh

DIM, STEPS, CHANNELS = 3, 8, 2
SIZES = {"train": 400, "validation": 250, "test": 250}


def decode(z: Tensor, label: Tensor | None = None) -> Tensor:
    """Return one window per z: two units give a wave's phase, the third its level; channel 2 lags one step behind."""
    t = 2 * math.pi * torch.arange(STEPS) / STEPS
    z = z.float()
    channels = []
    for behind in range(CHANNELS):
        wave = z[:, :1] * (t - behind).cos() + z[:, 1:2] * (t - behind).sin()
        channels.append(wave + 0.3 * z[:, 2:3])
    return torch.stack(channels, 2)


def encode(x: Split) -> Tensor:
    """Return the least-squares inverse of the decoder."""
    basis = decode(torch.eye(DIM)).flatten(1)
    found: Tensor = x.floats().flatten(1) @ torch.linalg.pinv(basis)
    return found


def _part(name: str) -> tuple[Split, Latents]:
    g = stream(5, "series", name)
    z = torch.randn(SIZES[name], DIM, generator=g) * torch.tensor([1.0, 1.0, 0.5])
    x = decode(z) + 0.05 * torch.randn(len(z), STEPS, CHANNELS, generator=g)
    mean = z + STD * 0.3 * torch.randn(z.shape, generator=g)
    return Split(x, None, "float_sequence"), Latents(mean, torch.full_like(mean, STD).log() * 2)


class SeriesWorld(World):
    """Real windows and one model's evidence."""

    def draw(self, n: int = 250, seed: int = 3) -> LatentDraw:
        """Draw from the true distribution of z."""
        z = torch.randn(n, DIM, generator=stream(seed, "series draw"))
        return LatentDraw(z * torch.tensor([1.0, 1.0, 0.5]))


_WORLDS: dict[str, SeriesWorld] = {}


def series_world() -> SeriesWorld:
    """Return the world, built once; every call returns new evidence with an empty cache."""
    if "world" not in _WORLDS:
        (train, z_train), (validation, z_validation), (test, z_test) = map(_part, SIZES)
        reference: Reference = build_reference(
            train, validation, test, n_classes=None, feature_map=PixelFeatures(), n=250, n_pool=400,
            n_classifier=200, epochs=1, seed=0,
        )  # fmt: skip
        model = ModelEvidence(
            z_train, z_validation, z_test, decode=decode, encode=encode, reference=reference
        )
        _WORLDS["world"] = SeriesWorld(reference, model)
    built = _WORLDS["world"]
    return SeriesWorld(built.reference, fresh(built.model))

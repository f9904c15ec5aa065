"""A small world of tables with a known truth: two numbers, two categorical columns, an accurate encoder."""

import torch
from torch import Tensor
from torch.nn import functional

from priorgap.core.latents import LatentDraw, Latents
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.features.maps import PixelFeatures
from priorgap.metrics import ModelEvidence, Reference, build_reference
from priorgap.tables.layout import Column, TableLayout
from priorgap.testing.world import STD, World, fresh

DIM, CLASSES = 3, 3
SIZES = {"train": 400, "validation": 250, "test": 250}
LAYOUT = TableLayout(
    (
        Column("age", "integer", 0, 1, mean=40.0, scale=12.0),
        Column("income", "continuous", 1, 2, missing=2, mean=3000.0, scale=900.0),
        Column("city", "categorical", 3, 6, categories=("Bern", "Cork", "Deva")),
        Column("grade", "categorical", 6, 8, categories=("a", "b")),
    ),
    "city",
)


def city_of(z: Tensor) -> Tensor:
    """Return the number of the city, which the second unit determines."""
    return (z[:, 1] > -0.5).long() + (z[:, 1] > 0.7).long()


def decode(z: Tensor, label: Tensor | None = None) -> Tensor:
    """Return one row per z: two units give numbers, the second the city, the third missing and rare values."""
    z = z.float()
    missing, rare = (z[:, 2] > 1.3).float(), (z[:, 2] < -1.8).long()
    income = (0.6 * z[:, 0] + 0.8 * z[:, 1]) * (1 - missing)
    blocks = [functional.one_hot(city_of(z), CLASSES), functional.one_hot(rare, 2)]
    return torch.cat([z[:, :1], income[:, None], missing[:, None], *(one.float() for one in blocks)], 1)


def noisy(z: Tensor, *names: str | int) -> Tensor:
    """Return a row of the data: its numbers have noise that z does not determine."""
    x = decode(z)
    noise = 0.3 * torch.randn(len(z), 2, generator=stream(5, "table", *names))
    x[:, :2] += noise * torch.stack([torch.ones(len(x)), 1 - x[:, 2]], 1)
    return x


def encode(x: Split) -> Tensor:
    """Return the units that give numbers; for the third one only whether it is large or small."""
    v = x.floats()
    return torch.stack([v[:, 0], (v[:, 1] - 0.6 * v[:, 0]) / 0.8, 1.5 * v[:, 2] - 2 * v[:, 7]], 1)


def _part(name: str) -> tuple[Split, Latents]:
    z = torch.randn(SIZES[name], DIM, generator=stream(5, "table z", name))
    label = city_of(z)
    mean = z + STD * 0.3 * torch.randn(z.shape, generator=stream(5, "table mean", name))
    log_var = torch.full_like(mean, STD).log() * 2
    return Split(noisy(z, name), label, "table", table=LAYOUT), Latents(mean, log_var, label)


class TableWorld(World):
    """Real rows and one model's evidence."""

    def draw(self, n: int = 250, seed: int = 3) -> LatentDraw:
        """Draw from the true distribution of z, labelled by city."""
        z = torch.randn(n, DIM, generator=stream(seed, "table draw"))
        return LatentDraw(z, None, city_of(z))


_WORLDS: dict[str, TableWorld] = {}


def table_world() -> TableWorld:
    """Return the world, built once; every call returns new evidence with an empty cache."""
    if "world" not in _WORLDS:
        (train, z_train), (validation, z_validation), (test, z_test) = map(_part, SIZES)
        reference: Reference = build_reference(
            train, validation, test, n_classes=CLASSES, feature_map=PixelFeatures(), n=250, n_pool=400,
            n_classifier=200, epochs=1, seed=0,
        )  # fmt: skip
        model = ModelEvidence(
            z_train, z_validation, z_test, decode=decode, encode=encode, reference=reference
        )
        _WORLDS["world"] = TableWorld(reference, model)
    built = _WORLDS["world"]
    return TableWorld(built.reference, fresh(built.model))

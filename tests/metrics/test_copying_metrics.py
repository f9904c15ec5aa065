"""Planted copies: who copies is caught, who does not is not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.metrics import Copying, Memorisation, NotApplicable
from priorgap.metrics.copies import copies_of
from priorgap.metrics.evidence import ModelEvidence
from priorgap.testing.world import STD, decode, fresh, world

COPYING = Copying(n_queries=250, quantile=0.04)


def copying(model: ModelEvidence, z: Tensor) -> dict[str, Measurement]:
    evidence = model.of("some", "candidate", LatentDraw(z))
    return {r.measure: r for r in COPYING.measure(evidence, generator=stream(0))}


def memorisation(model: ModelEvidence) -> dict[str, Measurement]:
    found = Memorisation(250).measure(model.alone(), generator=stream(0))
    for low, high in zip(*([r for r in found if r.bound == b] for b in ("lower", "upper")), strict=True):
        assert 0 <= low.value < high.value <= 1 and low.measure == high.measure
    return {r.measure: r for r in found if r.bound == "point"}


def honest_draws(n: int = 250) -> Tensor:
    """Draws of the aggregate posterior's law, from images that nobody has seen."""
    z = world().draw(n, seed=11).z
    return z + STD * torch.randn(z.shape, generator=stream(0, "honest"))


def training_images(z: Tensor, label: Tensor | None = None) -> Tensor:
    """A decoder that can only output training images: the one whose posterior mean is nearest."""
    nearest = torch.cdist(z, world().model.train.mean).argmin(1)
    return world().reference.train.floats()[nearest]


def mixed(share: float) -> Callable[[Tensor, Tensor | None], Tensor]:
    """A decoder of honest images, but for a share of training images, for sampler draws marked by z > 100."""

    def decoder(z: Tensor, label: Tensor | None = None) -> Tensor:
        marked = z[:, 0] > 100
        x = decode(torch.where(marked[:, None], torch.zeros_like(z), z))
        rows = torch.randint(len(world().reference.train), (int(marked.sum()),), generator=stream(0, "rows"))
        x[marked] = world().reference.train.floats()[rows]
        return x

    return decoder


def planted(share: float) -> dict[str, Measurement]:
    z = honest_draws()
    z[torch.rand(len(z), generator=stream(0, "mark")) < share] = 200.0
    return copying(fresh(world().model, decode=mixed(share)), z)


def excess_is_flagged(row: Measurement) -> bool:
    return row.value - 1.96 * row.std_error > 0.01


def share_is_flagged(row: Measurement) -> bool:
    return row.value - 1.96 * row.std_error > 0.5


def test_honest_draws_are_not_flagged() -> None:
    rows = copying(world().model, honest_draws())
    assert not excess_is_flagged(rows["near_copy_excess"])
    assert not share_is_flagged(rows["train_share"])
    assert rows["near_copy_excess"].space == rows["train_share"].space == "pixels"
    assert (rows["near_copy_excess"].n, rows["near_copy_excess"].n_reference) == (250, 400)
    assert rows["train_share"].n_reference == 250


def test_the_honest_models_memory_is_clean() -> None:
    rows = memorisation(world().model)
    row = rows["memorisation_auc"]
    assert abs(row.value - 0.5) < 4 * row.std_error
    assert row.unit == ""


def test_a_sampler_that_returns_training_images_is_caught() -> None:
    rows = planted(1.1)
    assert rows["near_copy_excess"].value == pytest.approx(1 - COPYING.quantile, abs=1e-9)
    assert excess_is_flagged(rows["near_copy_excess"])
    assert share_is_flagged(rows["train_share"])


def test_a_minority_of_copies_is_seen() -> None:
    few, none = planted(0.15)["near_copy_excess"], planted(0.0)["near_copy_excess"]
    assert excess_is_flagged(few)
    assert few.value > none.value + 0.08


def test_a_decoder_of_training_images_is_caught_by_train_share() -> None:
    model = fresh(world().model, decode=training_images)
    rows = copying(model, honest_draws())
    assert share_is_flagged(rows["train_share"])
    # it passes the excess, since held-out draws are copies as well
    assert not excess_is_flagged(rows["near_copy_excess"])


def test_an_encoder_that_memorises_is_caught() -> None:
    """Training posteriors decode to the very image; held-out ones to something like it."""
    here = world()
    table = here.model.train.mean

    def memory(z: Tensor, label: Tensor | None = None) -> Tensor:
        distance, row = torch.cdist(z, table).min(1)
        x = decode(z)
        known = distance < 0.05
        x[known] = here.reference.train.floats()[row[known]]
        return x

    sharp = torch.full_like(table, 0.01).log() * 2
    parts = {
        name: type(here.model.train)(latents.mean, sharp[: len(latents)], latents.label)
        for name, latents in (("train", here.model.train), ("validation", here.model.validation))
    }
    rows = memorisation(fresh(here.model, decode=memory, **parts))
    row = rows["memorisation_auc"]
    assert row.value - 4 * row.std_error > 0.9


def test_source_auc_sees_closeness_that_is_no_memory() -> None:
    """A decoder that passes the noisy input through, for all images alike, memorises nothing."""
    here = world()
    images = {"train": here.reference.train.floats(), "validation": here.reference.validation.floats()}
    table = torch.cat([here.model.train.mean, here.model.validation.mean])
    x = torch.cat(list(images.values()))
    sharp = {
        name: type(here.model.train)(latents.mean, torch.full_like(latents.mean, -14.0), latents.label)
        for name, latents in (("train", here.model.train), ("validation", here.model.validation))
    }

    def through(z: Tensor, label: Tensor | None = None) -> Tensor:
        noise = 0.02 * torch.randn(len(z), 1, 8, 8, generator=stream(5, "noise", len(z)))
        return x[torch.cdist(z, table).argmin(1)] + noise

    rows = memorisation(fresh(here.model, decode=through, **sharp))
    assert rows["source_auc"].value > 0.95
    assert abs(rows["memorisation_auc"].value - 0.5) < 4 * rows["memorisation_auc"].std_error


def test_distances_to_t_use_the_whole_of_t() -> None:
    here = world()
    found = copies_of(here.model, 60)
    assert len(found.posterior_to_train) == len(found.heldout_to_swapped) == 60
    assert found.train_rows.unique().shape == (250,)
    assert bool((found.heldout_to_swapped <= found.heldout_to_train + 1e-9).float().mean() > 0.5)


def test_the_exchanged_image_is_left_out() -> None:
    """With every training image the same, leaving one out changes nothing; with only one near, it must."""
    from priorgap.metrics.copies import make_copies

    here = world()
    train = here.model.train
    twins = fresh(
        here.model, decode=lambda z, y: here.reference.train.floats()[:1].expand(len(z), -1, -1, -1)
    )
    found = make_copies(train, here.model.validation, here.reference, twins.decoded, 250, 0)
    assert bool((found.heldout_to_train == 0).all())
    gone = found.heldout_to_swapped > 0  # draws whose random image was the only one at distance 0
    expected = torch.randint(len(train), (250,), generator=_after_permutations(len(train), 250)) == 0
    assert torch.equal(gone, expected)


def _after_permutations(n_train: int, n_validation: int) -> torch.Generator:
    generator = stream(0, "copies")
    torch.randperm(n_train, generator=generator)
    torch.randperm(n_validation, generator=generator)
    return generator


def test_an_unknown_null_is_said() -> None:
    rows = memorisation(fresh(world().model, heldout_exchangeable=False))
    assert rows["memorisation_auc"].unit == "null unknown"
    assert rows["source_auc"].unit == ""


def test_measures_do_not_depend_on_which_samplers_were_asked_before() -> None:
    first = copying(world().model, honest_draws())
    model = world().model
    copying(model, world().prior_draw().z)
    memorisation(model)
    assert copying(model, honest_draws()) == first


def test_too_few_held_out_draws_for_the_quantile() -> None:
    evidence = world().model.of("some", "candidate", LatentDraw(honest_draws()))
    with pytest.raises(NotApplicable, match=r"near-copy excess: .* validation rows; expected at least"):
        Copying(n_queries=250, quantile=0.001).measure(evidence, generator=stream(0))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Copying(1, 0.01), "n_queries=1"),
        (lambda: Copying(10, 0.0), "quantile=0.0"),
        (lambda: Memorisation(0), "n_queries=0"),
    ],
)
def test_bad_hyperparameters(make: object, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()

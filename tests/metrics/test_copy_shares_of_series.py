"""Windows that are training windows moved by a few steps are labelled copies; fresh windows are not."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.metrics import CopyShares
from priorgap.metrics.evidence import ModelEvidence
from priorgap.metrics.near_copies import ALIGNED_STEPS
from priorgap.testing.series_world import series_world
from priorgap.testing.world import fresh
from priorgap.verdict.copying_label import copying_label

METRIC = CopyShares(n_queries=300, n_searched=200)
STEPS = 16
# places of training windows, of unseen ones, and where others may be
N_TRAIN, N_UNSEEN = 300, 200


def series(n: int, name: str) -> Tensor:
    """An autoregression of two channels."""
    e = torch.randn(n, 2, generator=stream(0, "copies of series", name))
    rows = [e[0]]
    for t in range(1, n):
        rows.append(0.7 * rows[-1] + 0.7 * e[t])
    return torch.stack(rows)


def windows(x: Tensor, stride: int) -> Tensor:
    return torch.stack([x[i : i + STEPS] for i in range(0, len(x) - STEPS + 1, stride)])


def model_of(stride: int) -> tuple[ModelEvidence, Tensor]:
    """A model of windows that follow each other at a stride, and the series that training windows are cut from."""
    lengths = {"train": N_TRAIN, "validation": N_UNSEEN, "test": N_UNSEEN}
    own = {name: series(STEPS + stride * (n - 1), name) for name, n in lengths.items()}
    here = series_world().model
    reference = here.reference
    assert reference is not None
    parts = {name: replace(getattr(reference, name), x=windows(x, stride)) for name, x in own.items()}
    unknown = dict.fromkeys(parts)
    return fresh(here, reference=replace(reference, **parts, memo={}), **unknown), own["train"]


def returning(made: Tensor, model: ModelEvidence) -> list[Measurement]:
    given = fresh(model, decode=lambda z, label=None: made[z[:, 0].long()])
    evidence = given.of("some", "candidate", LatentDraw(torch.arange(len(made))[:, None].float()))
    return METRIC.measure(evidence, generator=stream(0))


def label(rows: list[Measurement]) -> str | None:
    head = {"study": "s", "cell": "c", "sampler": "some", "role": "candidate", "model": "m", "seed": 0}
    return copying_label(pd.DataFrame([{**head, **row.to_json()} for row in rows]), "some", 0.95)


def value(rows: list[Measurement], measure: str, space: str, bound: str = "point") -> float:
    (found,) = [r.value for r in rows if (r.measure, r.space, r.bound) == (measure, space, bound)]
    return found


@pytest.mark.parametrize("stride", [2, STEPS])
def test_fresh_windows_are_not_labelled(stride: int) -> None:
    model, _ = model_of(stride)
    made = windows(series(STEPS * 200, "fresh"), STEPS)
    for some in (made, 0.8 * made, model.reference.test.x):
        rows = returning(some, model)
        assert {r.space for r in rows} == {"data", ALIGNED_STEPS}
        assert value(rows, "near_copy_share", ALIGNED_STEPS) < 0.02 and label(rows) is None


@pytest.mark.parametrize("shift", [-3, 4])
def test_copies_that_were_moved_in_time_are_labelled(shift: int) -> None:
    """Windows that meet: what a shift brings in is of the next window, and no window of the data has it."""
    model, long = model_of(STEPS)
    places = range(STEPS, len(long) - 2 * STEPS, STEPS)
    moved = torch.stack([long[i + shift : i + shift + STEPS] for i in places])
    rows = returning(moved + 0.05 * torch.randn(moved.shape, generator=stream(1)), model)
    assert value(rows, "identical_share", "data") == 0
    assert value(rows, "near_copy_share", ALIGNED_STEPS) > 0.95
    assert value(rows, "near_train_share", ALIGNED_STEPS, "lower") > 0.5
    assert label(rows) == "copies"
    # negative control: windows as they are see no copies
    assert label([r for r in rows if r.space != ALIGNED_STEPS]) is None


def test_of_overlapping_windows_a_shift_is_another_training_window_and_noise_hides_none() -> None:
    model, long = model_of(2)
    exact = returning(windows(long, 2)[::3], model)
    assert value(exact, "identical_share", "data") == 1 and label(exact) == "copies"
    noisy = windows(long[1:], 4)
    rows = returning(noisy + 0.05 * torch.randn(noisy.shape, generator=stream(1)), model)
    assert value(rows, "near_copy_share", ALIGNED_STEPS) > 0.95 and label(rows) == "copies"
    # windows that follow each other count as one: no more are hit than there are windows that share nothing
    (hit,) = [
        r.n for r in rows if (r.measure, r.space, r.bound) == ("near_train_share", ALIGNED_STEPS, "point")
    ]
    assert hit <= -(-N_TRAIN * 2 // STEPS)


def test_windows_too_short_to_be_shifted_are_searched_as_they_are() -> None:
    here = series_world().model
    reference = here.reference
    assert reference is not None
    short = {
        part: replace(getattr(reference, part), x=getattr(reference, part).x[:, :3])
        for part in ("train", "validation", "test")
    }
    model = fresh(here, reference=replace(reference, **short, memo={}))
    assert {r.space for r in returning(short["test"].x[:50], model)} == {"data"}

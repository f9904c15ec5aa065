"""Copies of training images of every kind are labelled, honest draws are not; the rule on measured rows."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.metrics import CopyShares, NotApplicable
from priorgap.metrics.evidence import ModelEvidence
from priorgap.metrics.near_copies import ALIGNED, NULL_UNKNOWN
from priorgap.testing.world import decode, fresh, world
from priorgap.verdict import copying_label as rule
from priorgap.verdict.copying_label import copying_label

METRIC = CopyShares(n_queries=250, n_searched=150)
ROWS = ["identical_share", "near_copy_share", "near_train_share"]


def returning(images: Tensor, model: ModelEvidence | None = None) -> list[Measurement]:
    """The rows of a sampler that returns these images."""
    given = fresh(world().model if model is None else model, decode=lambda z, label: images[z[:, 0].long()])
    evidence = given.of("some", "candidate", LatentDraw(torch.arange(len(images))[:, None].float()))
    return METRIC.measure(evidence, generator=stream(0))


def label(*models: list[Measurement]) -> str | None:
    head = {"study": "s", "cell": "c", "sampler": "some", "role": "candidate"}
    rows = [{**head, "model": str(s), "seed": s, **row.to_json()} for s, m in enumerate(models) for row in m]
    return copying_label(pd.DataFrame(rows), "some", 0.95)


def honest(n: int = 250, seed: int = 5) -> Tensor:
    return decode(world().draw(n, seed=seed).z)


def mixed(copies: Tensor, share: float = 0.3) -> Tensor:
    images = honest()
    n = int(share * len(images))
    images[:n] = copies[:n]
    return images[torch.randperm(len(images), generator=stream(0, "order"))]


def train(n: int = 250) -> Tensor:
    rows = torch.randperm(len(world().reference.train), generator=stream(0, "copied"))[:n]
    return world().reference.train.floats()[rows]


def value(rows: list[Measurement], measure: str, space: str = "pixels", bound: str = "point") -> float:
    return next(r.value for r in rows if (r.measure, r.space, r.bound) == (measure, space, bound))


def test_honest_draws_and_unseen_images_are_not_labelled() -> None:
    for images in (honest(), world().reference.test.floats(), honest().clamp(0.2, 0.8)):
        rows = returning(images)
        assert value(rows, "identical_share") == 0 and label(rows) is None


def test_exact_copies_are_labelled_at_five_in_a_hundred() -> None:
    rows = returning(mixed(train(), 0.05))
    assert value(rows, "identical_share") == pytest.approx(12 / 250)
    assert value(rows, "identical_share_floor") == 0
    assert label(rows) == "copies"


def test_copies_with_noise_of_a_255th_are_identical_ones() -> None:
    """After rounding to 8 bits a pixel is at most one level off: that hides no copy, at 5 % of the draws either."""
    noise = torch.rand(train().shape, generator=stream(0, "a 255th")) / 255
    rows = returning(mixed((train() + noise).clamp(0, 1), 0.05))
    assert value(rows, "identical_share") == pytest.approx(12 / 250)
    assert label([r for r in rows if r.measure.startswith("identical")]) == "copies"
    # negative control: noise of four levels is no rounding
    far = returning(mixed((train() + 4 * noise).clamp(0, 1), 0.05))
    assert value(far, "identical_share") == 0


@pytest.mark.parametrize(
    ("change", "space"),
    [
        (lambda x: x + 0.01 * torch.randn(x.shape, generator=stream(0, "noise")), "pixels"),
        (lambda x: x.flip(3), ALIGNED),
        (lambda x: x.flip(2), ALIGNED),
    ],
)
def test_changed_copies_are_labelled_and_not_as_identical(change, space) -> None:
    rows = returning(mixed(change(train()), 0.6))
    assert value(rows, "identical_share") < 0.02
    assert value(rows, "near_train_share", space, "lower") > 0.5
    assert label(rows) == "copies"
    if space == ALIGNED:
        # negative control: pixels as they are see no copies
        assert label([r for r in rows if r.space != space]) is None


def test_limits_are_inside_zero_and_one_and_not_equal() -> None:
    for rows in (returning(honest()), returning(train())):
        for measure in ROWS:
            for space in {r.space for r in rows if r.measure == measure}:
                low, high = (value(rows, measure, space, bound) for bound in ("lower", "upper"))
                assert 0 <= low < high <= 1


def test_one_honest_model_of_the_cell_prevents_the_label() -> None:
    copies, clean = returning(train()), returning(honest())
    assert label(copies, copies) == "copies"
    assert label(copies, clean) is None


def test_where_test_rows_are_training_rows_equal_draws_are_no_proof() -> None:
    """Discrete data: what a fresh sample of the population shares with the training set, draws may share, too."""
    here = world()
    reference = replace(here.reference, test=here.reference.train.take(slice(0, 250)), memo={})
    rows = returning(mixed(train(), 0.05), replace(here.model, reference=reference, test=None))
    identical = [r for r in rows if r.measure.startswith("identical")]
    assert value(rows, "identical_share_floor") == 1 and label(identical) is None


def test_where_the_null_is_unknown_near_copies_must_exceed_those_of_test_images() -> None:
    here = replace(world().model, heldout_exchangeable=False)
    rows = returning(mixed(train() + 0.01), here)
    assert {r.unit for r in rows if r.measure == "near_train_share"} == {NULL_UNKNOWN}
    assert rule.NULL_UNKNOWN == NULL_UNKNOWN
    near = [r for r in rows if not r.measure.startswith("identical")]
    raised = [
        replace(r, value=1.0) if r.measure == "near_copy_share_floor" and r.bound == "upper" else r
        for r in near
    ]
    assert label(raised) is None


def test_few_images() -> None:
    here = world()
    reference = replace(here.reference, validation=here.reference.validation.take(slice(0, 1)), memo={})
    with pytest.raises(NotApplicable, match="at least 2 training and 2 validation"):
        returning(honest(), replace(here.model, reference=reference, validation=None))
    with pytest.raises(ValueError, match="n_searched=1"):
        CopyShares(10, 1)

"""Published scores: what they see, and that copies of training windows have the best of them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from priorgap.core.latents import LatentDraw
from priorgap.core.random import stream
from priorgap.metrics import (
    DiscriminativeScore,
    MarginalDistributionDifference,
    NotApplicable,
    PredictiveScore,
)
from priorgap.testing.metric_contract import run
from priorgap.testing.series_world import series_world
from priorgap.testing.world import fresh, world

METRICS = {
    "discriminative_score": DiscriminativeScore(n_hidden=12, n_steps=300, n_most=1000),
    "predictive_score": PredictiveScore(n_hidden=12, n_steps=300, n_most=1000),
    "mdd": MarginalDistributionDifference(n_bins=15),
}


def real(n: int, name: str) -> Tensor:
    """Windows of two noisy waves, one a step behind the other."""
    g = stream(7, "published", name)
    amplitude, t = torch.rand(n, 1, generator=g) + 0.5, torch.arange(12) / 12
    phase = torch.rand(n, 1, generator=g)
    both = [amplitude * torch.sin(2 * torch.pi * (2 * s + phase)) for s in (t, t - 1 / 12)]
    return torch.stack(both, 2) + 0.05 * torch.randn(n, 12, 2, generator=g)


def model_of_waves():
    reference = series_world().model.reference
    parts = {
        part: replace(getattr(reference, part), x=real(n, part))
        for part, n in (("train", 600), ("validation", 200), ("test", 600))
    }
    unknown = dict.fromkeys(parts)
    return fresh(series_world().model, reference=replace(reference, **parts), **unknown)


def scores(name: str, made: Tensor, **changes: int) -> dict[str, float]:
    model = fresh(model_of_waves(), decode=lambda z, label=None: made[z[:, 0].long()])
    evidence = model.of(name, "candidate", LatentDraw(torch.arange(len(made))[:, None].float()))
    return {row.measure: row.value for row in run(replace(METRICS[name], **changes), evidence)}


def mixed(x: Tensor) -> Tensor:
    """Each channel from a window of its own."""
    return torch.stack([x[torch.randperm(len(x), generator=stream(c)), :, c] for c in range(x.shape[2])], 2)


def shuffled(x: Tensor) -> Tensor:
    order = torch.rand(x.shape[:2], generator=stream(2)).argsort(1)
    return x.gather(1, order[..., None].expand_as(x))


@pytest.mark.e2e
@pytest.mark.parametrize("name", METRICS)
def test_copies_of_training_windows_are_as_good_as_fresh_real_ones(name):
    copies, new = (scores(name, real(600, part))[name] for part in ("train", "fresh"))
    spread = {"discriminative_score": 0.08, "predictive_score": 0.1 * new, "mdd": 0.1 * new}[name]
    assert copies < new + spread
    # negative control: windows that nearly stand still are worse than both
    bad = scores(name, 0.05 * torch.randn(600, 12, 2, generator=stream(9)))[name]
    assert bad > 1.5 * max(copies, new) and bad > max(copies, new) + spread


@pytest.mark.e2e
def test_channels_of_other_windows_pass_histograms_and_nearly_prediction_and_not_the_classifier():
    new = real(600, "fresh")
    plain, other = (
        {name: scores(name, x)[name] for name in ("mdd", "discriminative_score")} for x in (new, mixed(new))
    )
    assert other["mdd"] == pytest.approx(plain["mdd"], rel=1e-6)
    # trained until each channel's own past is learned: a network that is not, leans on the other channel
    good, lost = (scores("predictive_score", x, n_hidden=16, n_steps=800) for x in (new, mixed(new)))
    way = good["predictive_persistence"] - good["predictive_score"]
    assert lost["predictive_score"] - good["predictive_score"] < 0.2 * way
    assert other["discriminative_score"] > plain["discriminative_score"] + 0.15


@pytest.mark.e2e
def test_the_predictive_score_lies_between_real_windows_and_persistence_and_time_shuffled_beyond():
    good, bad = (scores("predictive_score", x) for x in (real(600, "fresh"), shuffled(real(600, "fresh"))))
    assert good["predictive_real"] == bad["predictive_real"]
    assert good["predictive_persistence"] == bad["predictive_persistence"]
    assert good["predictive_score"] < 1.1 * good["predictive_real"]
    assert good["predictive_real"] < 0.7 * good["predictive_persistence"]
    assert bad["predictive_score"] > 2 * good["predictive_real"]


def test_windows_that_share_steps_are_not_on_both_sides_and_too_few_are_absent():
    series = torch.randn(90, 2, generator=stream(1))
    overlapping = torch.stack([series[i : i + 12] for i in range(0, 78)])
    model = model_of_waves()
    reference = model.reference
    model = fresh(
        model, reference=replace(reference, test=replace(reference.test, x=overlapping)),
        decode=lambda z, label=None: real(60, "fresh"),
    )  # fmt: skip
    evidence = model.of("x", "candidate", LatentDraw(torch.zeros(60, 3)))
    with pytest.raises(
        NotApplicable, match=r"^78 windows that share steps: too few for parts that share none$"
    ):
        run(METRICS["discriminative_score"], evidence)
    # a prediction needs no parts; its error does
    rows = run(METRICS["predictive_score"], evidence)
    assert all(row.std_error is None for row in rows) and {row.n for row in rows} == {60, 78}


@pytest.mark.parametrize("name", METRICS)
def test_a_constant_channel_and_images_are_absent_with_a_reason(name):
    model = model_of_waves()
    reference = model.reference
    train = replace(reference.train, x=reference.train.x * torch.tensor([1.0, 0.0]))
    rows = real(100, "fresh")
    model = fresh(model, reference=replace(reference, train=train), decode=lambda z, label=None: rows)
    with pytest.raises(NotApplicable, match=r"^channel 1 is constant: expected values that vary$"):
        run(METRICS[name], model.of("x", "candidate", LatentDraw(torch.zeros(100, 3))))
    images = world().model.of("prior", "candidate", LatentDraw(torch.randn(50, 3)))
    with pytest.raises(NotApplicable, match=r"^the observations are no series$"):
        run(METRICS[name], images)

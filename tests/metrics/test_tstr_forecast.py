"""`tstr_forecast`: samples of the law teach as real windows do, others less, nothing or wrong."""

from dataclasses import replace

import pytest
import torch

from priorgap.core.latents import LatentDraw
from priorgap.core.random import stream
from priorgap.metrics import NotApplicable, TrainOnSyntheticForecast
from priorgap.testing.metric_contract import run
from priorgap.testing.series_world import series_world
from priorgap.testing.world import fresh, world

METRIC = TrainOnSyntheticForecast(n_past=None, n_most=5000)


def real(n: int, name: str, noise: float = 0.2):
    """Noisy waves of random phase and amplitude, the second channel three steps behind and ten times as large."""
    g = stream(7, "forecast", name)
    amplitude, phase = torch.rand(n, 1, generator=g) + 0.5, 6.3 * torch.rand(n, 1, generator=g)
    both = [amplitude * torch.sin(0.6 * (torch.arange(12) - behind) + phase) for behind in (0, 3)]
    x = torch.stack(both, 2) + noise * torch.randn(n, 12, 2, generator=g)
    return x * torch.tensor([1.0, 10.0])


def series(n: int, stride: int):
    """Windows of one long walk that returns to 0, which share steps."""
    e, x = torch.randn(n * stride + 20, generator=stream(8, n)), [torch.zeros(())]
    for step in e:
        x.append(0.7 * x[-1] + step)
    whole = torch.stack(x)[:, None]
    return torch.stack([whole[k * stride : k * stride + 12] for k in range(n)])


def of(made, train=None, test=None, **changes):
    reference = series_world().model.reference
    parts = {"train": real(600, "train") if train is None else train, "validation": real(200, "v"),
             "test": real(500, "test") if test is None else test}  # fmt: skip
    parts = {part: replace(getattr(reference, part), x=x) for part, x in parts.items()}
    model = fresh(
        series_world().model, reference=replace(reference, **parts), **dict.fromkeys(parts),
        decode=lambda z, label=None: made[z[:, 0].long()],
    )  # fmt: skip
    evidence = model.of("made", "candidate", LatentDraw(torch.arange(len(made))[:, None].float()))
    (row,) = run(replace(METRIC, **changes), evidence)
    return row


def test_fresh_windows_and_copies_teach_as_training_windows_do():
    for made in (real(600, "fresh"), real(600, "train")):
        row = of(made)
        assert row.value == pytest.approx(1.0, abs=0.05)
        assert row.std_error is not None and row.std_error < 0.05
        assert (row.measure, row.space, row.n, row.n_reference) == ("tstr_forecast", "data", 500, 600)


def test_what_teaches_less_nothing_or_wrong_is_told_apart():
    fresh_ones = real(600, "fresh")
    order = torch.rand(600, 12, generator=stream(2)).argsort(1)
    shuffled = fresh_ones.gather(1, order[..., None].expand_as(fresh_ones))
    backwards, still = fresh_ones.flip(1), torch.zeros(600, 12, 2) + 3
    loud = torch.cat([fresh_ones[:, :6], -5 * fresh_ones[:, 6:]], 1)
    assert 0.2 < of(shuffled).value < 0.9
    assert of(still).value == pytest.approx(0.0, abs=1e-6)
    assert of(loud).value < -1
    # a wave whose second channel is ahead is another one
    assert of(backwards).value < of(fresh_ones).value - 0.1


def test_windows_without_noise_teach_less():
    means, draws = real(600, "fresh", noise=0.0), real(600, "fresh")
    found = of(means)
    assert found.value + 5 * found.std_error < of(draws).value


def test_one_step_ahead_by_what_is_said_and_units_do_not_matter():
    near, far = of(real(600, "fresh"), n_past=11), of(real(600, "fresh"), n_past=2)
    assert near.value == pytest.approx(1.0, abs=0.1) and far.value == pytest.approx(1.0, abs=0.1)
    parts = {"train": 1000 * real(600, "train"), "test": 1000 * real(500, "test")}
    assert of(1000 * real(600, "fresh"), **parts).value == pytest.approx(
        of(real(600, "fresh")).value, rel=1e-5
    )


def test_errors_count_windows_that_share_steps_together():
    alone = of(series(300, 12), series(600, 12), series(400, 12))
    shared = of(series(300, 1), series(600, 1), series(400, 1))
    # 400 windows of 411 steps say less than 400 of 4,800
    assert shared.std_error > 1.5 * alone.std_error


def test_series_that_none_foretells_and_others_are_absent_with_the_reason():
    walk = torch.randn(600, 12, 2, generator=stream(3)).cumsum(1)
    with pytest.raises(NotApplicable, match=r"^not measurable: errors of "):
        of(walk, walk, torch.randn(500, 12, 2, generator=stream(4)).cumsum(1))
    with pytest.raises(NotApplicable, match=r"^n_past=12: expected 1 to 11"):
        of(real(600, "fresh"), n_past=12)
    with pytest.raises(NotApplicable, match=r"^10 windows to learn from: expected at least 20"):
        of(real(10, "few"))
    here = world()
    with pytest.raises(NotApplicable):
        run(METRIC, here.model.of("images", "candidate", here.draw(100)))

"""Accuracies: labels that are right, wrong, and missing; draws that are good, noise, and of one class."""

import pytest
import torch

from priorgap.core.latents import LatentDraw
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.estimators.uncertainty import proportion_estimate
from priorgap.metrics import ClassBalance, NotApplicable, RealToReal, RealToSynthetic, SyntheticToReal
from priorgap.metrics.classifiers import accuracies, shares
from priorgap.metrics.evidence import Evidence
from priorgap.testing.world import decode, fresh, world


def measure(metric: object, evidence: Evidence) -> dict[tuple[str, str], Measurement]:
    """Rows by (label source, unit); of class_balance by (measure, unit)."""
    rows = metric.measure(evidence, generator=stream(0))
    if metric.name == "class_balance":
        return {(r.measure, r.unit): r for r in rows}
    return {(r.label_source, r.unit): r for r in rows}


def of(draw: LatentDraw, source: str = "", **changes: object) -> Evidence:
    return fresh(world().model, **changes).of("some", "candidate", draw, label_source=source)


def test_right_labels_are_recognised_and_wrong_ones_are_not() -> None:
    draw = world().draw()
    right = measure(RealToSynthetic(), of(draw, "condition"))
    assert right["condition", ""].value > 0.97
    wrong = measure(RealToSynthetic(), of(LatentDraw(draw.z, None, 1 - draw.label), "condition"))
    assert wrong["condition", ""].value < 0.03
    shuffled = LatentDraw(draw.z, None, draw.label[torch.randperm(250, generator=stream(0))])
    assert 0.35 < measure(RealToSynthetic(), of(shuffled, "condition"))["condition", ""].value < 0.65


def test_per_class_rows_show_the_class_that_fails() -> None:
    draw = world().draw()
    z = torch.where(draw.label[:, None] == 1, world().draw(seed=4).z * 0 + torch.tensor([-1.5, 0, 0]), draw.z)
    rows = measure(RealToSynthetic(), of(LatentDraw(z, None, draw.label), "condition"))
    assert rows["condition", "0"].value > 0.9 and rows["condition", "1"].value < 0.1
    assert rows["condition", "0"].n + rows["condition", "1"].n == rows["condition", ""].n == 250


def test_unlabelled_draws_are_not_scored_by_their_own_classifier() -> None:
    with pytest.raises(NotApplicable, match="unlabelled"):
        measure(RealToSynthetic(), of(world().prior_draw(), "source"))


def test_synthetic_to_real_good_noise_and_ceiling() -> None:
    ceiling = measure(RealToReal(), world().model.alone())
    assert {source for source, _ in ceiling} == {"", "source", "labeller"}
    assert all(row.value > 0.95 for row in ceiling.values())
    good = measure(SyntheticToReal(own_labels=True), of(world().draw(), "source"))
    assert {source for source, _ in good} == {"labeller", "source"}
    assert good["labeller", ""].value > 0.95 and good["source", ""].value > 0.95
    noise = measure(
        SyntheticToReal(own_labels=True),
        of(world().draw(), "source", decode=lambda z, y: torch.rand(len(z), 1, 8, 8, generator=stream(0))),
    )
    assert noise["source", ""].value < 0.8
    assert good["labeller", ""].n == 250 and good["labeller", ""].n_reference == 200
    assert ceiling["labeller", ""].n_reference == 200 and ceiling["", ""].n_reference == 200


def test_the_labeller_relabels_every_sampler_and_own_labels_can_be_left_out() -> None:
    wrong = LatentDraw(world().draw().z, None, 1 - world().draw().label)
    rows = measure(SyntheticToReal(own_labels=True), of(wrong, "source"))
    assert rows["labeller", ""].value > 0.95
    assert rows["source", ""].value < 0.05
    assert {s for s, _ in measure(SyntheticToReal(own_labels=False), of(wrong, "source"))} == {"labeller"}
    assert {s for s, _ in measure(SyntheticToReal(own_labels=True), of(world().prior_draw()))} == {"labeller"}


def test_draws_of_one_class_train_a_poor_classifier() -> None:
    draw = world().draw()
    z = draw.z[draw.label == 0]
    rows = measure(SyntheticToReal(own_labels=False), of(LatentDraw(z)))
    assert rows["labeller", "0"].value > 0.9
    assert rows["labeller", "1"].value < 0.9


def test_halves_are_disjoint_and_the_judge_is_not_the_labeller() -> None:
    found = world().reference.classifiers
    a, b = found.labeller.state_dict(), found.judge.state_dict()
    assert any(not torch.equal(a[key], b[key]) for key in a)
    assert found.n_train == 200


def test_class_balance_good_bad_and_degenerate() -> None:
    even = measure(ClassBalance(), of(world().draw()))
    assert even["class_balance", ""].value < 4 * even["class_balance", ""].std_error + 0.02
    draw = world().draw()
    one = measure(ClassBalance(), of(LatentDraw(draw.z[draw.label == 0])))
    share = float((world().reference.test.label == 1).double().mean())
    assert one["class_balance", ""].value == pytest.approx(share, abs=0.03)
    assert one["class_share", "0"].value > 0.97 and one["class_share", "1"].value < 0.03
    weighted = torch.cat([draw.z[draw.label == 0], draw.z[draw.label == 1][:20]])
    assert (
        even["class_balance", ""].value
        < measure(ClassBalance(), of(LatentDraw(weighted)))["class_balance", ""].value
    )


def test_labels_of_draws_reach_a_conditional_decoder() -> None:
    seen = []

    def conditional(z: torch.Tensor, label: torch.Tensor | None) -> torch.Tensor:
        seen.append(label)
        return decode(z)

    draw = world().draw()
    _ = of(draw, "condition", decode=conditional).samples
    assert torch.equal(seen[0], draw.label)


def test_each_classifier_has_draws_of_its_own_where_there_are_enough() -> None:
    first, second = shares(10, 5, 2)
    assert first.tolist() == [0, 1, 2, 3, 4] and second.tolist() == [5, 6, 7, 8, 9]
    assert [sorted(rows.tolist()) for rows in shares(3, 5, 2)] == [[0, 1, 2], [0, 1, 2]]
    assert [rows.tolist() for rows in shares(5, 4, 2)] == [[0, 1, 2, 3], [4, 0, 1, 2]]


def test_the_error_of_an_accuracy_is_that_of_trainings_and_of_test_images() -> None:
    """Trainings of accuracies that scatter: the mean of s of them on n images, many times over."""
    generator, n, s, label = stream(4), 500, 2, torch.zeros(500, dtype=torch.int64)
    means, errors, of_images = [], [], []
    for _ in range(600):
        share = 0.8 + 0.04 * torch.randn(s, 1, dtype=torch.float64, generator=generator)
        hits = torch.rand(s, n, dtype=torch.float64, generator=generator) < share
        found = accuracies(hits, label, 1)[""]
        means.append(found.value)
        errors.append(found.std_error)
        of_images.append(proportion_estimate(found.value * n, n).std_error)
    spread = float(torch.tensor(means).std())
    assert 1.0 < float(torch.tensor(errors).square().mean().sqrt()) / spread < 1.35
    # the negative control: the error of the images alone
    assert float(torch.tensor(of_images).square().mean().sqrt()) / spread < 0.7
    by_class = accuracies(torch.ones(2, 4, dtype=torch.bool), torch.tensor([0, 0, 2, 2]), 3)
    assert set(by_class) == {"", "0", "2"} and all(one.value == 1 for one in by_class.values())

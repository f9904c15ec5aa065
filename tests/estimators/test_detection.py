"""Areas under the ROC curve and their errors, detection in folds that keep groups together."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from priorgap.core.random import stream
from priorgap.estimators.areas import area, grouped_error, paired_areas
from priorgap.estimators.detection import detection_area


def draws(*shape, name="draws"):
    return torch.randn(*shape, generator=stream(0, "detection", name), dtype=torch.float64)


def test_areas_are_scikit_learns_ties_included():
    a, b = (draws(70, name="a") + 0.5).round(decimals=1), draws(90, name="b").round(decimals=1)
    truth = roc_auc_score([1] * 70 + [0] * 90, torch.cat([a, b]).numpy())
    found = area(a, b)
    assert found.value == pytest.approx(truth, abs=1e-12)
    assert float(found.negative.mean()) == pytest.approx(truth, abs=1e-12)


def test_bad_input_is_named():
    a, b = draws(20, name="a"), draws(30, name="b")
    for bad in (a[:0], a * float("nan"), a[:, None]):
        with pytest.raises(ValueError, match="positive has"):
            area(bad, b)


def test_areas_over_classes_are_scikit_learns():
    label = torch.arange(300) % 3
    scores = draws(300, 3).softmax(1)
    scores[torch.arange(300), label] += 0.2
    found, other, gap = paired_areas(scores, scores.flip(0), label)
    truth = np.mean([roc_auc_score((label == k).numpy(), scores[:, k].numpy()) for k in range(3)])
    assert found.value == pytest.approx(truth, abs=1e-12)
    assert gap.value == pytest.approx(found.value - other.value, abs=1e-12)
    assert paired_areas(scores, scores, label)[2].std_error == 0
    with pytest.raises(ValueError, match="the rows are of one class"):
        paired_areas(scores, scores, label * 0)


def test_errors_of_areas_and_of_paired_differences_are_those_of_repetition():
    rows = []
    for repeat in range(300):
        label = torch.arange(120) % 2
        x = draws(120, name=f"x {repeat}") + 0.8 * label
        y = x + 0.5 * draws(120, name=f"y {repeat}")
        rows.append(paired_areas(torch.stack([-x, x], 1), torch.stack([-y, y], 1), label))
    for place in range(3):
        ratio = np.mean([row[place].std_error for row in rows]) / np.std([row[place].value for row in rows])
        assert 0.85 < ratio < 1.15
    # negative control: what unpaired errors would say
    unpaired = np.mean([np.hypot(row[0].std_error, row[1].std_error) for row in rows])
    assert unpaired > 1.5 * np.std([row[2].value for row in rows])


def test_rows_of_groups_are_not_counted_as_independent():
    values, group = draws(20, name="groups").repeat_interleave(5), torch.arange(20).repeat_interleave(5)
    by_group, by_row = grouped_error([(values, group)]), grouped_error([(values, torch.arange(100))])
    assert by_group == pytest.approx(float(stats.sem(values[::5].numpy())), rel=1e-9)
    assert by_row < 0.5 * by_group
    assert grouped_error([(values, group * 0)]) is None


def logistic(x, is_first, held):
    fitted = LogisticRegression().fit(x.numpy(), is_first.numpy())
    return torch.from_numpy(fitted.decision_function(held.numpy()))


def nearest(x, is_first, held):
    """What remembers its training rows."""
    return is_first[torch.cdist(held, x).argmin(1)].double()


def test_shifted_rows_are_told_apart_as_far_as_they_can_be():
    made, real = draws(600, 3, name="made"), draws(600, 3, name="real")
    made[:, 1] += 1.0
    found = detection_area(made, real, logistic, n_folds=5, generator=stream(0, "folds"))
    # the best there is: P(N(1, 1) > N(0, 1))
    assert abs(found.value - stats.norm.cdf(1 / 2**0.5)) < 4 * found.std_error < 0.1
    again = detection_area(made, real, logistic, n_folds=5, generator=stream(0, "folds"))
    assert again == found


def test_sets_that_are_apart_have_an_area_of_one_and_no_known_error():
    found = detection_area(draws(40, 1) + 100, draws(40, 1), logistic, n_folds=4, generator=stream(0))
    assert found.value == 1 and found.std_error is None


def test_equal_laws_are_at_one_half_with_the_error_of_repetition():
    found = [
        detection_area(
            draws(150, 2, name=f"m {i}"),
            draws(150, 2, name=f"r {i}"),
            logistic,
            n_folds=5,
            generator=stream(i),
        )
        for i in range(80)
    ]
    values = [one.value for one in found]
    # folds share training rows: a little below one half, by less than the error
    assert abs(np.mean(values) - 0.5) < 0.03
    assert 0.5 < np.mean([one.std_error for one in found]) / np.std(values) < 1.3


def test_rows_that_share_values_are_kept_in_one_fold():
    """Negative control: without their groups, what remembers rows tells equal laws apart."""
    group = torch.arange(60).repeat_interleave(5)
    made, real = (
        draws(60, 4, name=name).repeat_interleave(5, 0) + 0.01 * draws(300, 4, name=name + "+")
        for name in "mr"
    )
    kept = detection_area(
        made, real, nearest, n_folds=5, generator=stream(1), made_group=group, real_group=group
    )
    leaking = detection_area(made, real, nearest, n_folds=5, generator=stream(1))
    assert abs(kept.value - 0.5) < 4 * kept.std_error
    assert leaking.value > 0.95
    with pytest.raises(ValueError, match=r"^3 independent rows in 5 folds: expected at least two a fold"):
        detection_area(made[:15], real, nearest, n_folds=5, generator=stream(1), made_group=group[:15])

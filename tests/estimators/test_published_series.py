"""Histogram differences against NumPy's, persistence in closed form, grouped errors, and what is refused."""

import numpy as np
import pytest
import torch

from priorgap.core.random import stream
from priorgap.estimators.checks import NotFinite
from priorgap.estimators.published_series import (
    balanced_accuracy,
    marginal_distribution_difference,
    prediction_error,
    step_groups,
    unit_scale,
)


def noise(*shape, name="noise"):
    return torch.randn(*shape, generator=stream(0, "published", name), dtype=torch.float64)


def test_histograms_are_numpys():
    a, b = 1.3 * noise(150, 3, 2, name="a") + 0.2, noise(200, 3, 2, name="b")
    gaps = []
    for t in range(3):
        for c in range(2):
            edges = np.histogram_bin_edges(b[:, t, c].numpy(), 12)
            # NumPy's own density counts what is inside alone
            first, second = (
                np.histogram(x[:, t, c].numpy(), edges)[0] / len(x) / (edges[1] - edges[0]) for x in (a, b)
            )
            gaps.append(np.abs(first - second).mean())
    assert marginal_distribution_difference(a, b, n_bins=12) == pytest.approx(np.mean(gaps), rel=1e-9)


def test_channels_of_other_windows_and_any_order_have_the_same_histograms_and_other_values_have_not():
    x = noise(300, 5, 3)
    mixed = torch.stack([x[torch.randperm(300, generator=stream(c)), :, c] for c in range(3)], 2)
    assert marginal_distribution_difference(mixed, x, n_bins=20) == 0
    other = noise(300, 5, 3, name="other")
    fresh = marginal_distribution_difference(other, x, n_bins=20)
    # negative control: the amplitude is seen beyond what two sets of one law differ by
    assert 0 < 1.5 * fresh < marginal_distribution_difference(2 * other, x, n_bins=20)


def test_persistence_of_a_walk_is_the_mean_size_of_its_steps():
    x = noise(4000, 6, 1).cumsum(1)
    found = prediction_error(x[:, :-1], x[:, 1:], step_groups(x))
    assert found.std_error is not None and 0 < found.std_error < 0.01
    assert abs(found.value - (2 / np.pi) ** 0.5) < 4 * found.std_error
    assert prediction_error(x[:, :-1], x[:, 1:], None).std_error is None


def test_accuracy_is_the_mean_of_both_classes():
    right = (torch.tensor([True, True, True, False]), torch.tensor([True, False]))
    found = balanced_accuracy(right, (torch.arange(4), torch.arange(2)))
    assert found.value == pytest.approx((0.75 + 0.5) / 2)
    # variances of means, n / (n - 1) of the plain ones
    assert found.std_error == pytest.approx(0.5 * (0.75 * 0.25 / 3 + 0.25) ** 0.5)
    all_right = balanced_accuracy((torch.ones(4) > 0, torch.ones(2) > 0), (torch.arange(4), torch.arange(2)))
    assert all_right.value == 1 and all_right.std_error is None


def test_what_cannot_be_scored_is_one_line():
    x = noise(40, 4, 2)
    still = torch.stack([x[..., 0], torch.ones(40, 4)], 2)
    with pytest.raises(ValueError, match=r"^channel 1 is constant: expected values that vary$"):
        unit_scale((x,), still)
    with pytest.raises(ValueError, match=r"^windows have shape \(40, 3, 2\): expected \[n, 4, 2\]$"):
        unit_scale((x[:, 1:],), x)
    with pytest.raises(NotFinite, match="not finite"):
        unit_scale((x * float("inf"),), x)
    low, high = unit_scale((x, 2 * x), x)
    assert low.min() == 0 and low.max() == 1 and high.max() > 1
    one_step = x.clone()
    one_step[:, 2, 1] = 5.0
    with pytest.raises(ValueError, match=r"^step 2 of channel 1 is constant: expected values that vary$"):
        marginal_distribution_difference(x, one_step, n_bins=5)
    with pytest.raises(ValueError, match=r"n_bins=0: expected one shape and at least one bin$"):
        marginal_distribution_difference(x, x, n_bins=0)

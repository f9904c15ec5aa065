"""Distances between windows after shifts, against a loop; shifted copies are found, where windows overlap too."""

import math

import pytest
import torch

from priorgap.core.random import stream
from priorgap.estimators.aligned_windows import AlignedWindows, aligned_distance, max_shift
from priorgap.estimators.near_copies import near_copies
from priorgap.estimators.neighbour_index import NeighbourIndex


def noise(*shape, name="noise"):
    return torch.randn(*shape, generator=stream(0, "aligned windows", name))


def by_loops(x, y, reach):
    """The least root mean square difference over shifts."""
    n_steps, found = len(x), []
    for shift in range(-reach, reach + 1):
        pairs = [(x[t], y[t - shift]) for t in range(n_steps) if 0 <= t - shift < n_steps]
        total = sum(float((a.double() - b.double()).square().sum()) for a, b in pairs)
        found.append(math.sqrt(total / (len(pairs) * x.shape[1])))
    return min(found)


def cut(series, n_steps, stride, start=0):
    return torch.stack([series[i : i + n_steps] for i in range(start, len(series) - n_steps + 1, stride)])


def test_shifts_leave_three_quarters_of_a_window():
    assert [max_shift(n) for n in (1, 3, 4, 8, 12, 15, 16, 100)] == [0, 0, 1, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("n_steps", [8, 17])
def test_the_two_nearest_are_those_of_loops(n_steps):
    x, train, unseen = (noise(n, n_steps, 2, name=f"{n}") for n in (4, 9, 6))
    index = AlignedWindows.of(train, unseen)
    assert index is not None and index.stretch == 1 and index.sizes == (9, 6)
    distance, place = index.nearest_two(x)
    both = torch.cat([train, unseen])
    for i in range(4):
        truth = torch.tensor([by_loops(x[i], y, max_shift(n_steps)) for y in both]).double()
        low, order = truth.sort()
        assert place[i].tolist() == order[:2].tolist()
        assert distance[i].tolist() == pytest.approx(low[:2].tolist(), rel=1e-6)
    direct = aligned_distance(x, both.expand(4, -1, -1, -1))
    assert float(direct[2, 5]) == pytest.approx(by_loops(x[2], both[5], max_shift(n_steps)), rel=1e-6)


@pytest.mark.parametrize("shift", [-4, 0, 3])
def test_shifted_copies_are_at_distance_zero_and_further_ones_are_not(shift):
    long = noise(60, 32, 2, name="long")
    train, unseen = long[:, 6:26], noise(40, 20, 2, name="unseen")
    index = AlignedWindows.of(train, unseen)
    assert index is not None
    distance, place = index.nearest_two(long[:, 6 + shift : 26 + shift])
    assert float(distance[:, 0].max()) == 0 and torch.equal(place[:, 0], torch.arange(60))
    assert float(distance[:, 1].min()) > 0.5
    if shift:
        # negative control: windows as they are see no copies
        plain = NeighbourIndex.of(train.flatten(1)).nearest_two(long[:, 6 + shift : 26 + shift].flatten(1))[0]
        assert float((plain[:, 0] / plain[:, 1]).min()) > 0.7
    # and a shift beyond four steps is none of the allowed ones
    assert float(index.nearest_two(long[:, :20])[0][:, 0].min()) > 0.3


@pytest.mark.parametrize("stride", [1, 3, 5])
def test_of_windows_that_share_steps_the_next_one_is_no_other_window(stride):
    """Noisy copies, at any place of the series: windows that follow each other are all as near as one another."""
    series = noise(900, 2, name="series")
    train, unseen = cut(series[:600], 20, stride), cut(series[620:], 20, stride)
    index = AlignedWindows.of(train, unseen)
    assert index is not None and index.stretch == -(-20 // stride)
    copies = cut(series[:600], 20, 7, start=2) + 0.1 * noise(83, 20, 2, name="small")
    distance, place = index.nearest_two(copies)
    found = near_copies(distance, place, *index.sizes)
    assert found.share.estimate.value == 1
    assert found.n_hit <= index.sizes[0] and found.train_share is not None and found.train_share.low > 0.5
    # negative control: a nearest two that takes the next window for another one finds hardly any
    if stride < 4:
        plain = AlignedWindows(index.windows, index.centre, 1, index.n_train)
        naive = near_copies(*plain.nearest_two(copies), *plain.sizes)
        assert naive.share.estimate.value < 0.7


@pytest.mark.parametrize("stride", [1, 20])
def test_fresh_windows_are_near_none(stride):
    series = noise(900, 2, name="series")
    index = AlignedWindows.of(cut(series[:600], 20, stride), cut(series[620:], 20, stride))
    assert index is not None
    found = near_copies(*index.nearest_two(noise(200, 20, 2, name="fresh")), *index.sizes)
    assert found.share.estimate.value == 0 and found.train_share is None


def test_too_few_and_too_short_windows_have_no_index_and_others_are_refused():
    assert AlignedWindows.of(noise(10, 3, 2), noise(10, 3, 2)) is None
    assert AlignedWindows.of(cut(noise(30, 2), 20, 1), cut(noise(25, 2), 20, 1)) is None
    index = AlignedWindows.of(noise(10, 8, 2), noise(10, 8, 2))
    assert index is not None
    with pytest.raises(ValueError, match=r"^queries has shape \(3, 7, 2\): expected windows \(8, 2\)$"):
        index.nearest_two(noise(3, 7, 2))
    with pytest.raises(ValueError, match=r"^windows have shapes \(10, 8, 2\) and \(10, 7, 2\): expected"):
        AlignedWindows.of(noise(10, 8, 2), noise(10, 7, 2))

"""Nearest neighbours against brute force: sizes on both sides of every group border, ties, far clusters."""

import math

import pytest
import torch

from priorgap.estimators.neighbours import _least, kth, radii_of_rows, scores, smallest, squared_radii


def by_brute_force(points, k):
    x = points.double()
    squared = (x[:, None] - x[None]).square().sum(2)
    return squared.fill_diagonal_(math.inf).sort(dim=1).values[:, k - 1]


@pytest.mark.parametrize("n", [2, 7, 8, 9, 65, 300])
@pytest.mark.parametrize("k", [1, 5])
def test_radii_equal_brute_force(n, k, generator):
    if k >= n:
        return
    points = torch.randn(n, 3, generator=generator)
    expected = by_brute_force(points, k)
    for chunk in (256, 11):
        found = squared_radii(points, k, chunk=chunk)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    centred = points.double() - points.double().mean(0)
    rows = torch.randperm(n, generator=generator)[: max(1, n // 2)]
    some = radii_of_rows(points, centred, 0.5 * centred.square().sum(1), k, rows)
    torch.testing.assert_close(some, expected[rows], rtol=1e-12, atol=0)
    # negative control: a point that counts as its own neighbour
    assert not torch.equal(
        by_brute_force(points, k), (points[:, None] - points[None]).square().sum(2).sort(1)[0][:, k - 1]
    )


def test_radii_of_more_points_than_one_group_and_one_chunk(generator):
    points = torch.randn(2600, 4, generator=generator)
    for k in (1, 6):
        torch.testing.assert_close(squared_radii(points, k), by_brute_force(points, k), rtol=1e-12, atol=0)
    centred = points.double()
    rows = torch.arange(2000, 2600)
    some = radii_of_rows(points, centred, 0.5 * centred.square().sum(1), 6, rows)
    torch.testing.assert_close(some, by_brute_force(points, 6)[rows], rtol=1e-12, atol=0)


def test_integers_ties_and_copies(generator):
    points = torch.randint(0, 3, (400, 3), generator=generator).float()
    for k in (1, 4, 30):
        assert torch.equal(squared_radii(points, k), by_brute_force(points, k))
    far = points + 1e4 * (torch.arange(400) % 2)[:, None]
    centred = far.double() - far.double().mean(0)
    rows = torch.arange(400)
    found = radii_of_rows(far, centred, 0.5 * centred.square().sum(1), 40, rows)
    assert torch.equal(found, by_brute_force(far, 40))
    # negative control: float32 products cannot tell the neighbours of clusters so far apart
    assert not torch.equal(squared_radii(far, 40), found)


@pytest.mark.parametrize("n", [5, 8, 100, 1300, 2700])
def test_scores_order_all_others(n, generator):
    x = torch.randn(n, 2, generator=generator)
    half_norm = 0.5 * x.square().sum(1)
    expected = (half_norm[None] - x @ x.T).fill_diagonal_(math.inf)
    seen = 0
    for rows, score in scores(x, half_norm, torch.arange(n).split(37)):
        assert score.shape[0] == len(rows) and score.shape[1] % 8 == 0
        assert score.shape[1] * score.shape[2] >= n
        flat = score.flatten(1)
        torch.testing.assert_close(flat[:, :n], expected[rows], rtol=1e-4, atol=1e-5)
        assert bool((flat[:, n:] == math.inf).all())
        k = min(4, n - 1)
        ordered = flat.sort(dim=1).values
        assert torch.equal(kth(score, k), ordered[:, k - 1])
        place = smallest(score, k)
        assert torch.equal(flat.gather(1, place).sort(dim=1).values, ordered[:, :k])
        seen += len(rows)
    assert seen == n
    # what was written over the rows themselves does not stay behind in a buffer that is used again
    assert int((expected == math.inf).sum()) == n


def test_least_with_and_without_ties():
    values = torch.tensor([[3.0, 1.0, 2.0, 5.0], [4.0, 4.0, 0.0, 4.0], [math.inf, math.inf, 1.0, math.inf]])
    found = _least(values[:1], 2)
    assert sorted(found[0].tolist()) == [1, 2]
    tied = _least(values, 2)
    assert tied.shape == (3, 2)
    for row, place in zip(values, tied, strict=True):
        assert row[place].sort().values.tolist() == row.sort().values[:2].tolist()
        assert len(set(place.tolist())) == 2


def test_kth_leaves_the_scores_as_they_are(generator):
    score = torch.randn(6, 8, 20, generator=generator)
    before = score.clone()
    kth(score, 3)
    assert torch.equal(score, before)
    wide = torch.randn(4, 16, 200, generator=generator)
    before = wide.clone()
    assert torch.equal(kth(wide, 7), wide.flatten(1).sort(dim=1).values[:, 6])
    assert torch.equal(wide, before)


@pytest.mark.parametrize("k", [1, 3, 40, 159, 160])
def test_every_rank_up_to_the_last(k, generator):
    score = torch.randn(5, 8, 20, generator=generator)
    ordered = score.flatten(1).sort(dim=1).values
    assert torch.equal(kth(score, k), ordered[:, k - 1])
    place = _least(score.flatten(1), k)
    assert torch.equal(score.flatten(1).gather(1, place).sort(dim=1).values, ordered[:, :k])

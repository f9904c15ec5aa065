"""The index gives the distances of a loop over all pairs, bit for bit; the bound only decides what is looked at."""

import math

import pytest
import torch

from priorgap.estimators import neighbour_index
from priorgap.estimators.copying import nearest_distance
from priorgap.estimators.neighbour_index import NeighbourIndex


def loop(a, b, exclude=None):
    """Squared distances of all pairs, one row of a at a time, by differences in float64."""
    squared = torch.stack([(row.double() - b.double()).square().sum(1) for row in a])
    if exclude is not None:
        rows = (exclude >= 0).nonzero()[:, 0]
        squared[rows, exclude[rows]] = math.inf
    return squared


def thin(n, width, generator, rank=3):
    """Points near a plane, so that a few directions say almost everything."""
    plane = torch.randn(n, rank, generator=generator) @ torch.randn(rank, width, generator=generator)
    return plane + 0.05 * torch.randn(n, width, generator=generator)


def ties(n, width, generator):
    return torch.randint(3, (n, width), generator=generator).float()


def round_cloud(n, width, generator):
    return torch.rand(n, width, generator=generator)


def far_away(n, width, generator):
    return thin(n, width, generator) + 1000


MAKERS = [thin, ties, round_cloud, far_away]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [2, 90, 200])
def test_distances_are_those_of_a_loop_bit_for_bit(make, dtype, width, generator):
    b, a = (make(n, width, generator).to(dtype) for n in (700, 60))
    squared = loop(a, b)
    distance, index = NeighbourIndex.of(b).nearest(a)
    assert torch.equal(distance, squared.min(1).values.sqrt())
    assert torch.equal(squared[torch.arange(60), index].sqrt(), distance)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("k", [1, 5])
def test_radii_are_those_of_a_loop_bit_for_bit(make, k, generator):
    b = make(300, 90, generator)
    own = torch.arange(300)
    expected = loop(b, b, own).sort(1).values[:, k - 1]
    assert torch.equal(NeighbourIndex.of(b).squared_radii(k), expected)


@pytest.mark.parametrize("make", MAKERS)
def test_the_two_nearest_are_those_of_a_loop(make, generator):
    b, a = make(400, 90, generator), make(50, 90, generator)
    squared = loop(a, b)
    distance, index = NeighbourIndex.of(b).nearest_two(a)
    assert torch.equal(distance, squared.sort(1).values[:, :2].sqrt())
    assert torch.equal(squared.gather(1, index).sqrt(), distance)
    assert (index[:, 0] != index[:, 1]).all()


def test_equal_to_the_search_without_an_index(generator):
    b, a = thin(3000, 120, generator, rank=20), thin(200, 120, generator, rank=20)
    exclude = torch.randint(-1, 3000, (200,), generator=generator)
    found, where = NeighbourIndex.of(b).nearest(a, exclude=exclude)
    expected, place = nearest_distance(a, b, exclude=exclude)
    assert torch.equal(found, expected) and torch.equal(where, place)
    assert (where != exclude).all()


def test_another_set_and_a_part_by_the_same_directions(generator):
    b, c, a = (thin(n, 100, generator) for n in (500, 300, 50))
    index, rows = NeighbourIndex.of(b), torch.randperm(500, generator=generator)[:200]
    for part, own in ((index.over(c), c), (index.take(rows), b[rows])):
        assert torch.equal(part.nearest(a)[0], loop(a, own).min(1).values.sqrt())


def test_crowded_queries_are_judged_by_all_columns(generator, monkeypatch):
    """Where the bound leaves most points, products of all columns come first, and the answer is the same."""
    b, a = torch.randn(5000, 300, generator=generator), torch.randn(40, 300, generator=generator)
    seen = []
    within = NeighbourIndex._within
    monkeypatch.setattr(NeighbourIndex, "_within", lambda *given: seen.append(1) or within(*given))
    monkeypatch.setattr(neighbour_index, "_TILE", 700)
    exclude = loop(a, b).argmin(1)
    found = NeighbourIndex.of(b, n_directions=2).nearest(a, exclude=exclude)[0]
    assert seen
    assert torch.equal(found, loop(a, b, exclude).min(1).values.sqrt())


def test_the_bound_looks_at_few_points(generator, monkeypatch):
    """What the index is for: of 4,000 points some ten are measured, not all."""
    b, a = thin(4000, 200, generator, rank=5), thin(100, 200, generator, rank=5)
    pairs = []
    measured = neighbour_index.squared_distances

    def counting(a, b, i, j, **more):
        pairs.append(len(i))
        return measured(a, b, i, j, **more)

    monkeypatch.setattr(neighbour_index, "squared_distances", counting)
    NeighbourIndex.of(b).nearest(a)
    assert sum(pairs) < 100 * 60
    pairs.clear()
    # negative control: with one direction the bound says much less
    monkeypatch.setattr(neighbour_index, "_CROWD", 10_000)
    NeighbourIndex.of(b, n_directions=1).nearest(a)
    assert sum(pairs) > 100 * 200


def test_the_length_of_the_rest_belongs_to_the_bound(generator):
    """Negative control: points that differ only outside the directions are told apart by that length."""
    b = torch.zeros(50, 100)
    b[:, 0] = torch.linspace(-1, 1, 50)
    b[:, 1:] = 0.3 * torch.randn(50, 99, generator=generator) * torch.linspace(0, 1, 50)[:, None]
    index = NeighbourIndex.of(b, n_directions=1)
    bound = (index.shadows[:, None] - index.shadows[None]).double().square().sum(2)
    true = loop(b, b)
    assert (bound <= true + 1e-5).all()
    without = (index.shadows[:, None, :1] - index.shadows[None, :, :1]).double().square().sum(2)
    assert float(bound.sum()) > 1.2 * float(without.sum())


def test_degenerate_sets(generator):
    same = torch.ones(300, 80)
    assert torch.equal(NeighbourIndex.of(same).nearest(same[:5])[0], torch.zeros(5, dtype=torch.float64))
    distance, _ = NeighbourIndex.of(same).nearest(same[:5] + 1)
    assert torch.equal(distance, torch.full((5,), math.sqrt(80), dtype=torch.float64))
    one = torch.randn(1, 80, generator=generator)
    assert NeighbourIndex.of(one).nearest(one + 1)[1].tolist() == [0]
    b = torch.rand(500, 784, generator=generator)
    near = b + 1e-5 * torch.rand(500, 784, generator=generator)
    distance, index = NeighbourIndex.of(torch.cat([near, b])).nearest(b)
    assert distance.max() == 0 and torch.equal(index, torch.arange(500, 1000))


def test_bad_input():
    index = NeighbourIndex.of(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="queries has 3 columns: expected 2"):
        index.nearest(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="exclude has shape"):
        index.nearest(torch.zeros(1, 2), exclude=torch.zeros(2).long())
    with pytest.raises(ValueError, match="k=3: expected an integer from 1 to 2"):
        index.squared_radii(3)
    with pytest.raises(ValueError, match="1 points: expected at least 2"):
        NeighbourIndex.of(torch.zeros(1, 2)).nearest_two(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="n_directions=0"):
        NeighbourIndex.of(torch.zeros(3, 2), n_directions=0)

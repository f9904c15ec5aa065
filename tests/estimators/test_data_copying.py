"""C_T, authenticity and FLD: independent references, copies, honest draws, noise."""

import math

import pytest
import torch
from refusals import refused
from scipy import stats

from priorgap.estimators.copying import nearest_distance
from priorgap.estimators.data_copying import (
    _bandwidths,
    authenticity,
    data_copying_score,
    distance_within_cells,
    feature_likelihood_divergence,
)


def world(n, generator):
    """Two clusters in four dimensions."""
    side = torch.randint(2, (n, 1), generator=generator) * 8.0 - 4.0
    return torch.randn(n, 4, generator=generator) + torch.cat([side, torch.zeros(n, 3)], 1)


def c_t(sample, train, test, least_share=0.01):
    cells = [(x[:, 0] > 0).long() for x in (sample, train, test)]
    distances = [
        distance_within_cells(x, c, train, cells[1]) for x, c in ((sample, cells[0]), (test, cells[2]))
    ]
    return data_copying_score(distances[0], cells[0], distances[1], cells[2], least_share=least_share)


def test_one_cell_is_scipys_mann_whitney(generator):
    train, sample, test = (world(n, generator) for n in (200, 90, 120))
    zero = torch.zeros
    d = [nearest_distance(x, train)[0] for x in (sample, test)]
    found = data_copying_score(d[0], zero(90).long(), d[1], zero(120).long(), least_share=0.01)
    u = stats.mannwhitneyu(d[0].numpy(), d[1].numpy()).statistic  # pairs with sample above
    expected = (u - 90 * 120 / 2) / math.sqrt(90 * 120 * 211 / 12)
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.std_error == 1


def test_null_has_mean_zero_and_the_stated_scatter(generator):
    values = [c_t(world(100, generator), world(200, generator), world(100, generator)) for _ in range(120)]
    z = torch.tensor([v.value for v in values]) / values[0].std_error
    assert abs(float(z.mean())) < 4 / 120**0.5
    assert 0.8 < float(z.std()) < 1.25


def test_copies_are_very_negative_and_noise_very_positive(generator):
    train, test = world(400, generator), world(300, generator)
    assert c_t(train[:300], train, test).value < -10
    assert c_t(2.5 * world(300, generator), train, test).value > 5
    # copies of one cluster, honest draws of the other: half as negative, but seen
    mixed = torch.cat([train[train[:, 0] > 0][:150], world(600, generator)[:300]])
    assert c_t(mixed, train, test).value < -3
    # negative control: blur alone (shrinking towards each cluster's centre) looks like copying
    shrunk = world(300, generator)
    centre = torch.cat([shrunk[:, :1].sign() * 4, torch.zeros(300, 3)], 1)
    assert c_t(centre + 0.7 * (shrunk - centre), train, test).value < -3


def test_cells_without_samples_or_training_data(generator):
    train, test = world(200, generator), world(200, generator)
    one_sided = world(400, generator)
    one_sided = one_sided[one_sided[:, 0] > 0]
    assert c_t(one_sided, train, test).std_error == 1  # only one cell counts
    with pytest.raises(ValueError, match="cells: none"):
        data_copying_score(
            torch.ones(5), torch.zeros(5).long(), torch.ones(5), torch.ones(5).long(), least_share=0.1
        )
    with pytest.raises(ValueError, match="expected one for each"):
        data_copying_score(
            torch.ones(5), torch.zeros(4).long(), torch.ones(5), torch.ones(5).long(), least_share=0.1
        )
    empty = distance_within_cells(test, torch.full((200,), 7), train, torch.zeros(200).long())
    assert bool(empty.isinf().all())


def test_infinite_distances_in_either_precision():
    """A cell without training data has infinite distances: ties among themselves, farther than any other."""
    own, held = torch.tensor([1.0, 2.0, torch.inf]), torch.tensor([1.5, torch.inf, torch.inf])
    cell = torch.zeros(3).long()
    found = [
        data_copying_score(own.to(dtype), cell, held.to(dtype), cell, least_share=0.1).value
        for dtype in (torch.float32, torch.float64)
    ]
    # of 9 pairs 2 are farther than held-out ones, 2 tied, 5 nearer
    assert found == pytest.approx([(3 / 9 - 0.5) / math.sqrt(7 / 108)] * 2)


def test_authenticity_equals_a_loop(generator):
    train, sample = world(40, generator), world(25, generator)
    expected = []
    for g in sample.double():
        gaps = [float((g - x).norm()) for x in train.double()]
        i = min(range(40), key=lambda j: gaps[j])
        own = min(float((train[i].double() - train[j].double()).norm()) for j in range(40) if j != i)
        expected.append(gaps[i] > own)
    share, found = authenticity(sample, train)
    assert found.tolist() == expected
    assert share.value == pytest.approx(sum(expected) / 25)


def test_authenticity_of_copies_honest_draws_and_noise(generator):
    train = world(500, generator)
    assert authenticity(train[:300], train)[0].value == 0
    honest = authenticity(world(300, generator), train)[0].value
    assert 0.35 < honest < 0.75
    assert authenticity(5 * world(300, generator), train)[0].value > 0.9
    assert authenticity(0.2 * world(300, generator) + train[:300], train)[0].value > 0
    # negative control: halfway between two training rows is nobody's copy, yet called one
    near = train[nearest_distance(train, train, exclude=torch.arange(500))[1]]
    assert authenticity(0.5 * (train + near), train)[0].value < 0.05


def test_bandwidths_raise_the_likelihood_and_match_a_closed_form(generator):
    x = torch.randn(4000, 3, generator=generator).double()
    # one component at the mean: the maximum is the mean squared distance per dimension
    centre = x.mean(0, keepdim=True)
    expected = float((x - centre).square().sum(1).mean() / 3)
    assert float(_bandwidths(centre, x, 5)) == pytest.approx(expected, rel=1e-9)
    centres = torch.randn(20, 3, generator=generator).double()

    def likelihood(steps):
        variance = _bandwidths(centres, x, steps)
        gap = torch.cdist(x, centres).square()
        terms = -0.5 * gap / variance - 1.5 * (2 * math.pi * variance).log()
        return float((terms.logsumexp(1) - math.log(20)).mean())

    steps = [likelihood(n) for n in (0, 1, 3, 10)]
    assert steps == sorted(steps) and steps[-1] > steps[0] + 0.01


def test_fld_of_honest_draws_copies_and_noise(generator):
    train, test = world(600, generator), world(300, generator)
    honest, gap = feature_likelihood_divergence(world(300, generator), train, test)
    assert abs(honest.value) < 5 * honest.std_error + 5 and abs(gap.value) < 4 * gap.std_error + 5
    copies, copied_gap = feature_likelihood_divergence(train[:300], train, test)
    assert copies.value > honest.value + 20 and copied_gap.value < gap.value - 20
    collapsed, _ = feature_likelihood_divergence(world(300, generator)[:1].expand(300, 4), train, test)
    assert collapsed.value > honest.value + 20
    noise, noise_gap = feature_likelihood_divergence(3 * world(300, generator), train, test)
    assert noise.value > honest.value + 5 and abs(noise_gap.value) < 20
    # negative control: a fixed bandwidth cannot see copies
    fixed = -torch.cdist(test, train[:300]).square().mul(-0.5).logsumexp(1).mean()
    other = -torch.cdist(test, world(300, generator)).square().mul(-0.5).logsumexp(1).mean()
    assert abs(float(fixed - other)) < 0.3


def test_fld_ignores_dead_features_and_scale(generator):
    train, test, sample = world(200, generator), world(100, generator), world(100, generator)
    plain, _ = feature_likelihood_divergence(sample, train, test)
    padded = [torch.cat([1000 * x, torch.zeros(len(x), 2)], 1) for x in (sample, train, test)]
    assert feature_likelihood_divergence(*padded)[0].value == pytest.approx(plain.value, rel=1e-6)
    with pytest.raises(ValueError, match="train has 3 rows"):
        feature_likelihood_divergence(sample, train[:3], test)


def test_two_cells_by_hand():
    """ModelConfig 0: three samples, two held out; cell 1: one sample, a third of the weight."""
    sample, of_sample = torch.tensor([1.0, 2.0, 5.0, 9.0]), torch.tensor([0, 0, 0, 1])
    held, of_held = torch.tensor([3.0, 4.0, 7.0]), torch.tensor([0, 0, 1])
    first = (2 / 6 - 0.5) / math.sqrt(6 / (12 * 2 * 3))
    second = (1.0 - 0.5) / math.sqrt(3 / 12)
    found = data_copying_score(sample, of_sample, held, of_held, least_share=0.25)
    assert found.value == pytest.approx(2 / 3 * first + 1 / 3 * second, rel=1e-12)
    assert found.std_error == pytest.approx(math.sqrt(4 / 9 + 1 / 9), rel=1e-12)
    alone = data_copying_score(sample, of_sample, held, of_held, least_share=0.26)
    assert (alone.value, alone.std_error) == pytest.approx((first, 1.0), rel=1e-12)
    inf = torch.full((2,), math.inf, dtype=torch.float64)
    tied = data_copying_score(inf, of_held[:2], inf, of_held[:2], least_share=0.5)
    assert tied.value == 0


def test_cells_are_searched_one_by_one(generator):
    train, x = world(30, generator), world(12, generator)
    cells = torch.arange(30) % 3, torch.arange(12) % 4
    found = distance_within_cells(x, cells[1], train, cells[0])
    for i in range(12):
        members = train[cells[0] == cells[1][i]].double()
        expected = (members - x[i].double()).norm(dim=1).min() if len(members) else math.inf
        assert float(found[i]) == pytest.approx(float(expected))
    assert found.dtype == torch.float64


def test_authenticity_has_the_binomial_error(generator):
    share, found = authenticity(world(96, generator), world(50, generator))
    p = (int(found.sum()) + 2) / 100
    assert share.std_error == pytest.approx(math.sqrt(p * (1 - p) / 100))
    two = torch.tensor([[0.0], [1.0]])
    # as far as the training row is from its own nearest is not farther
    assert authenticity(torch.tensor([[2.0], [2.5], [0.2]]), two)[1].tolist() == [False, True, False]


def likelihood_by_loop(centres, variance, x):
    """Negative log-likelihood of each row of x, component by component."""
    found = []
    for row in x:
        terms = [
            -0.5 * float((row - c).square().sum()) / float(v)
            - 0.5 * len(row) * math.log(2 * math.pi * float(v))
            for c, v in zip(centres, variance, strict=True)
        ]
        top = max(terms)
        found.append(-(top + math.log(sum(math.exp(t - top) for t in terms) / len(terms))))
    return torch.tensor(found, dtype=torch.float64)


def test_fld_step_by_step(generator):
    sample, train, test = (torch.randn(n, 3, generator=generator) * 2 + 1 for n in (9, 13, 8))
    centre, scale = test.double().mean(0), test.double().std(0)
    s, x, t = ((part.double() - centre) / scale for part in (sample, train, test))

    def fitted(centres, rows, n_steps):
        squared = torch.cdist(rows, centres).square()
        variance = (squared.min(0).values / 3).clamp_min(1e-3 / 3)
        for _ in range(n_steps):
            weight = torch.softmax(-0.5 * squared / variance - 1.5 * variance.log(), 1)
            variance = ((weight * squared).sum(0) / (3 * weight.sum(0))).clamp_min(1e-3 / 3)
        return variance

    for n_steps in (2, 30):
        on_test, on_train = (100 / 3 * likelihood_by_loop(s, fitted(s, x, n_steps), part) for part in (t, x))
        base = 100 / 3 * likelihood_by_loop(x[:6], fitted(x[:6], x[6:], n_steps), t)
        value, gap = feature_likelihood_divergence(sample, train, test, n_steps=n_steps)
        gain = on_test - base
        expected = (float(gain.mean()), float(gain.std()) / math.sqrt(8))
        assert (value.value, value.std_error) == pytest.approx(expected, rel=1e-6)
        error = math.sqrt(float(on_train.var() / 13 + on_test.var() / 8))
        expected = (float(on_train.mean() - on_test.mean()), error)
        assert (gap.value, gap.std_error) == pytest.approx(expected, rel=1e-6)
    assert feature_likelihood_divergence(sample, train, test)[0].value == value.value  # 30 steps


def test_whole_messages(generator):
    x = world(5, generator)
    feature_likelihood_divergence(x[:2], x[:4], x[:2])
    for parts, line in (
        ((x[:1], x, x), "sample has 1 rows: expected at least 2"),
        ((x, x[:3], x), "train has 3 rows: expected at least 4"),
        ((x, x, x[:1]), "test has 1 rows: expected at least 2"),
        ((x, x[:, :3], x), "train has 3 columns: expected 4"),
        ((x, x, x[:, :3]), "test has 3 columns: expected 4"),
    ):
        refused(lambda p=parts: feature_likelihood_divergence(*p), line)
    refused(lambda: authenticity(x, x[:1]), "train has 1 rows: expected at least 2")
    refused(lambda: authenticity(x, x[:, :3]), "train has 3 columns: expected 4")
    one, two = torch.ones(1), torch.ones(2)
    for cells in ((one, one, two, one), (two, one, one, one), (two, one, two, one)):
        given = (cells[0], cells[1].long(), cells[2], cells[3].long())
        refused(
            lambda g=given: data_copying_score(*g, least_share=0.1), "cells: expected one for each distance"
        )
    refused(
        lambda: data_copying_score(one, one.long(), one, 0 * one.long(), least_share=0.1),
        "cells: none has a share of samples of at least 0.1",
    )


def test_bandwidths_end_at_a_floor_that_falls_with_the_dimension(generator):
    for d in (2, 50):
        x = torch.randn(30, d, generator=generator, dtype=torch.float64)
        # each row is at a component: nothing is left for its variance
        found = _bandwidths(x, x, 60)
        assert float(found.min()) == pytest.approx(1e-3 / d)
        assert float(found.max()) < 0.1 * float(_bandwidths(x[:3], x, 60).max())


def test_a_column_that_hardly_varies_beside_one_that_does_is_left_out(generator):
    parts = [torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (60, 80, 50)]
    wide = [torch.cat([1e7 * x[:, :2], 1e-6 * x[:, 2:]], 1) for x in parts]
    without = feature_likelihood_divergence(*(x[:, :2] for x in wide))
    for ours, expected in zip(feature_likelihood_divergence(*wide), without, strict=True):
        assert ours.value == pytest.approx(expected.value, rel=1e-9)

"""C_T, authenticity and FLD: independent references, copies, honest draws, noise."""

import math

import pytest
import torch
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

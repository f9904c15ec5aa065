"""Distances exact for identical rows; AUCs and shares against loops and simulation."""

import math
from itertools import combinations

import pytest
import torch
from refusals import refused

from priorgap.estimators import copying
from priorgap.estimators.copying import (
    auc,
    auc_error,
    auc_limits,
    memorisation_auc,
    near_copy_excess,
    nearest_distance,
    train_share,
)


def loop_nearest(a, b):
    distance = torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return distance.min(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearest_equals_a_loop(dtype, generator, monkeypatch):
    monkeypatch.setattr(copying, "_TILE", 100)
    a = torch.randn(70, 6, generator=generator, dtype=dtype) + 5
    b = torch.randn(330, 6, generator=generator, dtype=dtype) + 5
    distance, index = nearest_distance(a, b, chunk=16)
    expected, where = loop_nearest(a, b)
    torch.testing.assert_close(distance, expected)
    assert torch.equal(index, where)


def test_identical_rows_are_at_exactly_zero(generator):
    b = torch.rand(500, 784, generator=generator)
    distance, index = nearest_distance(b[100:200], b)
    assert distance.abs().max() == 0
    assert torch.equal(index, torch.arange(100, 200))
    # negative control: the expanded square in float32 is not 0 there
    norm = b.square().sum(1)
    assert (norm[:, None] + norm[None] - 2 * b @ b.T).diagonal().abs().max() > 1e-6


def test_an_identical_row_wins_against_a_nearly_identical_one(generator):
    """Float32 products cannot order two rows 1e-5 apart; the second search in float64 does."""
    b = torch.rand(50, 784, generator=generator)
    near = b + 1e-5 * torch.rand(50, 784, generator=generator)
    distance, index = nearest_distance(b, torch.cat([near, b]))
    assert distance.max() == 0 and torch.equal(index, torch.arange(50, 100))
    coarse = copying._search(b, torch.cat([near, b]), None, torch.float32, 512)
    assert not torch.equal(coarse, torch.arange(50, 100))


def test_exclusion(generator):
    b = torch.randn(40, 3, generator=generator)
    own = torch.arange(40)
    distance, index = nearest_distance(b, b, exclude=own)
    assert (distance > 0).all() and (index != own).all()
    none_left_out, _ = nearest_distance(b, b, exclude=torch.full((40,), -1))
    assert none_left_out.max() == 0
    masked = torch.cdist(b.double(), b.double()).fill_diagonal_(math.inf)
    torch.testing.assert_close(distance, masked.min(1).values)


def test_nearest_bad_input():
    with pytest.raises(ValueError, match="b has 2 columns: expected 3"):
        nearest_distance(torch.zeros(2, 3), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="exclude has shape"):
        nearest_distance(torch.zeros(1, 3), torch.zeros(1, 3), exclude=torch.zeros(1).long())


def test_auc_equals_a_loop_with_ties(generator):
    a = torch.randint(5, (60,), generator=generator).float()
    b = torch.randint(6, (80,), generator=generator).float()
    loop = sum((x < y) + 0.5 * (x == y) for x in a.tolist() for y in b.tolist()) / (60 * 80)
    assert auc(a, b).value == pytest.approx(loop)
    assert auc(b, a).value == pytest.approx(1 - loop)
    without_ties = float((a[:, None] < b[None]).double().mean())
    assert without_ties != pytest.approx(loop, abs=1e-3)


def test_auc_equals_scikit_learn(generator):
    from sklearn.metrics import roc_auc_score

    a, b = torch.randn(50, generator=generator), torch.randn(70, generator=generator) + 0.5
    target = torch.cat([torch.zeros(50), torch.ones(70)])
    assert auc(a, b).value == pytest.approx(roc_auc_score(target.numpy(), torch.cat([a, b]).numpy()))


@pytest.mark.parametrize(("shift", "truth"), [(0.0, 0.5), (1.0, 0.7602)])
def test_auc_interval_covers(shift, truth, generator):
    covered = 0
    for _ in range(500):
        low, high = auc(
            torch.randn(60, generator=generator), torch.randn(90, generator=generator) + shift
        ).interval()
        covered += low <= truth <= high
    assert 455 <= covered <= 495


def test_auc_degenerate():
    assert auc(torch.zeros(4), torch.zeros(3)).value == 0.5
    assert auc(torch.zeros(4), torch.ones(3)).value == 1.0
    assert auc(torch.zeros(1), torch.ones(3)).std_error is None


def pixels(n, generator):
    return torch.rand(n, 8, generator=generator)


def test_memorisation_auc_null_and_alternative(generator):
    """Draws that sit equally near their source have AUC 1/2; a model nearer to training sources is seen."""
    train, heldout = pixels(800, generator), pixels(800, generator)

    def distances(noise_train, noise_heldout):
        own = train + noise_train * torch.randn(800, 8, generator=generator)
        to_train, _ = nearest_distance(own, train)
        other = heldout + noise_heldout * torch.randn(800, 8, generator=generator)
        to_set, _ = nearest_distance(other, train, exclude=torch.randint(800, (800,), generator=generator))
        to_own = (other - heldout).double().norm(dim=1)
        return to_train, torch.minimum(to_set, to_own), to_set

    honest = distances(0.1, 0.1)
    null = memorisation_auc(honest[0], honest[1])
    assert abs(null.value - 0.5) < 4 * null.std_error
    memorised = distances(0.05, 0.1)
    seen = memorisation_auc(memorised[0], memorised[1])
    assert seen.value > 0.9
    # negative control: without the source in the set (source_auc) the null is far from 1/2
    assert auc(honest[0], honest[2]).value > 0.8


def test_near_copy_excess_null_is_zero_and_copies_are_seen(generator):
    values = [
        near_copy_excess(torch.randn(2000, generator=generator), torch.randn(500, generator=generator))
        for _ in range(200)
    ]
    excess = torch.tensor([v.value for v in values])
    assert abs(float(excess.mean())) < 4 * float(excess.std()) / math.sqrt(200)
    assert 0.6 < float(torch.tensor([v.std_error for v in values]).mean() / excess.std()) < 1.5
    far = torch.rand(2000, generator=generator) + 1
    mixed = far.clone()
    mixed[:100] = 0
    heldout = torch.rand(2000, generator=generator) + 0.5
    assert near_copy_excess(mixed, heldout).value == pytest.approx(0.04)
    assert near_copy_excess(torch.zeros(500), heldout).value == pytest.approx(0.99)
    assert near_copy_excess(far, heldout).value == pytest.approx(-0.01)


def test_near_copy_excess_without_the_quantile_error_is_too_sure(generator):
    """Negative control: the binomial part alone is far below the scatter when the held-out set is small."""
    heldout = [torch.randn(150, generator=generator) for _ in range(300)]
    sample = torch.randn(50_000, generator=generator)
    estimates = [near_copy_excess(sample, h) for h in heldout]
    scatter = float(torch.tensor([e.value for e in estimates]).std())
    mean_error = float(torch.tensor([e.std_error for e in estimates]).mean())
    assert 0.5 < mean_error / scatter < 1.7
    assert math.sqrt(0.01 * 0.99 / 50_000) < 0.1 * scatter


def test_near_copy_excess_bad_input():
    with pytest.raises(ValueError, match="heldout_distance has 98 values: expected at least 99"):
        near_copy_excess(torch.zeros(5), torch.zeros(98))
    near_copy_excess(torch.zeros(5), torch.zeros(99))
    with pytest.raises(ValueError, match="q=0"):
        near_copy_excess(torch.zeros(5), torch.zeros(200), q=0)


def test_train_share_null_copies_and_ties(generator):
    sample, first, second = pixels(1000, generator), pixels(1000, generator), pixels(1000, generator)
    to_first, to_second = nearest_distance(sample, first)[0], nearest_distance(sample, second)[0]
    null = train_share(to_first, to_second)
    assert abs(null.value - 0.5) < 4 * null.std_error
    copies = train_share(torch.zeros(1000), to_second)
    assert copies.value == 1.0 and copies.std_error > 0
    assert train_share(torch.ones(10), torch.ones(10)).value == 0.5
    some = train_share(torch.where(torch.arange(1000) < 200, torch.zeros(1000).double(), to_first), to_second)
    assert some.value - 3 * some.std_error > 0.5


def test_train_share_of_a_collapsed_sampler_is_not_sure(generator):
    """All samples at one point share one nearest image: one coin flip, not a thousand."""
    hits, groups, naive = 0, 0, 0
    for _ in range(100):
        first, second = pixels(200, generator), pixels(200, generator)
        sample = 0.5 + 0.001 * torch.randn(300, 8, generator=generator)
        (a, i), (b, j) = nearest_distance(sample, first), nearest_distance(sample, second)
        nearest = torch.where(a <= b, i, 200 + j)
        grouped, plain = train_share(a, b, nearest=nearest, n_images=400), train_share(a, b)
        hits += grouped.value > 0.5
        groups += abs(grouped.value - 0.5) > 2.5 * grouped.std_error
        naive += abs(plain.value - 0.5) > 2.5 * plain.std_error
    assert 30 < hits < 70 and groups == 0
    # negative control: the binomial standard error calls nearly every one of these nulls a finding
    assert naive > 80


def test_train_share_of_spread_samples(generator):
    """Samples of the images' own law fall near all of them: the error is right, the binomial one is not."""
    values, errors, naive, crowded = [], [], [], []
    for _ in range(300):
        x = pixels(600, generator)
        first, second, sample = x[:200], x[200:400], x[400:]
        (a, i), (b, j) = nearest_distance(sample, first), nearest_distance(sample, second)
        nearest = torch.where(a <= b, i, 200 + j)
        found = train_share(a, b, nearest=nearest, n_images=400)
        values.append(found.value)
        errors.append(found.std_error)
        naive.append(train_share(a, b).std_error)
        crowded.append(0.5 * math.sqrt(float(torch.bincount(nearest).square().sum())) / 200)
    spread = float(torch.tensor(values, dtype=torch.float64).std())
    # 300 values: their spread is known to 4 %
    assert sum(errors) / 300 == pytest.approx(spread, rel=0.15)
    assert 0.92 < sum(abs(v - 0.5) < 1.96 * e for v, e in zip(values, errors, strict=True)) / 300 < 0.985
    # negative control: coins for the images, not half of them, are too wide
    assert sum(crowded) / 300 > 1.15 * spread


def test_train_share_bad_input():
    with pytest.raises(ValueError, match="to_validation has 3 values: expected 4"):
        train_share(torch.zeros(4), torch.zeros(3))


def test_exclusion_across_tiles_and_chunks(generator, monkeypatch):
    a, b = torch.randn(23, 3, generator=generator), torch.randn(31, 3, generator=generator)
    own = torch.randint(31, (23,), generator=generator)
    own[::5] = -1
    far = torch.cdist(a.double(), b.double())
    rows = (own >= 0).nonzero()[:, 0]
    far[rows, own[rows]] = math.inf
    for tile, queries, chunk in ((1, 9, 4), (7, 23, 5), (10, 6, 23), (4096, 16384, 512)):
        monkeypatch.setattr(copying, "_TILE", tile)
        monkeypatch.setattr(copying, "_QUERIES", queries)
        distance, index = nearest_distance(a, b, exclude=own, chunk=chunk)
        torch.testing.assert_close(distance, far.min(1).values)
        assert torch.equal(index, far.argmin(1))
    two = nearest_distance(a[:2], b[:2], exclude=torch.tensor([0, 1]))
    assert two[1].tolist() == [1, 0]


def test_near_ties_are_searched_again_with_the_same_rows_left_out(generator):
    """Float64 rows need no second search; float32 ones get it with their own exclusions."""
    b = torch.rand(40, 784, generator=generator)
    near = b + 1e-5 * torch.rand(40, 784, generator=generator)
    both = torch.cat([near, b])
    distance, index = nearest_distance(b, both, exclude=torch.arange(40, 80), chunk=7)
    assert torch.equal(index, torch.arange(40)) and float(distance.min()) > 0
    exact, _ = nearest_distance(b.double(), both.double(), exclude=torch.arange(40, 80))
    torch.testing.assert_close(distance, exact, rtol=1e-12, atol=0)
    mixed, _ = nearest_distance(b.double(), both, exclude=torch.arange(40, 80))
    torch.testing.assert_close(mixed, exact, rtol=1e-12, atol=0)


def test_delong_written_out(generator):
    a, b = (
        torch.randint(5, (7,), generator=generator).float(),
        torch.randint(6, (9,), generator=generator).float(),
    )
    wins = (a[:, None] < b[None]).double() + 0.5 * (a[:, None] == b[None]).double()
    expected = math.sqrt(float(wins.mean(1).var() / 7 + wins.mean(0).var() / 9))
    assert auc(a, b).std_error == pytest.approx(expected, rel=1e-12)
    assert auc(a[:2], b[:2]).std_error is not None and auc(a, b[:1]).std_error is None
    assert memorisation_auc(a, b) == auc(a, b)


def test_near_copy_excess_by_hand():
    """Held-out ranks 1 to 19 of 20: the 0.1 quantile is 2, one standard error either way 0.623 and 3.377."""
    heldout = torch.arange(1.0, 20.0)
    sample = torch.tensor([0.5, 1.5, 1.9, 2.0, 3.3, 3.4, 9.0, 9.0])
    found = near_copy_excess(sample, heldout, 0.1)
    assert found.value == pytest.approx(3 / 8 - 0.1)
    step = math.sqrt(0.09 / 19) * 20
    assert (2 - step, 2 + step) == pytest.approx((0.623, 3.377), abs=1e-3)
    # below rank 1 the quantile stays at the least value, 1: one sample below it, five below the upper one
    binomial = math.sqrt((5 / 12) * (7 / 12) / 12)
    assert found.std_error == pytest.approx(math.hypot(binomial, 0.5 * (5 - 1) / 8))
    assert near_copy_excess(sample, heldout, 0.5).value == pytest.approx(8 / 8 - 0.5)
    between = near_copy_excess(torch.tensor([2.1, 2.5]), torch.arange(1.0, 25.0), 0.092)  # rank 2.3
    assert between.value == pytest.approx(0.5 - 0.092)
    hundred = torch.arange(1.0, 200.0)
    assert near_copy_excess(sample, hundred) == near_copy_excess(sample, hundred, 0.01)


def test_train_share_by_hand():
    a, b = torch.tensor([1.0, 2.0, 3.0, 3.0]), torch.tensor([2.0, 1.0, 3.0, 4.0])
    found = train_share(a, b, nearest=torch.tensor([5, 7, 5, 5]), n_images=8)
    assert found.value == pytest.approx(2.5 / 4)
    assert found.std_error == pytest.approx(0.5 * math.sqrt((9 + 1 - 16 / 8) * 8 / 7) / 4)
    # all ways to call 4 of 8 images T': the share of samples whose nearest image is one of them
    shares = torch.tensor([(3 * (0 in t) + (1 in t)) / 4 for t in combinations(range(8), 4)])
    assert found.std_error == pytest.approx(float(shares.double().std(correction=0)))
    # every image is nearest to one sample: whatever is called T', the share is 1/2
    assert train_share(a, b, nearest=torch.arange(4), n_images=4).std_error == 0
    alone = train_share(a, b)
    assert (alone.value, alone.std_error) == pytest.approx((2.5 / 4, math.sqrt(4.5 / 8 * 3.5 / 8 / 8)))


def test_whole_messages():
    x, two = torch.zeros(3, 2), torch.zeros(2)
    line = "exclude has shape ({},): expected [3] and b of at least 2 rows"
    refused(lambda: nearest_distance(x, x, exclude=two.long()), line.format(2))
    refused(lambda: nearest_distance(x, x[:1], exclude=torch.zeros(3).long()), line.format(3))
    refused(lambda: nearest_distance(x[0], x), "a has shape (2,): expected [n, D] with D >= 1")
    refused(lambda: nearest_distance(x, x[0]), "b has shape (2,): expected [n, D] with D >= 1")
    refused(lambda: nearest_distance(x, x[:, :1]), "b has 1 columns: expected 2")
    refused(lambda: auc(two[:0], two), "smaller has 0 values: expected at least 1")
    refused(lambda: auc(two, two[:0]), "larger has 0 values: expected at least 1")
    for q in (0.0, 0.51):
        line = f"q={q}: expected a number above 0, at most 0.5"
        refused(lambda q=q: near_copy_excess(two, torch.zeros(200), q), line)
    near_copy_excess(two, torch.zeros(1), 0.5)
    line = "heldout_distance has 8 values: expected at least 9"
    refused(lambda: near_copy_excess(two, torch.zeros(8), 0.1), line)
    refused(lambda: near_copy_excess(two[:0], two, 0.5), "sample_distance has 0 values: expected at least 1")
    refused(lambda: train_share(two[:0], two), "to_train has 0 values: expected at least 1")
    refused(lambda: train_share(two, two[:0]), "to_validation has 0 values: expected at least 1")
    line = "to_validation has {} values: expected 2, as to_train has"
    refused(lambda: train_share(two, two[:1]), line.format(1))
    refused(lambda: train_share(two, two, nearest=torch.zeros(3).long(), n_images=9), line.format(2))
    line = "n_images={}: expected, with `nearest` alone, a number above each of its indices"
    refused(lambda: train_share(two, two, nearest=torch.zeros(2).long()), line.format(None))
    refused(lambda: train_share(two, two, n_images=7), line.format(7))
    refused(lambda: train_share(two, two, nearest=torch.tensor([0, 2]), n_images=2), line.format(2))
    refused(lambda: train_share(two, two, nearest=torch.zeros(2).long(), n_images=1), line.format(1))
    assert train_share(two, two, nearest=torch.tensor([0, 2]), n_images=3).value == 0.5
    assert train_share(two, two, nearest=torch.tensor([0, 1]), n_images=2).value == 0.5


def test_rows_that_float32_cannot_tell_apart_are_told_apart_in_float64():
    b = 1 + 1e-9 * torch.arange(40, dtype=torch.float64)[:, None]
    a = 1 + 1e-9 * torch.tensor([[3.2], [17.9]], dtype=torch.float64)
    distance, index = nearest_distance(a, b)
    assert index.tolist() == [3, 18]
    assert distance.tolist() == pytest.approx([2e-10, 1e-10], abs=1e-14)
    assert nearest_distance(a.float(), b)[1].tolist() == [0, 0]  # one set in float64 is enough for it


def test_an_auc_of_one_value_has_no_standard_error():
    found = auc(torch.tensor([1.0]), torch.tensor([2.0, 0.5]))
    assert (found.value, found.std_error) == (0.5, None)


def test_train_share_counts_images_that_no_sample_is_near():
    near, far = torch.zeros(4), torch.ones(4)
    found = train_share(near, far, nearest=torch.tensor([0, 0, 1, 0]), n_images=8)
    assert found.std_error == pytest.approx(0.5 * math.sqrt((9 + 1 - 16 / 8) * 8 / 7) / 4)


def test_near_rows_far_from_the_centre_are_searched_again(generator):
    """Products of rows of length 400 know squares to 1e-2; the rows to be told apart differ by less."""
    corner = 100 * torch.sign(torch.randn(40, 16, generator=generator))
    b = torch.cat([corner + 0.02 * torch.randn(40, 16, generator=generator) for _ in range(6)])
    a = corner + 0.02 * torch.randn(40, 16, generator=generator)
    squared = (a[:, None].double() - b[None].double()).square().sum(2)
    distance, index = nearest_distance(a, b)
    assert torch.equal(index, squared.argmin(1))
    torch.testing.assert_close(distance, squared.min(1).values.sqrt())
    # negative control: float32 products alone put others first
    products = b.square().sum(1) - 2 * a @ b.T
    assert not torch.equal(products.argmin(1), squared.argmin(1))


@pytest.mark.parametrize(("shift", "truth"), [(0.0, 0.5), (1.0, 0.7602), (2.5, 0.9615)])
def test_auc_limits_cover_and_stay_inside(shift, truth, generator):
    covered = 0
    for _ in range(400):
        a, b = torch.randn(40, generator=generator), torch.randn(50, generator=generator) + shift
        low, high = auc_limits(auc(a, b).value, 40, 50)
        assert 0 <= low < high <= 1
        covered += low <= truth <= high
    # the exact 99.9 % limits of 400 draws at .95
    assert covered >= 362


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_separated_sets_have_limits_and_an_error(value):
    low, high = auc_limits(value, 12, 12)
    assert 0 <= low < high <= 1 and (low, high)[int(value)] == value
    found = auc(torch.zeros(12), torch.ones(12)) if value else auc(torch.ones(12), torch.zeros(12))
    assert found.value == value and 0.01 < found.std_error < 0.2
    # at the limit the value is z errors away
    limit = (low, high)[1 - int(value)]
    assert abs(value - limit) == pytest.approx(1.959964 * auc_error(limit, 12, 12))


def test_auc_error_at_its_null_is_the_rank_statistic_s():
    """At 1/2 and equal sizes: sqrt((2 n + 1) / (12 n²)), up to the n - 1 of the formula."""
    assert auc_error(0.5, 500, 500) == pytest.approx(math.sqrt(1001 / (12 * 500**2)), rel=2e-3)
    with pytest.raises(ValueError, match=r"value=1\.2"):
        auc_limits(1.2, 10, 10)

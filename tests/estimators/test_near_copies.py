"""Near copies: counted as by hand, exact under exchangeable images, seen where they were planted."""

import math

import pytest
import torch

from priorgap.estimators.near_copies import is_near, merged, near_copies
from priorgap.estimators.neighbour_index import NeighbourIndex


def two(pairs):
    return torch.tensor([p[0] for p in pairs], dtype=torch.float64), torch.tensor([p[1] for p in pairs])


def test_counts_are_those_by_hand():
    """Six draws at four training images (0 to 3) and two unseen ones (4, 5)."""
    distance, index = two(
        [
            ((1.0, 2.0), (0, 1)),  # near image 0
            ((1.0, 2.0), (0, 4)),  # and once more: it counts once
            ((1.0, 1.4), (1, 2)),  # not near: 1 is not below two thirds of 1.4
            ((0.0, 0.0), (2, 3)),  # at distance 0
            ((1.0, 9.0), (4, 0)),  # near an unseen image
            ((2.0, 2.1), (5, 4)),
        ]
    )
    found = near_copies(distance, index, 4, 2)
    assert found.share.estimate.value == 3 / 6 and (found.n, found.n_hit) == (6, 3)
    # of three images two are training images: (2/3) / 4 against (1/3) / 2
    assert found.train_share.estimate.value == pytest.approx((2 / 3 / 4) / (2 / 3 / 4 + 1 / 3 / 2))
    assert is_near(distance).tolist() == [True, True, False, True, True, False]


def test_nothing_near():
    distance, index = two([((1.0, 1.1), (0, 1))] * 5)
    found = near_copies(distance, index, 1, 1)
    assert found.train_share is None and found.n_hit == 0
    assert found.share.low == 0 < found.share.high


def searched(draws, train, unseen):
    index = NeighbourIndex.of(train)
    parts = [index.nearest_two(draws), index.over(unseen).nearest_two(draws)]
    return merged(parts, [len(train), len(unseen)])


def test_merged_is_the_search_of_both_sets_together(generator):
    train, unseen, draws = (torch.randn(n, 5, generator=generator) for n in (80, 30, 40))
    distance, index = searched(draws, train, unseen)
    expected = NeighbourIndex.of(torch.cat([train, unseen])).nearest_two(draws)
    assert torch.equal(distance, expected[0]) and torch.equal(index, expected[1])


@pytest.mark.parametrize("n_unseen", [30, 200])
def test_honest_draws_rarely_pass_the_limit(n_unseen, generator):
    """In few dimensions a third of honest draws are near some image; which set it is of is chance."""
    passed = 0
    for _ in range(300):
        draws = torch.randn(100, 3, generator=generator)
        train = torch.randn(300, 3, generator=generator)
        unseen = torch.randn(n_unseen, 3, generator=generator)
        found = near_copies(*searched(draws, train, unseen), 300, n_unseen, level=0.95)
        passed += found.train_share is not None and found.train_share.low > 0.5
    # 2.5 % of 300, and the exact one-sided 99.9 % limit of it
    assert passed <= 18


def test_a_collapsed_sampler_has_one_vote(generator):
    """Negative control: draws at one training image are no proof; counted one by one they would be."""
    train, unseen = torch.randn(100, 8, generator=generator), torch.randn(100, 8, generator=generator)
    draws = train[7] + 1e-3 * torch.randn(500, 8, generator=generator)
    found = near_copies(*searched(draws, train, unseen), 100, 100)
    assert found.share.estimate.value == 1 and found.n_hit == 1
    assert found.train_share.low < 0.5


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_noisy_copies_are_seen(share, generator):
    train, unseen = torch.rand(600, 30, generator=generator), torch.rand(100, 30, generator=generator)
    draws = torch.rand(300, 30, generator=generator)
    n = int(300 * share)
    draws[:n] = train[:n] + 0.05 * torch.randn(n, 30, generator=generator)
    found = near_copies(*searched(draws, train, unseen), 600, 100, level=0.9875)
    assert found.train_share.low > 0.5
    assert abs(found.share.estimate.value - share) < 0.02


def test_scale_and_blur_do_not_matter(generator):
    """Both distances shrink alike where draws are smooth, which a threshold on one distance would take for copies."""
    train, unseen = torch.randn(300, 40, generator=generator), torch.randn(300, 40, generator=generator)
    smooth = 0.3 * torch.randn(200, 40, generator=generator)
    distance, index = searched(smooth, train, unseen)
    sharp, _ = searched(torch.randn(200, 40, generator=generator), train, unseen)
    assert float(distance[:, 0].median()) < 0.8 * float(sharp[:, 0].median())
    assert near_copies(distance, index, 300, 300).share.estimate.value == 0


def test_the_standard_error_at_its_null(generator):
    values, errors = [], []
    for _ in range(200):
        hit = torch.randperm(400, generator=generator)[:60]
        distance = torch.tensor([[1.0, 9.0]], dtype=torch.float64).expand(60, 2)
        index = torch.stack([hit, (hit + 1) % 400], 1)
        found = near_copies(distance, index, 300, 100).train_share.estimate
        values.append(found.value)
        errors.append(found.std_error)
    spread = float(torch.tensor(values).std())
    # images are drawn without replacement, which the binomial error does not know
    assert 0.8 < sum(errors) / 200 / (spread / math.sqrt(1 - 60 / 400)) < 1.3


def test_bad_input():
    distance, index = two([((1.0, 2.0), (0, 1))])
    for given, words in (
        ((distance[:, :1], index, 2, 2), "expected \\[m, 2\\] both"),
        ((distance, index, 1, 0), "n_unseen=0"),
        ((distance, index + 5, 2, 2), "above each index"),
    ):
        with pytest.raises(ValueError, match=words):
            near_copies(*given)
    with pytest.raises(ValueError, match="ratio=1"):
        near_copies(distance, index, 2, 2, ratio=1.0)


def test_every_part_has_its_size():
    part = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0, 1]]))
    assert merged([part, part], [5, 5])[1].tolist() == [[0, 5]]
    with pytest.raises(ValueError, match="shorter"):
        merged([part, part], [5])

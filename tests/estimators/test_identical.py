"""Equal rows by digests, against a loop; exact limits against the binomial distribution."""

import pytest
import torch
from scipy import stats

from priorgap.estimators.identical import ExactShare, RowSet


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_equal_rows_are_those_of_a_loop(dtype, generator):
    rows = torch.randint(3, (200, 4), generator=generator).to(dtype)
    others = torch.randint(3, (150, 4), generator=generator).to(dtype)
    expected = (others[:, None] == rows[None]).all(2).any(1)
    kept = RowSet.of(rows)
    assert torch.equal(kept.holds(others), expected) and 0 < int(expected.sum()) < 150
    assert kept.shared(others) == int(expected.sum()) and kept.n == 200


def test_images_and_signed_zeros(generator):
    images = torch.randint(256, (20, 1, 4, 4), generator=generator).to(torch.uint8)
    other = images.clone()
    other[3, 0, 2, 1] += 1
    assert RowSet.of(images).holds(other).tolist() == [i != 3 for i in range(20)]
    assert RowSet.of(torch.tensor([[0.0, 1.0]])).shared(torch.tensor([[-0.0, 1.0]])) == 1
    # negative control: the bytes differ
    assert torch.tensor([0.0]).numpy().tobytes() != torch.tensor([-0.0]).numpy().tobytes()


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (1, 30), (15, 30), (30, 30)])
def test_limits_are_exact_and_never_equal(hits, n):
    share = ExactShare.of(hits, n, level=0.9)
    assert 0 <= share.low < share.high <= 1 and share.low <= hits / n <= share.high
    assert share.estimate.std_error > 0
    if hits:
        assert stats.binom.sf(hits - 1, n, share.low) == pytest.approx(0.05)
    if hits < n:
        assert stats.binom.cdf(hits, n, share.high) == pytest.approx(0.05)


def test_limits_cover_where_the_normal_interval_does_not():
    """At 1 % of 100 the normal interval misses in a third of all cases; the exact one in 5 % at most."""
    k = torch.arange(101)
    weight = torch.from_numpy(stats.binom.pmf(k.numpy(), 100, 0.01))
    exact = [ExactShare.of(int(i), 100) for i in k]
    inside = torch.tensor([e.low <= 0.01 <= e.high for e in exact])
    assert float(weight[inside].sum()) >= 0.95
    half = 1.96 * (k / 100 * (1 - k / 100) / 100).sqrt()
    normal = (k / 100 - half <= 0.01) & (k / 100 + half >= 0.01)
    assert float(weight[normal].sum()) < 0.7

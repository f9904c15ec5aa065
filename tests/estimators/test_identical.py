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


def loop(rows, others, within):
    """Every pair, pixel by pixel."""
    rows, others = rows.flatten(1).int(), others.flatten(1).int()
    apart = (others[:, None] - rows[None]).abs().amax(2)
    flat = [x.amax(1) - x.amin(1) < 16 for x in (rows, others)]
    return ((apart == 0) | ((apart <= within) & ~flat[1][:, None] & ~flat[0][None])).any(1)


def noisy(images, levels, generator):
    noise = torch.randint(-levels, levels + 1, images.shape, generator=generator)
    return (images.int() + noise).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 3), (7,), (1,)])
@pytest.mark.parametrize("within", [1, 3])
def test_images_to_within_grey_levels_are_those_of_a_loop(shape, within, generator):
    images = torch.randint(256, (120, *shape), generator=generator).to(torch.uint8)
    # of what is asked, some are equal, some differ by what is allowed, some by more, some are other images
    parts = [
        images[:30],
        noisy(images[30:60], within, generator),
        noisy(images[60:90], within + 1, generator),
    ]
    others = torch.cat([*parts, torch.randint(256, (30, *shape), generator=generator).to(torch.uint8)])
    expected = loop(images, others, within)
    kept = RowSet.of(images, within=within)
    assert torch.equal(kept.holds(others), expected) and bool(expected[:60].all()) == (shape != (1,))
    if len(shape) == 3:
        assert int(expected[60:].sum()) == 0
        # negative control: equality does not find them
        assert RowSet.of(images).shared(others) == 30


def test_one_pixel_two_levels_off_is_another_image(generator):
    images = torch.randint(256, (20, 1, 4, 4), generator=generator).to(torch.uint8)
    for by, expected in ((1, True), (2, False)):
        other = images.clone()
        other[:, 0, 2, 1] = (
            other[:, 0, 2, 1].int().add(torch.where(other[:, 0, 2, 1] > 127, -by, by)).to(torch.uint8)
        )
        assert bool(RowSet.of(images, within=1).holds(other).all()) == expected
        assert RowSet.of(images, within=1).shared(other) == (20 if expected else 0)


def test_flat_images_are_compared_for_equality_alone():
    """Masks of 0 and 1 all lie within a grey level of each other; nothing has been copied."""
    masks = torch.eye(8, dtype=torch.uint8)
    assert RowSet.of(masks, within=1).shared(masks.flip(0).roll(1, 1) + masks) == 0
    assert RowSet.of(masks, within=1).shared(masks) == 8
    for span, expected in ((15, 0), (16, 8)):
        steps = torch.eye(8, dtype=torch.uint8) * span
        # lifted by one level everywhere, the span is the same
        assert RowSet.of(steps, within=1).shared(steps + 1) == expected


def test_an_image_among_many_like_it_is_found(generator):
    """More than the 8 candidates that are compared lie as near: equal images count once."""
    image = torch.randint(256, (1, 1, 6, 6), generator=generator).to(torch.uint8)
    others = torch.randint(256, (50, 1, 6, 6), generator=generator).to(torch.uint8)
    kept = RowSet.of(torch.cat([image.expand(40, -1, -1, -1), others]), within=1)
    assert len(kept.levels.images) == 51
    assert kept.shared(noisy(image, 1, generator)) == 1


def test_levels_are_those_of_images():
    with pytest.raises(ValueError, match="within=1: expected 0, or for uint8 images"):
        RowSet.of(torch.zeros(3, 4), within=1)
    with pytest.raises(ValueError, match="within=-1"):
        RowSet.of(torch.zeros(3, 4, dtype=torch.uint8), within=-1)


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

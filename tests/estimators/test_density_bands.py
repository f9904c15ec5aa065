"""Realism, entropy, bands and steps: loops and closed forms."""

import math

import pytest
import torch
from refusals import refused

from priorgap.estimators.density_bands import (
    band_difference,
    band_edges,
    bands,
    entropy,
    realism,
    unit_steps,
)
from priorgap.estimators.uncertainty import Estimate


def test_realism_equals_a_loop(generator):
    real, fake = torch.randn(31, 3, generator=generator), torch.randn(12, 3, generator=generator)
    gaps = torch.cdist(real.double(), real.double())
    radius = gaps.sort(1).values[:, 2]
    kept = radius <= radius.median()
    far = torch.cdist(fake.double(), real[kept].double())
    expected = (radius[kept] / (radius[kept] + far)).amax(1)
    torch.testing.assert_close(realism(fake, real, k=2, chunk=5), expected, rtol=1e-6, atol=1e-6)


def test_realism_of_good_bad_and_copied(generator):
    real = torch.randn(400, 2, generator=generator)
    good = realism(torch.randn(200, 2, generator=generator), real)
    assert float(good.median()) > 0.5 > float(realism(real[:50] + 20, real).max())
    assert bool((realism(real, real) > 0.9)[realism(real, real) > 0.99].all())
    # negative control: with all balls kept, one outlier makes its surroundings real
    outlier = torch.cat([real, torch.tensor([[60.0, 0.0]])])
    assert float(realism(torch.tensor([[50.0, 0.0]]), outlier)) < 0.1
    assert bool((realism(torch.zeros(3, 2), torch.zeros(9, 2)) == 1).all())


def test_entropy_closed_forms():
    rows = [[0.0] * 4, [1000.0, 0.0, 0.0, 0.0], [0.0, math.log(3), -1e9, -1e9]]
    logits = torch.tensor(rows, dtype=torch.float64)
    expected = [math.log(4), 0.0, -0.25 * math.log(0.25) - 0.75 * math.log(0.75)]
    assert entropy(logits).tolist() == pytest.approx(expected, abs=1e-9)


def test_bands_hold_equal_shares_of_both_sets(generator):
    a, b = torch.randn(3000, generator=generator), torch.randn(1000, generator=generator) + 2
    edges = band_edges(a, b, n_bands=4)
    share = [torch.bincount(bands(x, edges), minlength=4).double() / len(x) for x in (a, b)]
    assert (0.5 * (share[0] + share[1])).tolist() == pytest.approx([0.25] * 4, abs=0.01)
    assert bands(torch.tensor([-1e9, 1e9]), edges).tolist() == [0, 3]
    with pytest.raises(ValueError, match="n_bands=1"):
        band_edges(a, n_bands=1)


def test_difference_within_bands_removes_what_the_mix_of_bands_makes(generator):
    """Quality depends on the ratio alone: the arms differ overall and not within bands."""
    ratio = {
        "prior": torch.randn(20_000, generator=generator),
        "heldout": torch.randn(20_000, generator=generator) + 1,
    }
    quality = {arm: r.double() + 0.1 * torch.randn(len(r), generator=generator) for arm, r in ratio.items()}
    edges = band_edges(*ratio.values(), n_bands=40)
    place = {arm: bands(r, edges) for arm, r in ratio.items()}
    inner = []
    for b in range(1, 39):
        found = band_difference(*(quality[arm][place[arm] == b] for arm in ratio))
        inner.append(found.value)
    assert max(abs(v) for v in inner) < 0.1
    # negative control: without bands the whole difference of the ratios is seen
    assert band_difference(*quality.values()).value == pytest.approx(-1, abs=0.05)
    assert band_difference(torch.ones(1), torch.ones(5)) is None
    closed = band_difference(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0, 3.0]))
    assert (closed.value, closed.std_error) == pytest.approx((1.0, math.hypot(1.0, 1.0)))


def test_steps_have_their_length_and_direction(generator):
    gradient = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    gradient[3] = 0
    step = unit_steps(gradient, 0.25)
    length = step.norm(dim=1)
    assert length[3] == 0 and length[:3].tolist() == pytest.approx([0.25] * 3)
    assert float(torch.cosine_similarity(step[:3], gradient[:3]).min()) == pytest.approx(1)


def test_bad_input():
    with pytest.raises(ValueError, match="k=0"):
        realism(torch.zeros(2, 2), torch.zeros(9, 2), k=0)
    with pytest.raises(ValueError, match="real has 5 rows"):
        realism(torch.zeros(2, 2), torch.zeros(5, 2))


def test_realism_of_five_neighbours_in_any_chunk(generator):
    real, fake = torch.randn(60, 3, generator=generator) + 5, torch.randn(30, 3, generator=generator) + 5
    found = realism(fake, real)
    assert torch.equal(found, realism(fake, real, k=5))
    torch.testing.assert_close(found, realism(fake, real, k=5, chunk=7), rtol=1e-12, atol=0)
    assert float((found - realism(fake, real, k=6)).abs().max()) > 0.01
    assert realism(fake[:1], real[:6]).shape == (1,)
    torch.testing.assert_close(realism(real[:2], real[:2], k=1), torch.ones(2).double())


def test_values_on_an_edge_belong_to_the_band_above():
    edges = band_edges(torch.arange(8.0), n_bands=4)
    assert edges.tolist() == [1.0, 3.0, 5.0]
    assert bands(torch.tensor([0.5, 1.0, 3.0, 4.9, 5.0]), edges).tolist() == [0, 1, 2, 2, 3]
    assert band_edges(torch.arange(4.0), n_bands=2).tolist() == [1.0]
    # thirds that float32 would place one value further, and fewer values than bands
    assert band_edges(torch.arange(3.0), n_bands=3).tolist() == [0.0, 1.0]
    assert band_edges(torch.tensor([1.0, 2.0]), n_bands=4).tolist() == [1.0, 1.0, 2.0]
    # each set counts alike, however many values it has
    assert band_edges(torch.arange(10.0), torch.full((1000,), 50.0), n_bands=3).tolist() == [6.0, 50.0]


def test_a_constant_has_no_error_and_two_values_are_enough():
    assert band_difference(torch.ones(2), torch.zeros(2)) == Estimate(1.0, 0.0)
    assert band_difference(torch.ones(2), torch.ones(1)) is None


def test_small_gradients_move_as_far():
    step = unit_steps(torch.tensor([[3e-5, 4e-5], [0.0, 0.0], [30.0, -40.0]]).double(), 10.0)
    expected = torch.tensor([[6.0, 8.0], [0.0, 0.0], [6.0, -8.0]]).double()
    torch.testing.assert_close(step, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_direction_nothing_moves_in_either_precision(dtype):
    step = unit_steps(torch.tensor([[0.0, 0.0], [0.0, 2.0]], dtype=dtype), 10.0)
    assert step.tolist() == [[0.0, 0.0], [0.0, 10.0]] and step.dtype == dtype


def test_whole_messages(generator):
    x = torch.randn(6, 2, generator=generator)
    refused(lambda: realism(x, x, k=0), "k=0: expected an integer >= 1")
    refused(lambda: realism(x, x[:5]), "real has 5 rows: expected at least 6")
    refused(lambda: realism(x[:, :1], x), "fake has 1 columns: expected 2")
    refused(lambda: realism(x[0], x), "fake has shape (2,): expected [n, D] with D >= 1")
    refused(lambda: band_edges(x[:, 0], n_bands=1), "n_bands=1: expected an integer >= 2")
    bad = torch.tensor([math.nan])
    refused(
        lambda: band_edges(x[:, 0], bad, n_bands=2),
        "ratio has values that are not finite: expected finite numbers",
    )

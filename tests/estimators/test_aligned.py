"""Distances after flips and shifts, against a loop; spectra bound them; shifted copies are found."""

import pytest
import torch

from priorgap.estimators.aligned import AlignedIndex, aligned_distance, spectra
from priorgap.estimators.neighbour_index import NeighbourIndex


def blobs(n, generator, side=12):
    """Images with empty margins: a shift of two pixels loses nothing."""
    x = torch.zeros(n, 1, side, side)
    x[:, :, 3:-3, 3:-3] = torch.rand(n, 1, side - 6, side - 6, generator=generator)
    return x


def shifted(x, down, right):
    """Move by loops over pixels, zeros shifted in."""
    out = torch.zeros_like(x)
    height, width = x.shape[-2:]
    for i in range(height):
        for j in range(width):
            if 0 <= i - down < height and 0 <= j - right < width:
                out[..., i, j] = x[..., i - down, j - right]
    return out


def test_distance_is_the_least_of_all_flips_and_shifts(generator):
    x, y = torch.rand(3, 2, 6, 5, generator=generator), torch.rand(3, 4, 2, 6, 5, generator=generator)
    found = aligned_distance(x, y)
    for i in range(3):
        variants = [
            shifted(x[i].flip(axes), down, right)
            for axes in ((), (1,), (2,), (1, 2))
            for down in range(-2, 3)
            for right in range(-2, 3)
        ]
        for k in range(4):
            expected = min(float((v - y[i, k]).double().square().sum().sqrt()) for v in variants)
            assert float(found[i, k]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("side", [7, 8])
def test_spectra_do_not_see_cyclic_shifts_and_bound_the_distance(side, generator):
    x, y = torch.rand(2, 30, 2, side, side, generator=generator).unbind()
    moved = torch.roll(x, (3, 2), (2, 3))
    torch.testing.assert_close(spectra(moved), spectra(x), atol=2e-5, rtol=0)
    torch.testing.assert_close(spectra(x.flip(2, 3)), spectra(x), atol=2e-5, rtol=0)
    bound = (spectra(x) - spectra(y)).norm(dim=1)
    assert (bound <= (moved - y).flatten(1).norm(dim=1) + 1e-5).all()
    # by Parseval's theorem the lengths are the images' own
    torch.testing.assert_close(spectra(x).norm(dim=1), x.flatten(1).norm(dim=1), atol=1e-5, rtol=1e-5)
    # negative control: mirrored one way an image has another spectrum
    assert (spectra(x.flip(3)) - spectra(x)).norm(dim=1).min() > 0.1


@pytest.mark.parametrize("axes", [(), (2,), (3,), (2, 3)])
@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (-2, 2)])
def test_moved_copies_are_at_distance_zero_from_their_source(axes, shift, generator):
    images = blobs(200, generator)
    copies = torch.roll(images[40:60].flip(axes), shift, (2, 3))
    distance, index = AlignedIndex.of(images).nearest_two(copies)
    assert torch.equal(index[:, 0], torch.arange(40, 60))
    assert float(distance[:, 0].max()) == 0 and float(distance[:, 1].min()) > 0.5
    assert (index[:, 0] != index[:, 1]).all()
    if axes or shift != (0, 0):
        # negative control: pixels as they are see no copies
        plain = NeighbourIndex.of(images.flatten(1)).nearest_two(copies.flatten(1))[0]
        assert float(plain[:, 0].min()) > 0.5


def test_bad_input(generator):
    index = AlignedIndex.of(blobs(3, generator))
    with pytest.raises(ValueError, match="expected images"):
        index.nearest_two(blobs(1, generator, side=10))
    with pytest.raises(ValueError, match="expected \\[n, c, h, w\\]"):
        AlignedIndex.of(torch.zeros(3, 4))

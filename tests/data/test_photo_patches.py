"""Patches of photographs: as they stand in the picture, and no pixel in two parts of the data."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images
from sklearn.utils import Bunch

from priorgap.data.photo_patches import PhotoPatches


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return PhotoPatches().load(root=tmp_path_factory.mktemp("data"), download=False)


def test_sizes_colours_and_classes(data):
    assert data.shape == (3, 16, 16) and data.train.x.dtype == torch.uint8
    sizes = [len(part) for part in (data.train, data.validation, data.test)]
    assert sizes == data.provenance["sizes"] and sizes[0] > sizes[2] > sizes[1] > 100
    assert all(set(part.label.tolist()) == {0, 1} for part in (data.train, data.validation, data.test))
    assert "CC BY 2.0" in data.provenance["attribution"] and data.official is False


def test_patches_are_what_stands_in_the_photographs(data):
    photo = load_sample_images().images[0].transpose(2, 0, 1)
    first = data.test.x[0].numpy()
    assert any(np.array_equal(photo[:, :16, left : left + 16], first) for left in range(photo.shape[2] - 15))


def test_no_pixel_is_in_two_parts(tmp_path, monkeypatch):
    """Of photographs in which each pixel says its column."""
    real = load_sample_images()
    column = np.broadcast_to(np.arange(640), (427, 640))
    marked = np.stack([column % 256, column // 256, np.zeros_like(column)], -1).astype(np.uint8)
    monkeypatch.setattr(
        "sklearn.datasets.load_sample_images",
        lambda: Bunch(images=[marked, marked], filenames=real.filenames),
    )
    data = PhotoPatches().load(root=tmp_path, download=False)
    used = [
        set((part.x[:, 0].int() + 256 * part.x[:, 1].int()).unique().tolist())
        for part in (data.train, data.validation, data.test)
    ]
    assert not used[0] & used[1] and not used[0] & used[2] and not used[1] & used[2]
    # and half a patch lies between columns of different parts
    assert min(abs(a - b) for a in used[0] for b in used[1] | used[2]) > 16
    assert sum(map(len, used)) > 300


def test_a_random_split_of_the_same_patches_would_leak(data):
    """Negative control: test patches are nearer to training patches of a random split."""

    def nearest(test, train):
        return float(torch.cdist(test.flatten(1).float(), train.flatten(1).float()).min(1).values.median())

    everything = torch.cat([data.train.x, data.test.x])
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
    n = len(data.test)
    ours = nearest(data.test.x[:300], data.train.x)
    random = nearest(everything[order[:n]][:300], everything[order[n:]])
    assert random < 0.8 * ours


def test_the_seed_chooses_the_bands_and_nothing_else_changes(tmp_path):
    one, again, other = (
        PhotoPatches(split_seed=seed).load(root=tmp_path, download=False) for seed in (0, 0, 1)
    )
    assert np.array_equal(one.train.x, again.train.x)
    assert one.train.x.shape != other.train.x.shape or not np.array_equal(one.train.x, other.train.x)


def test_what_does_not_fit_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"data\.source\.side=32: expected 8 to 20"):
        PhotoPatches(side=32).load(root=tmp_path, download=False)
    with pytest.raises(ValueError, match="test_fraction=2"):
        PhotoPatches(test_fraction=2.0)

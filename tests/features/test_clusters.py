"""Clusters that stand for classes: planted ones are found, the same every time, and too few rows are refused."""

import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from priorgap.features.clusters import cluster_labels, n_clusters_of


def planted(n=640, n_classes=32, separation=20.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % n_classes
    centres = separation * torch.randn(n_classes, 70, generator=generator)
    return centres[label] + torch.randn(n, 70, generator=generator), label


def clusters(x, seed=0):
    return cluster_labels(x, generator=torch.Generator().manual_seed(seed))


def test_planted_classes_are_found():
    x, label = planted()
    assert adjusted_rand_score(label, clusters(x)) > 0.9


def test_without_structure_nothing_is_found():
    """Negative control."""
    x, label = planted(separation=0.0)
    assert abs(adjusted_rand_score(label, clusters(x))) < 0.05


def test_the_same_generator_gives_the_same_and_threads_do_not_matter():
    x, _ = planted(n=25_000, separation=1.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    one, two = clusters(x), clusters(x)
    torch.set_num_threads(threads)
    assert torch.equal(one, two) and len(one) == 25_000
    assert not torch.equal(one, clusters(x, seed=1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_and_vectors(dtype):
    x = torch.rand(100, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    label = clusters((x * 255).to(dtype) if dtype is torch.uint8 else x)
    assert label.dtype == torch.int64 and set(label.tolist()) == set(range(5))


def test_how_many():
    assert [n_clusters_of(n) for n in (39, 40, 640, 10**6)] == [1, 2, 32, 32]
    with pytest.raises(ValueError, match="39 training rows without labels; expected at least 40"):
        clusters(torch.rand(39, 3))

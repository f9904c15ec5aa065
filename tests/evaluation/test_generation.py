"""New rows: the first m of n for every n, of one class on request, refused where there is none."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from priorgap.core.latents import LatentDraw
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.evaluation.generation import generate
from priorgap.modalities import IMAGES, VECTORS
from priorgap.samplers.protocols import SamplerState


class Labelled:
    """z near its class; a third of all draws is of each of the classes 0, 1, 2, and none is of 3."""

    facts = SamplerFacts(False, False, False, "")

    def __init__(self, labels=True):
        self.labels = labels

    def sample(self, n, *, generator):
        noise = torch.randn(n, 2, generator=generator)
        label = torch.randint(3, (n,), generator=generator)
        return LatentDraw(noise * 0.1 + label[:, None], None, label if self.labels else None)

    def state(self):
        return SamplerState("labelled")


def decode(z, /):
    return z


def decode_by_class(z, /, label):
    return torch.cat([z, label[:, None].float()], 1)


def rows(n, fitted=None, decode=decode, **options):
    settings = {"seed": 0, "batch": 64, "modality": VECTORS, "frequencies": None}
    found = list(generate(fitted or Labelled(), decode, n, **{**settings, **options}))
    label = None if found[0].label is None else np.concatenate([block.label for block in found])
    return np.concatenate([block.x for block in found]), label


@pytest.mark.parametrize("label", [None, 1])
def test_the_first_of_many_are_the_first_of_few(label):
    sizes = (10, 4096, 4097, 9000)
    found = [rows(n, label=label) for n in sizes]
    for (few, few_labels), (many, many_labels) in pairwise(found):
        assert np.array_equal(many[: len(few)], few) and np.array_equal(many_labels[: len(few)], few_labels)
    assert [len(x) for x, _ in found] == list(sizes)


def test_another_seed_gives_other_rows():
    assert not np.array_equal(rows(10)[0], rows(10, seed=1)[0])


def test_one_class_is_that_class_and_no_other_distribution():
    x, label = rows(5000, label=2)
    assert (label == 2).all()
    assert np.abs(x.mean(0) - 2).max() < 5 * 0.1 / 5000**0.5
    everything, labels = rows(5000)
    assert set(labels.tolist()) == {0, 1, 2} and np.abs(everything.mean(0) - 1).max() < 0.1


def test_a_conditional_model_is_asked_for_the_class():
    shares = torch.tensor([0.5, 0.0, 0.5])
    x, label = rows(300, Labelled(labels=False), decode_by_class, frequencies=shares, label=2)
    assert (label == 2).all() and (x[:, 2] == 2).all()
    x, label = rows(3000, Labelled(labels=False), decode_by_class, frequencies=shares)
    assert 0.4 < (label == 0).mean() < 0.6 and (x[:, 2] == label).all()


@pytest.mark.parametrize("label", [1, 3, -1])
def test_a_class_without_training_rows_is_refused_by_a_conditional_model(label):
    with pytest.raises(ValueError, match=f"class={label}: expected a class of the training data, 0 to 2"):
        rows(
            5, Labelled(labels=False), decode_by_class, frequencies=torch.tensor([0.5, 0.0, 0.5]), label=label
        )


def test_a_class_that_nothing_has_is_refused():
    with pytest.raises(ValueError, match="class=1: the draws of this sampler have no class"):
        rows(5, Labelled(labels=False), label=1)
    with pytest.raises(ValueError, match="class=3: none of 1,024,000 draws is of this class"):
        rows(5, label=3)


def test_images_are_stored_as_bytes_and_progress_counts_rows():
    seen = []
    found = list(
        generate(
            Labelled(), lambda z: z.sigmoid()[:, :, None, None], 5000, seed=0, batch=64, modality=IMAGES,
            frequencies=None, progress=seen.append,
        )
    )  # fmt: skip
    assert all(block.x.dtype == np.uint8 for block in found) and seen == [4096, 904]

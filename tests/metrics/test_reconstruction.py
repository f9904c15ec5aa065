"""The share of variance that reconstructions explain: perfect, no better than the mean, worse, undefined."""

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.metrics import ModelEvidence, NotApplicable, Reconstruction
from priorgap.metrics.reference import Reference


def measured(decode, *, train=None, test=None):
    train = torch.randn(3000, 4, generator=stream(1)) + 5 if train is None else train
    test = torch.randn(2500, 4, generator=stream(2)) + 5 if test is None else test
    parts = [Split(x, None, "float_vector") for x in (train, train[:10], test)]
    reference = Reference(*parts, lambda x: x, test_features=test, pool_features=train)
    latents = Latents(test, torch.zeros_like(test))
    model = ModelEvidence(test=latents, decode=lambda z, label: decode(z, train), reference=reference)
    return Reconstruction().measure(model.alone(), generator=stream(0))


@pytest.mark.parametrize(
    ("decode", "share"),
    [
        (lambda z, train: z, 1.0),
        (lambda z, train: train.mean(0).expand(len(z), -1), 0.0),
        (lambda z, train: (z + train.mean(0)) / 2, 0.75),
        (lambda z, train: torch.zeros_like(z), -25.0),
    ],
)
def test_beside_the_mean_training_observation(decode, share):
    (row,) = measured(decode)
    assert row.measure == "explained_share" and row.n == 2500
    assert row.value == pytest.approx(share, abs=0.02 * max(1, abs(share)))


def test_equal_observations_have_no_variance_to_explain():
    same = torch.full((20, 4), 5.0)
    with pytest.raises(NotApplicable, match="all test observations equal"):
        measured(lambda z, train: z, train=same, test=same)


def test_what_it_needs():
    with pytest.raises(NotApplicable, match="decoder"):
        Reconstruction().measure(
            ModelEvidence(test=Latents(torch.ones(3, 2), None)).alone(), generator=stream(0)
        )

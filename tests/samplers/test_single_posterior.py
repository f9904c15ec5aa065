"""One image's posterior, one image a class."""

import pytest
import torch

from priorgap.core.latents import Latents
from priorgap.core.random import stream
from priorgap.samplers.protocols import FitInputs, SamplerNotApplicable
from priorgap.samplers.single_posterior import SinglePosterior


def latents(label: torch.Tensor | None) -> Latents:
    mean = 10 * torch.randn(60, 3, generator=stream(0))
    return Latents(mean, torch.full((60, 3), -6.0), label)


def draws(train: Latents) -> tuple[torch.Tensor, torch.Tensor | None]:
    fitted = SinglePosterior().fit(FitInputs(train, train), generator=stream(1))
    draw = fitted.sample(300, generator=stream(2))
    assert draw.source is None
    return draw.z, draw.label


def test_every_class_is_one_image_with_its_noise() -> None:
    train = latents((torch.arange(60) + 1) % 3)
    z, label = draws(train)
    assert label is not None
    assert label.bincount().tolist() == [100, 100, 100]
    for k, row in ((0, 2), (1, 0), (2, 1)):  # the first rows of the classes
        of_class = z[label == k]
        torch.testing.assert_close(of_class.mean(0), train.mean[row], atol=4 * 0.05 / 10, rtol=0)
        torch.testing.assert_close(of_class.std(0), train.std[row], atol=0.02, rtol=0)


def test_without_labels_it_is_the_first_image() -> None:
    train = latents(None)
    z, label = draws(train)
    assert label is None
    assert float((z - train.mean[0]).abs().max()) < 0.3


def test_a_deterministic_encoder_is_refused() -> None:
    train = Latents(torch.zeros(5, 2), None)
    with pytest.raises(SamplerNotApplicable, match="log_var"):
        SinglePosterior().fit(FitInputs(train, train), generator=stream(0))

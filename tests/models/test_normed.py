"""Convolutions with batch normalisation: sizes, kernels, and rows that do not depend on each other once trained."""

import pytest
import torch
from torch import nn

from priorgap.core.random import stream
from priorgap.models.calibrate import calibration_refusal
from priorgap.models.likelihoods import Gaussian
from priorgap.models.normed import NormedConv
from priorgap.models.vae import build_vae, load_weights

SMALL, SHAPE = NormedConv(3, (4, 8), (8, 6)), (1, 8, 8)


def small(seed: int = 0):
    return build_vae(SMALL, Gaussian(), None, SHAPE, generator=stream(seed, "init"))


def trained(vae, steps: int, generator):
    """A model after some steps: its running moments have left their start."""
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-2)
    vae.train()
    for _ in range(steps):
        x, noise = torch.rand(16, *SHAPE, generator=generator), torch.randn(16, 3, generator=generator)
        terms = vae.terms(x, noise)
        optimizer.zero_grad()
        (terms.reconstruction.mean() + terms.rate.sum(1).mean()).backward()
        optimizer.step()
    return vae.eval()


def test_the_defaults_are_the_published_network():
    encoder, decoder = NormedConv().build((1, 32, 32))
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    sizes = [
        tuple(layer.weight.shape) for net in (encoder, decoder) for layer in net if isinstance(layer, kinds)
    ]
    assert sizes == [
        (128, 1, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1024, 512, 4, 4), (32, 4096),
        (65536, 16), (1024, 512, 4, 4), (512, 256, 4, 4), (256, 1, 4, 4),
    ]  # fmt: skip
    norms = [layer for net in (encoder, decoder) for layer in net if isinstance(layer, nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [128, 256, 512, 1024, 512, 256]
    # Keras: epsilon 0.001, and 0.99 of the running moments are kept
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    # neither normalised nor cut: what stands on either side of z
    assert isinstance(encoder[-1], nn.Linear) and isinstance(decoder[0], nn.Linear)
    assert not isinstance(decoder[2], nn.ReLU)


@pytest.mark.parametrize(("row", "column"), [(2, 3), (0, 0), (7, 7), (6, 1)])
def test_the_last_layer_spreads_a_pixel_as_keras_does(row, column):
    """TensorFlow's SAME for an even kernel without a stride: one place before, two after."""
    decoder = SMALL.decoder(SHAPE)
    last, cut = decoder[-2], decoder[-1]
    x = torch.zeros(1, 6, 8, 8)
    x[0, 4, row, column] = 2.0
    expected = torch.zeros(8, 8)
    for i in range(4):
        for j in range(4):
            down, right = row - 1 + i, column - 1 + j
            if 0 <= down < 8 and 0 <= right < 8:
                expected[down, right] += 2.0 * last.weight[4, 0, i, j].item()
    with torch.no_grad():
        found = cut(last(x))
    assert found.shape == (1, 1, 8, 8)
    torch.testing.assert_close(found[0, 0], expected, atol=1e-6, rtol=1e-6)


def test_rows_of_a_trained_model_do_not_depend_on_each_other(generator):
    vae = trained(small(), 5, generator)
    x = torch.rand(6, *SHAPE, generator=generator)
    with torch.no_grad():
        mean, _ = vae.encode(x)
        torch.testing.assert_close(vae.encode(x[:2])[0], mean[:2], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(vae.decode(mean[4:]), vae.decode(mean)[4:], atol=1e-5, rtol=1e-5)
        # the control: while it is trained they do
        vae.train()
        assert float((vae.encode(x[:2])[0] - vae.encode(x)[0][:2]).abs().max()) > 1e-2


def test_running_moments_are_part_of_the_weights(generator):
    vae, other = trained(small(), 5, generator), small(1)
    load_weights(other, vae.state_dict())
    x = torch.rand(5, *SHAPE, generator=generator)
    with torch.no_grad():
        assert torch.equal(other.eval().encode(x)[0], vae.encode(x)[0])
        # without them the same weights give something else
        for norm in other.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.reset_running_stats()
        assert float((other.encode(x)[0] - vae.encode(x)[0]).abs().max()) > 1e-2


def test_the_layers_on_either_side_of_z_can_be_calibrated():
    assert calibration_refusal(small().eval()) is None


def test_an_image_that_cannot_be_halved_so_often_is_refused():
    with pytest.raises(
        ValueError, match=r"^model=normed_conv: images of 28 x 28: expected sides that are multiples of 16$"
    ):
        NormedConv().build((1, 28, 28))

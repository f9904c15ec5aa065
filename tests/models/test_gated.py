"""Gated layers against their formula, and log-variances within their bounds."""

import math

import pytest
import torch

from priorgap.core.random import stream
from priorgap.models.calibrate import calibration_refusal
from priorgap.models.gated import BoundedLogVar, GatedMLP
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.vae import build_vae

SHAPE = (1, 4, 4)


def gated(x, layer):
    """(W x + b) * sigmoid(V x + c), output by output, without matrix products."""
    half, weight, bias = layer.out_features // 2, layer.weight.detach(), layer.bias.detach()
    rows = []
    for row in x.detach():
        found = []
        for i in range(half):
            own, gate = (
                sum(float(w) * float(v) for w, v in zip(weight[j], row, strict=True)) + float(bias[j])
                for j in (i, half + i)
            )
            found.append(own / (1 + math.exp(-gate)))
        rows.append(found)
    return torch.tensor(rows)


def test_the_networks_are_gated_layers_and_an_affine_head(generator):
    encoder, decoder = GatedMLP(2, (5, 3), None).build(SHAPE)
    x, z = torch.randn(4, *SHAPE, generator=generator), torch.randn(4, 2, generator=generator)
    for network, given, head in ((encoder, x.flatten(1), encoder[-1]), (decoder, z, decoder[-2])):
        affine = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
        assert len(affine) == 3 and affine[-1] is head
        hidden = gated(gated(given, affine[0]), affine[1])
        expected = hidden @ head.weight.T + head.bias
        with torch.no_grad():
            found = network(x if network is encoder else z).flatten(1)
        torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=1e-5)
    # the gate matters: without it the first layer's values are others
    with torch.no_grad():
        plain = encoder[1](x.flatten(1))[:, :5]
        assert float((encoder[2](encoder[1](x.flatten(1))) - plain).abs().max()) > 0.05


def test_log_variances_are_cut_and_have_no_gradient_beyond_their_bounds():
    x = torch.tensor([[9.0, -9.0, -6.5, 2.5], [0.0, 1.0, -5.9, 1.9]], requires_grad=True)
    found = BoundedLogVar(-6.0, 2.0)(x)
    assert torch.equal(found, torch.tensor([[9.0, -9.0, -6.0, 2.0], [0.0, 1.0, -5.9, 1.9]]))
    found.sum().backward()
    assert torch.equal(x.grad, torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))


def test_a_models_posteriors_stay_within_the_bounds(generator):
    x = 50 * torch.randn(200, *SHAPE, generator=generator)
    spread = {}
    for bounds in ((-1.0, 0.5), None):
        vae = build_vae(GatedMLP(3, (6,), bounds), Bernoulli(), None, SHAPE, generator=stream(0))
        with torch.no_grad():
            mean, log_var = vae.encode(x)
        assert float(mean.abs().max()) > 1
        spread[bounds] = (float(log_var.min()), float(log_var.max()))
    assert spread[-1.0, 0.5] == (-1.0, 0.5)
    assert spread[None][0] < -1 and spread[None][1] > 0.5


def test_weights_start_with_variance_two_over_the_number_of_inputs():
    vae = build_vae(GatedMLP(), Bernoulli(), None, (1, 28, 28), generator=stream(0))
    for layer in (m for m in vae.modules() if isinstance(m, torch.nn.Linear)):
        spread = float(layer.weight.detach().std()) * math.sqrt(layer.in_features / 2)
        assert spread == pytest.approx(1, abs=5 / math.sqrt(layer.weight.numel()))


def test_bounds_are_in_the_way_of_calibration_and_gates_are_not():
    def refusal(bounds):
        vae = build_vae(GatedMLP(3, (6,), bounds), Bernoulli(), None, SHAPE, generator=stream(0))
        return calibration_refusal(vae)

    assert refusal(None) is None
    assert "the encoder ends with BoundedLogVar: expected an affine head" in str(refusal((-6.0, 2.0)))


@pytest.mark.parametrize(
    "bounds",
    [(2.0, -6.0), (1.0, 1.0), (0.0,), (float("nan"), 1.0), (-math.inf, 1.0), (True, 2.0), ("a", "b")],
)
def test_bad_bounds_are_refused_in_one_line(bounds):
    with pytest.raises(
        ValueError, match=r"log_var_bounds=.*: expected two numbers, the smaller one first"
    ) as caught:
        GatedMLP(2, (4,), bounds)
    assert "\n" not in str(caught.value)

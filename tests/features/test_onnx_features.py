"""Features by a network of one's own: what it gives, and files that cannot be used."""

import numpy as np
import pytest
import torch
from onnx_networks import affine

from priorgap.core.build import build, load_option
from priorgap.data.splits import Split
from priorgap.features.maps import extract, knows_the_training_data
from priorgap.features.onnx import OnnxFeatures, OnnxSpace
from priorgap.features.spaces import FeatureSpace, MadeByFiles

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

W = np.random.default_rng(0).normal(size=(192, 5))
ROWS = Split(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


@pytest.fixture
def file(tmp_path):
    return affine(tmp_path / "net.onnx", [W], shape=(3, 8, 8))


def test_grey_images_are_repeated_over_three_channels(file, generator):
    features = OnnxFeatures(file)
    x = torch.randint(0, 256, (7, 1, 8, 8), dtype=torch.uint8, generator=generator)
    found = extract(features, x, batch=4)
    expected = (x.float() / 255).expand(-1, 3, -1, -1).flatten(1) @ torch.tensor(W, dtype=torch.float32)
    torch.testing.assert_close(found, expected)
    assert features.name == "onnx" and not knows_the_training_data(features)


def test_the_option_is_a_space_that_a_file_makes(file):
    node = {"_target_": "priorgap.features.OnnxSpace", "weights": str(file)}
    space = build(node, FeatureSpace, where="feature_spaces.onnx")
    assert isinstance(space, OnnxSpace) and isinstance(space, MadeByFiles) and space.files == (file,)
    space.check(ROWS)
    with pytest.raises(ValueError, match=r"expected feature_spaces.onnx.weights=FILE"):
        build(load_option("features", "onnx"), FeatureSpace, where="feature_spaces.onnx").check(ROWS)


def test_other_images_and_missing_files_are_one_line(file, tmp_path):
    with pytest.raises(ValueError, match=r"features=onnx: weights=.*got rows of shape \(3, 9, 9\)"):
        OnnxFeatures(file)(torch.zeros(2, 3, 9, 9))
    with pytest.raises(ValueError, match=r"features=onnx: weights=.*no such file"):
        OnnxSpace(str(tmp_path / "none.onnx")).check(ROWS)

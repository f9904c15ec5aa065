"""Feature spaces: what can be had is said before any work."""

import pytest
import torch

from priorgap.data.splits import Split
from priorgap.features.classifier import ClassifierSpec, build_classifier
from priorgap.features.rocket import RocketSpace
from priorgap.features.spaces import ClassifierSpace, FeatureSpace, InceptionSpace, PixelSpace, SpaceInputs

ROWS = Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def inputs(classifier=None):
    return SpaceInputs(ROWS, classifier, seed=0)


@pytest.mark.parametrize("space", [PixelSpace(), ClassifierSpace(), InceptionSpace(None), RocketSpace(3)])
def test_every_space_is_a_feature_space(space):
    assert isinstance(space, FeatureSpace)


def test_classifier_space_takes_any_data_and_needs_a_classifier(generator):
    ClassifierSpace().check(ROWS)
    with pytest.raises(ValueError, match="features=classifier: needs a classifier"):
        ClassifierSpace().open(inputs())
    classifier = build_classifier(ClassifierSpec((1, 8, 8), 3), generator=generator)
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(ClassifierSpace().open(inputs(classifier))(x), classifier.features(x))


def test_pixels_need_nothing():
    PixelSpace().check(ROWS)
    assert PixelSpace().open(inputs())(torch.rand(2, 1, 3, 3)).shape == (2, 9)


def test_wrong_weights_are_refused_in_one_line(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"features\.weights=.*w\.pt") as caught:
        InceptionSpace(str(tmp_path / "w.pt")).check(ROWS)
    assert "\n" not in str(caught.value)

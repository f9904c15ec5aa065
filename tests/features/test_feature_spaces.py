"""Feature spaces: what can be had is said before any work."""

import pytest
import torch

from priorgap.features.classifier import ClassifierSpec, build_classifier
from priorgap.features.spaces import ClassifierSpace, FeatureSpace, InceptionSpace, PixelSpace


@pytest.mark.parametrize("space", [PixelSpace(), ClassifierSpace(), InceptionSpace(None)])
def test_every_space_is_a_feature_space(space):
    assert isinstance(space, FeatureSpace)


def test_classifier_space_takes_any_data_and_needs_a_classifier(generator):
    ClassifierSpace().check(labelled=False)
    with pytest.raises(ValueError, match="features=classifier: needs a classifier"):
        ClassifierSpace().open(None)
    classifier = build_classifier(ClassifierSpec((1, 8, 8), 3), generator=generator)
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(ClassifierSpace().open(classifier)(x), classifier.features(x))


def test_pixels_need_nothing():
    PixelSpace().check(labelled=False)
    assert PixelSpace().open(None)(torch.rand(2, 1, 3, 3)).shape == (2, 9)


def test_wrong_weights_are_refused_in_one_line(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"features\.weights=.*w\.pt") as caught:
        InceptionSpace(str(tmp_path / "w.pt")).check(labelled=True)
    assert "\n" not in str(caught.value)

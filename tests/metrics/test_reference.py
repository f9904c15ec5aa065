"""The reference: what it computes, and that it comes back from disk unchanged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from priorgap.core.random import stream
from priorgap.evaluation.reference import ReferenceSettings, feature_classifier, real_classifiers
from priorgap.features.classifier import Recipe
from priorgap.features.maps import PixelFeatures
from priorgap.metrics import RealToReal, build_reference, load_reference, save_reference
from priorgap.metrics.classifiers import load_classifiers, save_classifiers
from priorgap.metrics.floors import compute_floor
from priorgap.testing.world import world


def test_round_trip(tmp_path: Path) -> None:
    built = world().reference
    save_reference(built, tmp_path)
    again = load_reference(tmp_path, built.train, built.validation, built.test, PixelFeatures())
    assert again.floor == built.floor
    assert torch.equal(again.test_features, built.test_features)
    assert torch.equal(again.pool_features, built.pool_features)
    x = built.test.x
    assert torch.equal(again.classifiers.judge.predict(x), built.classifiers.judge.predict(x))
    assert torch.equal(again.classifiers.label(x), built.classifiers.label(x))
    assert again.classifiers.recipe == built.classifiers.recipe
    model = replace(world().model, reference=again)
    rows = RealToReal().measure(model.alone(), generator=stream(0))
    assert rows == RealToReal().measure(world().model.alone(), generator=stream(0))


def test_features_of_another_space_are_refused(tmp_path: Path) -> None:
    built = world().reference
    save_reference(built, tmp_path)
    with pytest.raises(ValueError, match="features of pixels, expected inception"):
        load_reference(tmp_path, built.train, built.validation, built.test, PixelFeatures("inception"))


def unlabelled(**changes: object) -> object:
    built = world().reference
    bare = [replace(part, label=None) for part in (built.train, built.validation, built.test)]
    plain = {"n": 100, "n_pool": 400, "n_classifier": 100, "epochs": 1, "seed": 0}
    return build_reference(*bare, n_classes=None, feature_map=PixelFeatures(), **(plain | changes))


def test_data_without_labels_have_no_classifiers(tmp_path: Path) -> None:
    built = unlabelled()
    assert built.classifiers is None and built.floor is not None
    save_reference(built, tmp_path)
    again = load_reference(tmp_path, built.train, built.validation, built.test, PixelFeatures())
    assert again.classifiers is None and again.n_classes is None


def test_the_recipe_of_accuracies_leaves_the_feature_space_alone(tmp_path: Path) -> None:
    built = world().reference
    train, test, k = built.train.take(slice(0, 60)), built.test.take(slice(0, 40)), built.n_classes
    plain = ReferenceSettings(
        seed=0, width=4, n_features=8, epochs=None, passes=0.5, batch_size=16, learning_rate=1e-3, n_train=20,
        n_seeds=2, n_repeats=3,
    )  # fmt: skip
    faster = replace(plain, learning_rate=1e-2)
    features = [feature_classifier(train, k, settings).state_dict() for settings in (plain, faster)]
    assert all(torch.equal(a, b) for a, b in zip(*(f.values() for f in features), strict=True))
    slow, fast = (real_classifiers(train, test, k, 20, settings) for settings in (plain, faster))
    for network in ("labeller", "judge"):
        assert not torch.equal(getattr(slow, network).head.weight, getattr(fast, network).head.weight)
    save_classifiers(fast, tmp_path)
    again = load_classifiers(tmp_path)
    assert again.recipe == fast.recipe == Recipe(0.5, 16, 1e-2) != slow.recipe
    given = train.x, train.label, test, k
    assert torch.equal(
        again.trained_on(*given, generator=stream(0)), fast.trained_on(*given, generator=stream(0))
    )


def test_floor_is_taken_at_the_samplers_size() -> None:
    built = unlabelled()
    small, large = (compute_floor(built, n, seed=0) for n in (50, 200))
    assert (small.n, large.n) == (50, 200)
    assert small.value > large.value and small.null_bias > large.null_bias
    assert compute_floor(built, 10_000, seed=0).n == 400
    assert compute_floor(built, 200, seed=0) == large


def test_a_tiny_pool_has_no_range() -> None:
    floor = unlabelled(n_pool=3).floor
    assert floor.low is None and floor.high is None and floor.spread is None
    assert unlabelled(n_pool=1).floor is None


def test_the_range_contains_a_true_null_mostly() -> None:
    """Training against test images of one law: the point lies in the range for most seeds."""
    built = unlabelled()
    inside = 0
    for seed in range(10):
        rows = torch.randperm(400, generator=stream(seed))
        floor = compute_floor(replace(built, pool_features=built.pool_features[rows]), 200, seed=seed)
        inside += (
            floor.low <= floor.value * 200 / 225 <= floor.high
        )  # 200 against 250 is biased a little less
    assert inside >= 7

"""The reference: what it computes, and that it comes back from disk unchanged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.evaluation.reference import ReferenceSettings, feature_classifier, real_classifiers
from priorgap.features.classifier import Classifier, Recipe
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


def test_the_recipe_of_accuracies_leaves_the_feature_space_and_few_rows_alone(tmp_path: Path) -> None:
    x = torch.randint(0, 256, (10_000, 1, 8, 8), dtype=torch.uint8, generator=stream(0))
    train = Split(x, (x[:, 0, 0, 0] > 127).long())
    test = train.take(slice(0, 40))
    plain = ReferenceSettings(
        seed=0, width=2, n_features=4, epochs=1, passes=1, batch_size=128, learning_rate=1e-3, n_train=2500,
        n_seeds=2, n_repeats=3,
    )  # fmt: skip
    faster = replace(plain, learning_rate=1e-2)

    def equal(*networks: Classifier) -> bool:
        pairs = zip(*(network.state_dict().values() for network in networks), strict=True)
        return all(torch.equal(a, b) for a, b in pairs)

    assert equal(*(feature_classifier(train, 2, settings) for settings in (plain, faster)))
    slow, fast = (real_classifiers(train, test, 2, 2500, settings) for settings in (plain, faster))
    assert not equal(slow.labeller, fast.labeller)
    assert not equal(slow.judge, fast.judge)
    few = train.take(slice(0, 9998))
    assert equal(*(real_classifiers(few, test, 2, 2499, settings).judge for settings in (plain, faster)))
    save_classifiers(fast, tmp_path)
    again = load_classifiers(tmp_path)
    assert again.recipe == fast.recipe == Recipe(1, 128, 1e-2)
    given = train.x, train.label, test, 2
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

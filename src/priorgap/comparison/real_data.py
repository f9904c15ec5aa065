"""What a comparison knows of the real data: the feature space that is chosen, features, floors, classifiers."""

from collections.abc import Mapping
from dataclasses import replace

from priorgap.core.build import build, load_option
from priorgap.data.splits import Split
from priorgap.evaluation.reference import (
    ReferenceSettings,
    feature_classifier,
    real_classifiers,
    real_features,
)
from priorgap.features.classifier import Classifier, fits
from priorgap.features.clusters import n_clusters_of
from priorgap.features.maps import FeatureMap
from priorgap.features.spaces import FeatureSpace
from priorgap.metrics.reference import Reference


def reference_of(
    parts: Mapping[str, Split],
    features: FeatureMap | str,
    n: int,
    settings: ReferenceSettings,
    needs: frozenset[str],
) -> Reference:
    """Compute what the metrics need of the real data: classifiers cost most and are left out where none asks."""
    train, test = parts["train"], parts["test"]
    n_classes = n_classes_of(parts)
    classifier: Classifier | None = None
    if features == "classifier":
        classifier = feature_classifier(train, n_classes, settings)
    feature_map = _feature_map(features, classifier)
    reference = real_features(train, parts["validation"], test, n_classes, feature_map, n, settings)
    if n_classes is None or "classifiers" not in needs:
        return reference
    return replace(reference, classifiers=real_classifiers(train, test, n_classes, n, settings))


def n_classes_of(parts: Mapping[str, Split]) -> int | None:
    """Return the number of classes; None without labels, or with one class: there is nothing to tell apart."""
    train, test = parts["train"].label, parts["test"].label
    if train is None or test is None:
        return None
    found = int(max(train.max(), test.max())) + 1
    return found if found > 1 else None


def default_space(parts: Mapping[str, Split]) -> str:
    """Return the classifier of classes or clusters; pixels where it cannot be had."""
    shape, n = parts["train"].shape, len(parts["train"])
    if not fits(shape) or (n_classes_of(parts) is None and n_clusters_of(n) < 2):
        return "pixels"
    return "classifier"


def _feature_map(features: FeatureMap | str, classifier: Classifier | None) -> FeatureMap:
    if not isinstance(features, str):
        return features
    node = load_option("features", features)
    if features == "inception":
        node = {**node, "weights": None}
    space: FeatureSpace = build(node, FeatureSpace, where=f"features.{features}")
    return space.open(classifier)

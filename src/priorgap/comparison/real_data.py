"""A comparison's results on the real data alone: the chosen feature space, features, floors, classifiers."""

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
from priorgap.features.classifier import fits
from priorgap.features.clusters import n_clusters_of
from priorgap.features.maps import FeatureMap
from priorgap.features.spaces import FeatureSpace, SpaceInputs
from priorgap.metrics.reference import Reference


def reference_of(
    parts: Mapping[str, Split],
    features: FeatureMap | str,
    n: int,
    settings: ReferenceSettings,
    needs: frozenset[str],
) -> Reference:
    """Compute what metrics need from the real data; classifiers, which cost most, only if a metric needs them."""
    train, test = parts["train"], parts["test"]
    n_classes = n_classes_of(parts)
    feature_map = _opened(features, train, n_classes, settings) if isinstance(features, str) else features
    reference = real_features(train, parts["validation"], test, n_classes, feature_map, n, settings)
    if n_classes is None or "classifiers" not in needs:
        return reference
    return replace(reference, classifiers=real_classifiers(train, test, n_classes, n, settings))


def n_classes_of(parts: Mapping[str, Split]) -> int | None:
    """Return the number of classes; None without labels, or with one class, which leaves nothing to tell apart."""
    train, test = parts["train"].label, parts["test"].label
    if train is None or test is None:
        return None
    found = int(max(train.max(), test.max())) + 1
    return found if found > 1 else None


def default_space(parts: Mapping[str, Split]) -> str:
    """Return the default feature space for this kind of data; pixels where its classifier cannot be trained."""
    train = parts["train"]
    found = train.modality.feature_space
    had = fits(train.shape) and (n_classes_of(parts) is not None or n_clusters_of(len(train)) > 1)
    return found if had or not space_of(found).needs_classifier else "pixels"


def space_of(name: str) -> FeatureSpace:
    """Return a feature space of conf/features by its name."""
    node = load_option("features", name)
    if name == "inception":
        node = {**node, "weights": None}
    space: FeatureSpace = build(node, FeatureSpace, where=f"features.{name}")
    return space


def _opened(name: str, train: Split, n_classes: int | None, settings: ReferenceSettings) -> FeatureMap:
    space = space_of(name)
    classifier = feature_classifier(train, n_classes, settings) if space.needs_classifier else None
    return space.open(SpaceInputs(train, classifier, settings.seed))

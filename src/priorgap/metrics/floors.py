"""Computation of a data set's reference: features of real images, and the floors of each feature space."""

from dataclasses import replace

import torch

from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.estimators.discrepancy import (
    frechet_from_features,
    frechet_null_bias,
    frechet_null_interval,
)
from priorgap.estimators.gaussian import sample_moments
from priorgap.estimators.span import in_span
from priorgap.features.classifier import Recipe
from priorgap.features.maps import FeatureMap, extract
from priorgap.metrics.classifiers import fit_classifiers
from priorgap.metrics.reference import Floor, Reference


def build_reference(
    train: Split,
    validation: Split,
    test: Split,
    *,
    n_classes: int | None,
    feature_map: FeatureMap,
    n: int,
    n_pool: int,
    n_classifier: int,
    epochs: int | None,
    seed: int,
) -> Reference:
    """Compute the whole reference of a data set in one feature space.

    Args:
        train, validation, test: the real data.
        n_classes: the number of classes, None without labels.
        feature_map: the feature space.
        n: the number of draws with which samplers are measured; the floor is computed for the same size.
        n_pool: the largest number of training images for the floor and its range; 2 n is enough.
        n_classifier: the largest number of images that train each classifier of synthetic draws and each
            ceiling.
        epochs: passes of every classifier over its images, None for the rule of `fit_classifier`.
        seed: seeds the choice of images and the classifiers.
    """
    reference = build_features(
        train, validation, test, n_classes=n_classes, feature_map=feature_map, n=n, n_pool=n_pool, seed=seed
    )
    if n_classes is None or train.label is None or test.label is None:
        return reference
    found = fit_classifiers(
        train, test, n_classes, n_train=n_classifier, epochs=epochs, recipe=Recipe(), seed=seed
    )
    return replace(reference, classifiers=found)


def build_features(
    train: Split,
    validation: Split,
    test: Split,
    *,
    n_classes: int | None,
    feature_map: FeatureMap,
    n: int,
    n_pool: int,
    seed: int,
    n_repeats: int = 20,
) -> Reference:
    """Compute features and floor, without classifiers; the arguments are those of `build_reference`."""
    rows = torch.randperm(len(train), generator=stream(seed, "pool"))[:n_pool]
    reference = Reference(
        train,
        validation,
        test,
        feature_map,
        test_features=extract(feature_map, test.x),
        pool_features=extract(feature_map, train.x[rows]),
        n_classes=n_classes,
    )
    return replace(reference, floor=compute_floor(reference, n, seed=seed, n_repeats=n_repeats))


def compute_floor(reference: Reference, n: int, *, seed: int, n_repeats: int = 20) -> Floor | None:
    """Return the floor for n draws; None where either side has fewer than two images.

    Args:
        reference: the reference whose features are used.
        n: the number of training images, reduced to the pool's size if that is smaller.
        seed: seeds the random subsets.
        n_repeats: the number of pairs of subsets that give the range.
    """
    pool, test = reference.pool_features, reference.test_features
    n = min(n, len(pool))
    if min(n, len(test)) < 2:
        return None
    value = frechet_from_features(pool[:n], test).value
    n_range = min(n, len(test), len(pool) // 2)
    low = high = None
    if n_range >= 2:
        generator = stream(seed, "floor", n)
        low, high = frechet_null_interval(pool, n_range, n_range, generator=generator, n_repeats=n_repeats)
    null_bias = frechet_null_bias(sample_moments(*in_span(test))[1], n, len(test))
    return Floor(value, n, len(test), low, high, n_range, null_bias)

"""What is known of the real data alone: networks fitted to them, features and floors."""

from dataclasses import dataclass

from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.features.maps import Classifier, FeatureMap, fit_classifier
from priorgap.metrics.classifiers import Classifiers, fit_classifiers
from priorgap.metrics.floors import build_features
from priorgap.metrics.reference import Reference

FEATURE_CLASSIFIER = "feature_classifier"


@dataclass(frozen=True)
class ReferenceSettings:
    """How the real data are looked at; values stand in conf/config.yaml.

    Attributes:
        seed: of all that is random.
        width, n_features: sizes of every classifier.
        epochs: passes of every classifier over its images; None: fewer the more there are.
        n_repeats: pairs of real sets behind the range of a floor.
    """

    seed: int
    width: int
    n_features: int
    epochs: int | None
    n_repeats: int


def feature_classifier(
    train: Split, n_classes: int, settings: ReferenceSettings, device: str = "cpu"
) -> Classifier:
    """Fit the classifier of the real training images whose penultimate layer is a feature space.

    Raises:
        ValueError: the training images have no labels.
    """
    if train.label is None:
        raise ValueError("a classifier needs labelled training images")
    return fit_classifier(
        train.x,
        train.label,
        n_classes=n_classes,
        generator=stream(settings.seed, FEATURE_CLASSIFIER),
        epochs=settings.epochs,
        width=settings.width,
        n_features=settings.n_features,
        device=device,
    )


def real_classifiers(
    train: Split, test: Split, n_classes: int, n: int, settings: ReferenceSettings
) -> Classifiers:
    """Fit labeller, judge and the two ceilings, each ceiling by n images at most."""
    return fit_classifiers(
        train,
        test,
        n_classes,
        n_train=n,
        epochs=settings.epochs,
        seed=settings.seed,
        width=settings.width,
        n_features=settings.n_features,
    )


def real_features(
    train: Split,
    validation: Split,
    test: Split,
    n_classes: int | None,
    feature_map: FeatureMap,
    n: int,
    settings: ReferenceSettings,
) -> Reference:
    """Take features of the real images, and the floor for n draws."""
    return build_features(
        train,
        validation,
        test,
        n_classes=n_classes,
        feature_map=feature_map,
        n=n,
        n_pool=2 * n,
        seed=settings.seed,
        n_repeats=settings.n_repeats,
    )

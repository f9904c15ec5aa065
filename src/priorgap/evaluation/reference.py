"""Everything computed from the real data alone: networks fitted to them, features and floors."""

from dataclasses import dataclass

from priorgap.core.findings import Finding
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.features.classifier import Classifier, Recipe, fit_classifier
from priorgap.features.clusters import cluster_labels
from priorgap.features.maps import FeatureMap
from priorgap.metrics.classifiers import Classifiers, fit_classifiers
from priorgap.metrics.floors import build_features
from priorgap.metrics.reference import Reference

FEATURE_CLASSIFIER = "feature_classifier"


@dataclass(frozen=True)
class ReferenceSettings:
    """Settings for the evaluation of real data; the values are in conf/config.yaml.

    Attributes:
        seed: the seed of everything random.
        width, n_features: sizes of every classifier.
        epochs: passes of every classifier over its images; None: the more images, the fewer passes.
        passes, batch_size, learning_rate: the recipe of labeller, judge, ceilings and classifiers of draws. The
            network of the feature space has one of its own, the default of `fit_classifier`.
        n_train: the largest number of draws that train each classifier of a sampler's accuracy; the ceilings use the
            same number.
        n_seeds: the number of classifiers of each kind.
        n_repeats: the number of pairs of real sets from which a floor's range is computed.
    """

    seed: int
    width: int
    n_features: int
    epochs: int | None
    passes: float
    batch_size: int
    learning_rate: float
    n_train: int
    n_seeds: int
    n_repeats: int

    @property
    def recipe(self) -> Recipe:
        """How the classifiers of labels and accuracies are trained."""
        return Recipe(self.passes, self.batch_size, self.learning_rate)


def feature_classifier(train: Split, n_classes: int | None, settings: ReferenceSettings) -> Classifier:
    """Fit the classifier of the real training rows whose penultimate layer is a feature space.

    It predicts the rows' classes, or clusters where there are no labels or only one class (`n_classes` None).

    Raises:
        ValueError: there are too few rows, or images too small for its convolutions.
    """
    label = train.label
    if n_classes is None or n_classes < 2 or label is None:
        label = cluster_labels(train.x, generator=stream(settings.seed, FEATURE_CLASSIFIER, "clusters"))
        n_classes = int(label.max()) + 1
    return fit_classifier(
        train.x,
        label,
        n_classes=n_classes,
        generator=stream(settings.seed, FEATURE_CLASSIFIER),
        epochs=settings.epochs,
        width=settings.width,
        n_features=settings.n_features,
    )


def no_labels(n_clusters: int) -> Finding:
    """Return the finding that a feature space was trained without labels."""
    sentence = (
        f"The data have no labels: the feature space is that of a network trained to tell {n_clusters} clusters of "
        "the training rows apart."
    )
    return Finding("note", "no_labels", None, None, sentence)


def real_classifiers(
    train: Split, test: Split, n_classes: int, n: int, settings: ReferenceSettings
) -> Classifiers:
    """Fit labeller, judge and the two ceilings, each ceiling on at most n images and `settings.n_train`."""
    return fit_classifiers(
        train,
        test,
        n_classes,
        n_train=min(n, settings.n_train),
        epochs=settings.epochs,
        recipe=settings.recipe,
        seed=settings.seed,
        n_seeds=settings.n_seeds,
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
    """Compute features of the real images, and the floor for n draws."""
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

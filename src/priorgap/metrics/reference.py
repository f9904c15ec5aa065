"""Facts of the real data that depend on no model: features, floors, classifiers and their ceilings."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from priorgap.core.artifacts import load_json, load_tensors, save_json, save_tensors
from priorgap.data.splits import Split
from priorgap.estimators.neighbour_index import NeighbourIndex
from priorgap.features.maps import FeatureMap
from priorgap.metrics.classifiers import Classifiers, load_classifiers, save_classifiers

_FACTS = "reference.json"
_TENSORS = "reference.safetensors"
# The width of a two-sided 95 % interval of a null value, in its standard deviations.
_INTERVAL_WIDTH = 2 * 1.96


@dataclass(frozen=True)
class Floor:
    """Fréchet distances between real images, training against test: no sampler can be expected to be better.

    Attributes:
        value: distance of n training images to the test images.
        n, n_reference: the two sizes.
        low, high: 95 % range of the distance of n_range against n_range images of one population, by random
            disjoint subsets of the training images; None where there are too few.
        n_range: the size of both subsets behind low and high, smaller than n where images are few.
        null_bias: the expected value under equal distributions, in closed form.
    """

    value: float
    n: int
    n_reference: int
    low: float | None
    high: float | None
    n_range: int
    null_bias: float

    @property
    def spread(self) -> float | None:
        """The standard deviation of the distance under equal distributions, used as an FID's error near its floor."""
        return None if self.low is None or self.high is None else (self.high - self.low) / _INTERVAL_WIDTH


@dataclass(frozen=True, eq=False)
class Reference:
    """Facts about real data in one feature space, shared by all models and samplers. None means missing.

    Attributes:
        train, validation, test: the real data.
        feature_map: the feature space; its name is the `space` of measures in it.
        test_features: features of all test images.
        pool_features: features of a random part of the training images, in random order.
        n_classes: the number of classes, None without labels.
        floor: the real-against-real floor of FID.
        classifiers: labeller and judge, None without labels.
        memo: results that metrics compute from the real data alone and share, each under a name of its own.
    """

    train: Split
    validation: Split
    test: Split
    feature_map: FeatureMap
    test_features: Float[Tensor, "n_test D"]
    pool_features: Float[Tensor, "p D"]
    n_classes: int | None = None
    floor: Floor | None = None
    classifiers: Classifiers | None = None
    memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def neighbours(self, part: Literal["train", "validation", "test"]) -> NeighbourIndex:
        """Return the index of a part's rows as float vectors, with images in [0, 1]; it is built once."""
        split: Split = getattr(self, part)
        # The data are compared, because a copied reference with other data must not use the old index.
        kept = self.memo.get(("neighbours", part))
        if kept is None or kept[0] is not split.x:
            rows = split.floats().flatten(1)
            index = NeighbourIndex.of(rows) if part == "train" else self.neighbours("train").over(rows)
            kept = self.memo[("neighbours", part)] = (split.x, index)
        found: NeighbourIndex = kept[1]
        return found


def save_reference(reference: Reference, directory: Path) -> None:
    """Write everything except the data and the feature map."""
    save_features(reference, directory)
    if reference.classifiers is not None:
        save_classifiers(reference.classifiers, directory)


def save_features(reference: Reference, directory: Path) -> None:
    """Write the results that belong to the feature space: features and floor."""
    tensors = {"test_features": reference.test_features, "pool_features": reference.pool_features}
    facts = {
        "space": reference.feature_map.name,
        "n_classes": reference.n_classes,
        "floor": None if reference.floor is None else vars(reference.floor),
    }
    save_tensors(directory / _TENSORS, tensors)
    save_json(directory / _FACTS, facts)


def load_reference(
    directory: Path,
    train: Split,
    validation: Split,
    test: Split,
    feature_map: FeatureMap,
    *,
    classifiers: Path | None = None,
) -> Reference:
    """Read what was saved, for the same data and feature map.

    Args:
        directory: the folder that `save_reference` or `save_features` wrote to.
        train, validation, test: the data.
        feature_map: the feature space.
        classifiers: the folder that `save_classifiers` wrote to; None for the same folder.

    Raises:
        ValueError: the feature map belongs to another space.
    """
    facts, tensors = load_json(directory / _FACTS), load_tensors(directory / _TENSORS)
    if facts["space"] != feature_map.name:
        raise ValueError(f"{directory}: features of {facts['space']}, expected {feature_map.name}")
    return Reference(
        train,
        validation,
        test,
        feature_map,
        tensors["test_features"],
        tensors["pool_features"],
        facts["n_classes"],
        None if facts["floor"] is None else Floor(**facts["floor"]),
        load_classifiers(directory if classifiers is None else classifiers),
    )

"""Feature spaces as hyperparameters: what a study selects by name, before any network is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from priorgap.data.splits import Split
from priorgap.features.classifier import Classifier, ClassifierFeatures
from priorgap.features.inception import InceptionFeatures
from priorgap.features.maps import FeatureMap, PixelFeatures


@dataclass(frozen=True, eq=False)
class SpaceInputs:
    """What a feature map may be made of: nothing but real training rows, and draws of a seed.

    Attributes:
        train: the real training rows.
        classifier: one of these rows, None where the space needs none.
        seed: of what the map draws, by streams with the space's name.
    """

    train: Split
    classifier: Classifier | None
    seed: int


@runtime_checkable
class FeatureSpace(Protocol):
    """A frozen dataclass that opens a feature map."""

    @property
    def name(self) -> str:
        """The space's name, printed with every number measured in it."""
        ...

    @property
    def needs_classifier(self) -> bool:
        """Whether `open` takes a classifier of the real images, which is fitted then."""
        ...

    def check(self, train: Split) -> None:
        """Find out whether the space can be had, before any work.

        Args:
            train: the real training rows.

        Raises:
            ValueError: it cannot, in one line.
        """
        ...

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Return the map.

        Args:
            inputs: what it may be made of.

        Raises:
            ValueError: the space cannot be had, in one line.
        """
        ...


@runtime_checkable
class MadeByFiles(Protocol):
    """A feature space that depends on what files hold: another content is another space."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files."""
        ...


@dataclass(frozen=True)
class PixelSpace:
    """The observations themselves."""

    name: ClassVar[str] = "pixels"
    needs_classifier: ClassVar[bool] = False

    def check(self, train: Split) -> None:
        """Pixels can always be had."""

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Return the identity, flattened."""
        return PixelFeatures()


@dataclass(frozen=True)
class ClassifierSpace:
    """Penultimate features of a classifier of the real training rows: of classes, or of clusters without labels."""

    name: ClassVar[str] = "classifier"
    needs_classifier: ClassVar[bool] = True

    def check(self, train: Split) -> None:
        """Any data will do: clusters stand for the classes of those that have none."""

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Return the classifier's penultimate layer.

        Raises:
            ValueError: there is no classifier.
        """
        if inputs.classifier is None:
            raise ValueError("features=classifier: needs a classifier of the real training rows")
        return ClassifierFeatures(inputs.classifier)


@dataclass(frozen=True)
class InceptionSpace:
    """The pooled features of the Inception network that published FID numbers use.

    Attributes:
        weights: a file of weights; None for the published file, fetched once.
    """

    weights: str | None
    name: ClassVar[str] = "inception"
    needs_classifier: ClassVar[bool] = False

    def check(self, train: Split) -> None:
        """Load the network once; its weights may be missing or wrong."""
        self._load()

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Load the network."""
        return self._load()

    def _load(self) -> FeatureMap:
        return InceptionFeatures(None if self.weights is None else Path(self.weights))

"""Feature spaces as hyperparameters: a study selects them by name, before any network is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from priorgap.data.splits import Split
from priorgap.features.classifier import Classifier, ClassifierFeatures
from priorgap.features.inception import InceptionFeatures
from priorgap.features.maps import FeatureMap, PixelFeatures


@dataclass(frozen=True, eq=False)
class SpaceInputs:
    """The inputs of a feature map: only real training rows, and a seed for draws.

    Attributes:
        train: the real training rows.
        classifier: a classifier of these rows; None where the space needs none.
        seed: the seed of the map's draws, whose streams have the space's name.
    """

    train: Split
    classifier: Classifier | None
    seed: int


@runtime_checkable
class FeatureSpace(Protocol):
    """A frozen dataclass that opens a feature map."""

    @property
    def name(self) -> str:
        """The space's name, which is printed with every number measured in it."""
        ...

    @property
    def needs_classifier(self) -> bool:
        """Whether `open` needs a classifier of the real images, which is then fitted."""
        ...

    def check(self, train: Split) -> None:
        """Check that the space is available, before any work starts.

        Args:
            train: the real training rows.

        Raises:
            ValueError: the space is not available; one line.
        """
        ...

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Return the map.

        Args:
            inputs: the inputs of the map.

        Raises:
            ValueError: the space is not available; one line.
        """
        ...


@runtime_checkable
class MadeByFiles(Protocol):
    """A feature space that depends on files: with another content it is another space."""

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
        """Do nothing, because pixels are always available."""

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Return the identity, flattened."""
        return PixelFeatures()


@dataclass(frozen=True)
class ClassifierSpace:
    """Penultimate features of a classifier of the real training rows: of classes, or of clusters without labels."""

    name: ClassVar[str] = "classifier"
    needs_classifier: ClassVar[bool] = True

    def check(self, train: Split) -> None:
        """Do nothing: any data are accepted, because clusters replace missing classes."""

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
    """The pooled features of the Inception network behind published FID values.

    Attributes:
        weights: a file of weights; None for the published file, which is downloaded once.
    """

    weights: str | None
    name: ClassVar[str] = "inception"
    needs_classifier: ClassVar[bool] = False

    def check(self, train: Split) -> None:
        """Load the network once, because its weights may be missing or wrong."""
        self._load()

    def open(self, inputs: SpaceInputs) -> FeatureMap:
        """Load the network."""
        return self._load()

    def _load(self) -> FeatureMap:
        return InceptionFeatures(None if self.weights is None else Path(self.weights))

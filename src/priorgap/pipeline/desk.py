"""What a process has loaded or built, each once: data, one model, one sampler's images."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from priorgap.core import artifacts
from priorgap.core.latents import Latents
from priorgap.data.splits import Dataset, Split
from priorgap.evaluation.measure import model_evidence
from priorgap.evaluation.model import ModelFunctions
from priorgap.evaluation.reference import ReferenceSettings
from priorgap.features.classifier import Classifier, restore_classifier
from priorgap.features.maps import FeatureMap
from priorgap.features.spaces import SpaceInputs
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.likelihood import split_log_likelihood
from priorgap.metrics.measuring import image_distortions
from priorgap.metrics.reference import Reference, load_reference
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import CLASSIFIERS, FEATURE_CLASSIFIER, PlannedModel, Step
from priorgap.pipeline.following import Following, Nobody
from priorgap.pipeline.reading import load_draws, load_posteriors, obtain_dataset, with_own_contexts
from priorgap.pipeline.store.layout import Store
from priorgap.samplers.drawing import label_source_of


class Desk:
    """The objects that the stages of a process share.

    Args:
        store: the store of results.
        following: the observer of trainings.
    """

    def __init__(self, store: Store, following: Following | None = None) -> None:
        self.store = store
        self.following: Following = Nobody() if following is None else following
        self._datasets: dict[Step, Dataset] = {}
        self._at_hand: ModelAtHand | None = None

    def dataset(self, model: PlannedModel) -> Dataset:
        """Return the data of a model: as stored or, before they are stored, from their source."""
        step = model.data
        if step not in self._datasets:
            known = next((s for s in self._datasets if s.path == step.path), None)
            found = obtain_dataset(model, self.store) if known is None else self._datasets.pop(known)
            self._datasets[step] = found
        return self._datasets[step]

    def stored(self, model: PlannedModel) -> None:
        """Forget a data set, so that it is read from the store next time, where it is memory-mapped."""
        self._datasets.pop(model.data, None)

    def model(self, model: PlannedModel) -> "ModelAtHand":
        """Return a trained model with everything that its stages share; only one model is kept."""
        if self._at_hand is None or self._at_hand.planned is not model:
            self._at_hand = ModelAtHand(self, model)
        return self._at_hand


def n_samples(cell: ModelConfig, n_test: int) -> int:
    """Return the number of draws of every sampler, which is at most the number of test images."""
    return min(int(cell.config["n_samples"]), n_test)


def reference_settings(cell: ModelConfig) -> ReferenceSettings:
    """Return the settings for the evaluation of real data."""
    node = cell.config["reference"]
    return ReferenceSettings(seed=int(node["seed"]), n_repeats=int(node["n_repeats"]), **node["classifier"])


def feature_map_of(store: Store, model: PlannedModel, space: str, train: Split) -> FeatureMap:
    """Return the map of a feature space, built from the training rows and the stored classifier."""
    seed = reference_settings(model.cell).seed
    opened = parts.feature_space(model.cell.config, space)
    return opened.open(SpaceInputs(train, _feature_network(store, model, space), seed))


def _feature_network(store: Store, model: PlannedModel, space: str) -> Classifier | None:
    """Return the classifier that gives a space's features; None where none is needed."""
    for step in model.references[space]:
        if step.subject.space == FEATURE_CLASSIFIER:
            folder = store.folder(step)
            facts = artifacts.load_json(folder / "facts.json")
            tensors = artifacts.load_tensors(folder / f"{FEATURE_CLASSIFIER}.safetensors")
            return restore_classifier(facts[FEATURE_CLASSIFIER], tensors)
    return None


class ModelAtHand:
    """A trained model and its derived results, each read or computed when first needed.

    Args:
        desk: the objects that the process shares.
        planned: the model.
    """

    def __init__(self, desk: Desk, planned: PlannedModel) -> None:
        self.planned, self._desk, self._store = planned, desk, desk.store
        self.cell = planned.cell
        self._evidence: dict[str, ModelEvidence] = {}
        self._sampler: tuple[tuple[str, str], Evidence | str] | None = None

    @property
    def dataset(self) -> Dataset:
        """The model's data."""
        return self._desk.dataset(self.planned)

    @cached_property
    def trained(self) -> models.TrainedModel:
        """The model, rebuilt from its files."""
        return models.load(self._store.folder(self.planned.weights))

    @cached_property
    def functions(self) -> ModelFunctions:
        """The model as functions, with its decode rule."""
        trained = self.trained
        # The data are loaded only if the decoder is given a part of them.
        contexts = trained.contexts(self.dataset) if trained.vae.traits.told else None
        return trained.functions(self.planned.decode, self.cell.seed, contexts)

    @cached_property
    def latents(self) -> dict[str, Latents]:
        """The model's posteriors, by part of the data."""
        found = load_posteriors(self._store.folder(self.planned.posteriors))
        return found if self.functions.contexts is None else with_own_contexts(found)

    @cached_property
    def distortions(self) -> tuple[Tensor, Tensor] | None:
        """-log p(x|z) and squared error of each test image; None without an encoder."""
        model = self.trained
        if model.encode is None:
            return None
        return image_distortions(
            model.vae, self.latents["test"], self.dataset.test, sigma=model.sigma_x(),
            batch=model.decode_batch, seed=self.cell.seed,
        )  # fmt: skip

    @cached_property
    def bare(self) -> ModelEvidence:
        """The evidence without its expensive parts, for metrics of the model that need no images."""
        return model_evidence(self.functions, self.latents, seed=self.cell.seed)

    def evidence(self, space: str) -> ModelEvidence:
        """Return the evidence with the real data in one feature space."""
        if space not in self._evidence:
            self._evidence[space] = replace(
                self.bare, reference=self._reference(space), heldout_exchangeable=self.dataset.exchangeable
            )
        return self._evidence[space]

    def _reference(self, space: str) -> Reference:
        dataset, store, references = self.dataset, self._store, self.planned.references
        features = store.folder(references[space][-1])
        classifiers = features
        for step in references.get("", ()):
            if step.subject.space == CLASSIFIERS:
                classifiers = store.folder(step)
        return load_reference(
            features, dataset.train, dataset.validation, dataset.test,
            feature_map_of(store, self.planned, space, dataset.train), classifiers=classifiers,
        )  # fmt: skip

    @cached_property
    def with_distortion(self) -> ModelEvidence:
        """The bare evidence with distortions added."""
        if self.distortions is None:
            return self.bare
        distortion, sse = self.distortions
        return replace(self.bare, distortion=distortion, distortion_sse=sse)

    @cached_property
    def with_likelihood(self) -> ModelEvidence:
        """The bare evidence with log p(x|z) added, where that bounds log p(x)."""
        model = self.trained
        if not model.vae.traits.log_var:
            return self.bare
        likelihood = split_log_likelihood(
            model.vae, self.dataset.test, sigma=model.sigma_x(), batch=model.decode_batch
        )
        return replace(self.bare, log_likelihood=likelihood)

    def of_sampler(self, name: str, space: str) -> Evidence | str:
        """Return one sampler's evidence, or why there is none; the last one is cached, images included."""
        if self._sampler is None or self._sampler[0] != (name, space):
            self._sampler = (name, space), self._of_sampler(name, space)
        return self._sampler[1]

    def _of_sampler(self, name: str, space: str) -> Evidence | str:
        step = self.planned.samples[name]
        facts = self._store.value(step)
        if facts["skipped"] is not None:
            return str(facts["skipped"])
        sampler = parts.sampler(self.cell.config, name)
        source = label_source_of(sampler, conditional=self.functions.conditional)
        return self.evidence(space).of(name, sampler.role, load_draws(self._store, step), label_source=source)


def scratch(store: Store, step: Step, key: str) -> Path:
    """Return the folder of a training's checkpoint; it depends on the key, so that no other training is resumed."""
    study, _, name = step.path.parts
    return store.study(study) / "resume" / f"{name}-{key[:8]}"

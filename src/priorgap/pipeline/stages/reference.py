"""reference: what is known of the real data alone, shared by all studies of a data set."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from priorgap.core import artifacts
from priorgap.evaluation.reference import feature_classifier, real_classifiers, real_features
from priorgap.metrics.classifiers import save_classifiers
from priorgap.metrics.reference import save_features
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.plan import CLASSIFIERS, FEATURE_CLASSIFIER, Job, Step
from priorgap.pipeline.desk import Desk, feature_network, n_samples, reference_settings
from priorgap.pipeline.models import device_of
from priorgap.pipeline.store.layout import Files

log = logging.getLogger(__name__)


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Files]]:
    """Yield networks that are fitted to the real images, or the features and floor of one space."""
    of_network: dict[str, Callable[[Job, Desk], Files]] = {
        CLASSIFIERS: _classifiers,
        FEATURE_CLASSIFIER: _feature_classifier,
    }
    for step in job.steps:
        yield step, of_network.get(step.subject.space, _space)(job, desk)


def _feature_classifier(job: Job, desk: Desk) -> Files:
    dataset, cell = desk.dataset(job.model), job.model.cell
    facts: dict[str, object] = {"labelled": dataset.labelled}
    tensors = {}
    if dataset.labelled and dataset.n_classes is not None:
        log.info("%s: fitting the classifier of the real images that gives the features", dataset.name)
        device = device_of(cell.config)
        network = feature_classifier(dataset.train, dataset.n_classes, reference_settings(cell), device)
        facts[FEATURE_CLASSIFIER], tensors = network.facts(), network.state_dict()

    def write(directory: Path) -> None:
        if tensors:
            artifacts.save_tensors(directory / f"{FEATURE_CLASSIFIER}.safetensors", tensors)
        artifacts.save_json(directory / "facts.json", facts)

    return Files(write)


def _classifiers(job: Job, desk: Desk) -> Files:
    dataset, cell = desk.dataset(job.model), job.model.cell
    found = None
    if dataset.labelled and dataset.n_classes is not None:
        log.info("%s: fitting classifiers of the real images: labeller, judge, two ceilings", dataset.name)
        n = n_samples(cell, len(dataset.test))
        found = real_classifiers(dataset.train, dataset.test, dataset.n_classes, n, reference_settings(cell))

    def write(directory: Path) -> None:
        artifacts.save_json(directory / "facts.json", {"labelled": found is not None})
        if found is not None:
            save_classifiers(found, directory)

    return Files(write)


def _space(job: Job, desk: Desk) -> Files:
    dataset, cell = desk.dataset(job.model), job.model.cell
    space = job.steps[0].subject.space
    feature_map = parts.feature_space(cell.config, space).open(feature_network(desk.store, job.model, space))
    log.info("%s: features of real images and their floors in %s", dataset.name, space)
    found = real_features(
        dataset.train, dataset.validation, dataset.test, dataset.n_classes, feature_map,
        n_samples(cell, len(dataset.test)), reference_settings(cell),
    )  # fmt: skip
    return Files(lambda directory: save_features(found, directory))

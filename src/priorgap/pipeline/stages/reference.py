"""reference: everything computed from the real data alone, shared by all studies of a data set."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from priorgap.core import artifacts
from priorgap.evaluation.reference import feature_classifier, real_classifiers, real_features
from priorgap.metrics.classifiers import save_classifiers
from priorgap.metrics.reference import save_features
from priorgap.pipeline.config.plan import CLASSIFIERS, FEATURE_CLASSIFIER, Job, Step
from priorgap.pipeline.desk import Desk, feature_map_of, n_samples, reference_settings
from priorgap.pipeline.store.layout import Files

log = logging.getLogger(__name__)


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Files]]:
    """Yield networks fitted to the real images, or the features and floor of one space."""
    of_network: dict[str, Callable[[Job, Desk], Files]] = {
        CLASSIFIERS: _classifiers,
        FEATURE_CLASSIFIER: _feature_classifier,
    }
    for step in job.steps:
        yield step, of_network.get(step.subject.space, _space)(job, desk)


def _feature_classifier(job: Job, desk: Desk) -> Files:
    dataset, cell = desk.dataset(job.model), job.model.cell
    labelled = dataset.labelled and (dataset.n_classes or 0) > 1
    without = "" if labelled else "; there are no labels: clusters of the rows are its classes"
    log.info("%s: fitting the classifier of the real data that gives the features%s", dataset.name, without)
    network = feature_classifier(
        dataset.train,
        dataset.n_classes if labelled else None,
        reference_settings(cell),
    )
    facts = {"labelled": labelled, FEATURE_CLASSIFIER: network.facts()}

    def write(directory: Path) -> None:
        artifacts.save_tensors(directory / f"{FEATURE_CLASSIFIER}.safetensors", network.state_dict())
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
    feature_map = feature_map_of(desk.store, job.model, space, dataset.train)
    log.info("%s: features of real images and their floors in %s", dataset.name, space)
    found = real_features(
        dataset.train, dataset.validation, dataset.test, dataset.n_classes, feature_map,
        n_samples(cell, len(dataset.test)), reference_settings(cell),
    )  # fmt: skip
    return Files(lambda directory: save_features(found, directory))

"""prepare: the data set on disk, verified, as whole tensors."""

import logging
from collections.abc import Iterator
from pathlib import Path

from priorgap.core import artifacts
from priorgap.data.binarize import GreySplit
from priorgap.data.splits import save_dataset
from priorgap.pipeline.config.plan import Job, Step
from priorgap.pipeline.desk import Desk
from priorgap.pipeline.reading import GREY
from priorgap.pipeline.store.layout import Files

log = logging.getLogger(__name__)


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Files]]:
    """Yield the data set."""
    dataset = desk.dataset(job.model)

    def write(directory: Path) -> None:
        save_dataset(dataset, directory)
        if isinstance(dataset.train, GreySplit):
            artifacts.save_tensors(directory / GREY, {"x": dataset.train.grey})

    (step,) = job.steps
    yield step, Files(write)
    desk.stored(job.model)
    log.info(
        "%s: %d training, %d validation, %d test observations of shape %s",
        dataset.name, len(dataset.train), len(dataset.validation), len(dataset.test), dataset.shape,
    )  # fmt: skip

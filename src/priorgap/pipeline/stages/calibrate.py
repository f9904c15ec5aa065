"""calibrate: the moments of the training posteriors, folded into head and first layer, give another model."""

from collections.abc import Iterator

from priorgap.models.calibrate import calibrate as fold
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.plan import Job, Step
from priorgap.pipeline.desk import Desk
from priorgap.pipeline.store.layout import Files


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Files]]:
    """Yield the calibrated model of a trained one.

    Raises:
        ValueError: the model cannot be calibrated; the message is the reason.
    """
    (step,) = job.steps
    config = job.model.cell.config
    train = desk.dataset(job.model).train
    model = models.load(desk.store.folder(job.model.train))
    functions = model.functions(job.model.decode, job.model.cell.seed)
    # The moments are computed in float64 from the posteriors of all training images.
    vae = fold(model.vae, functions.posteriors(train), loss=parts.loss(config)).cpu()
    yield step, Files(lambda directory: models.save(directory, vae, config, train))

"""encode: posteriors of the training, validation and test images, once for each model."""

from collections.abc import Iterator

from priorgap.core import artifacts
from priorgap.pipeline.config.plan import Job, Step
from priorgap.pipeline.desk import Desk
from priorgap.pipeline.reading import ABSENT, PARTS, POSTERIORS
from priorgap.pipeline.store.layout import Files


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Files]]:
    """Yield the posteriors of all images; for a model without an encoder only this fact is stored."""
    (step,) = job.steps
    model = desk.model(job.model)
    if model.functions.encode is None:
        reason = {"reason": "the model has no encoder"}
        yield step, Files(lambda directory: artifacts.save_json(directory / ABSENT, reason))
        return
    tensors = {}
    for part in PARTS:
        latents = model.functions.posteriors(getattr(model.dataset, part))
        tensors[f"{part}.mean"] = latents.mean
        if latents.log_var is not None:
            tensors[f"{part}.log_var"] = latents.log_var
        if latents.label is not None:
            tensors[f"{part}.label"] = latents.label
    yield step, Files(lambda directory: artifacts.save_tensors(directory / POSTERIORS, tensors))

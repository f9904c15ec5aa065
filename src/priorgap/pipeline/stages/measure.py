"""measure: per model the mismatch, per sampler quality, copying and accuracy; one small result a metric and space."""

import logging
from collections.abc import Iterator

from priorgap.core import artifacts
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measurement import Measurement
from priorgap.evaluation.measure import marginals
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.protocols import Metric
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.plan import Job, Step, needs_reference
from priorgap.pipeline.desk import Desk, ModelAtHand
from priorgap.pipeline.stages.results import Failure
from priorgap.pipeline.store.layout import Values
from priorgap.pipeline.store.records import MARGINALS

log = logging.getLogger(__name__)


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Values | Failure]]:
    """Yield each measurement of a model or of one of its samplers; one that fails leaves the others alone."""
    # all measures of one space share a sampler's decoded images and features
    for step in sorted(job.steps, key=lambda step: step.subject.space):
        try:
            outcome: Values | Failure = _take(step, desk.model(job.model))
        except (artifacts.Damaged, MemoryError):
            raise
        except Exception as error:
            outcome = Failure(error)
        yield step, outcome


def _take(step: Step, model: ModelAtHand) -> Values:
    subject, cell = step.subject, model.cell
    if subject.metric == MARGINALS:
        test = model.latents.get("test")
        return Values(None, {} if test is None else marginals(test, seed=cell.seed))
    metric = parts.metric(cell.config, subject.metric)
    space = subject.space or str(cell.config["verdict"]["space"])
    rows, reason = _measure(model, metric, subject.sampler, space)
    # a report of a stored study has our catalogue, and no code of a plugin
    own = [measure.to_json() for measure in metric.measures if measure.name not in BUILTIN]
    return Values({"rows": [row.to_json() for row in rows], "skipped": reason, "measures": own})


def _measure(
    model: ModelAtHand, metric: Metric, sampler: str, space: str
) -> tuple[list[Measurement], str | None]:
    if sampler:
        evidence = model.of_sampler(sampler, space)
        if isinstance(evidence, str):
            return [], f"{sampler} does not apply: {evidence}"
    elif "distortion" in metric.needs:
        evidence = model.with_distortion.alone()
    elif "log_likelihood" in metric.needs:
        evidence = model.with_likelihood.alone()
    else:
        evidence = (model.evidence(space) if needs_reference(metric) else model.bare).alone()
    return measure_one(metric, evidence, seed=model.cell.seed)

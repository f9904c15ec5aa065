"""measure: a model's mismatch, its samplers' quality, copying and accuracy; one small result per metric and space."""

import logging
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from priorgap.core import artifacts
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measurement import Measurement
from priorgap.core.shown import REAL, RECONSTRUCTIONS
from priorgap.data.scaling import ColumnScaling
from priorgap.evaluation.measure import latent_space
from priorgap.evaluation.model import ModelFunctions
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
    """Yield each measurement of a model or of one of its samplers; a failure does not stop the others."""
    # All measures of one space share a sampler's decoded images and features.
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
        return Values(_looks(model), {**_marginals(model), **_shown(model)})
    metric = parts.metric(cell.config, subject.metric)
    space = subject.space or str(cell.config["verdict"]["space"])
    rows, reason = _measure(model, metric, subject.sampler, space)
    # A report of a stored study has only our own catalogue and no plugin's code, so other entries are stored here.
    own = [measure.to_json() for measure in metric.measures if measure.name not in BUILTIN]
    return Values({"rows": [row.to_json() for row in rows], "skipped": reason, "measures": own})


def _marginals(model: ModelAtHand) -> dict[str, Tensor]:
    test = model.latents.get("test")
    if test is None:
        return {}
    return latent_space(test, _by_mean(model), model.dataset.modality, seed=model.cell.seed)


def _by_mean(model: ModelAtHand) -> ModelFunctions:
    return replace(model.functions, decode=model.trained.decode)


def _looks(model: ModelAtHand) -> dict[str, object]:
    """Return what a report must know of the data to draw pictures of them."""
    known = model.dataset.provenance
    scaling, modality = ColumnScaling.of(model.dataset), model.dataset.modality
    table, gaps = modality.table, modality.gaps
    return {
        "kind": model.dataset.kind,
        "n_past": int(known.get("n_past", 0)),
        **({} if scaling is None else scaling.facts()),
        **({} if table is None else {"table": table.json()}),
        **({} if gaps is None else {"gaps": gaps.json()}),
    }


def _shown(model: ModelAtHand) -> dict[str, Tensor]:
    """Return observations that a report shows beside samples: real ones, and their reconstructions."""
    test, modality = model.dataset.test, model.dataset.modality
    if not modality.n_shown:
        return {}
    shown = {REAL: test.take(slice(modality.n_shown)).x}
    latents = model.latents.get("test")
    if latents is not None:
        shown[RECONSTRUCTIONS] = _by_mean(model).preview(latents, modality)
    return shown


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

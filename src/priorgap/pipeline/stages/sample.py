"""sample: fit each sampler on the training posteriors, draw n latents once, store its fitted state and a preview."""

import logging
from collections.abc import Iterator

from priorgap.evaluation.sample import fit_and_draw, sampling_inputs
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.plan import Job, Step
from priorgap.pipeline.desk import Desk, ModelAtHand, n_samples
from priorgap.pipeline.store.layout import Values
from priorgap.pipeline.terminal import LINE
from priorgap.samplers.drawing import class_frequencies
from priorgap.samplers.protocols import SamplerNotApplicable

log = logging.getLogger(__name__)


def work(job: Job, desk: Desk) -> Iterator[tuple[Step, Values]]:
    """Yield each sampler's draws; for a sampler that does not apply to the model, the reason is stored."""
    for number, step in enumerate(job.steps, 1):
        name = step.subject.sampler
        LINE.at(f"fitting sampler {number} of {len(job.steps)}, {name}")
        yield step, _sample(name, desk.model(job.model))
        log.debug("%s: sampled %s", job.model.cell.label, name)
    log.info("%s: sampled, %d samplers", job.model.cell.label, len(job.steps))


def _sample(name: str, model: ModelAtHand) -> Values:
    cell, dataset, functions = model.cell, model.dataset, model.functions
    sampler = parts.sampler(cell.config, name)
    facts: dict[str, object] = {"role": sampler.role, "skipped": None}
    inputs = sampling_inputs(functions, model.latents, class_frequencies(dataset.train.label))
    # labels=True, because the sampler's fit itself reports missing labels.
    traits = parts.sampling_traits(cell.config, labels=True)
    try:
        found = fit_and_draw(
            sampler, inputs, traits, functions, n_samples(cell, len(dataset.test)), seed=cell.seed
        )
    except SamplerNotApplicable as reason:
        return Values({**facts, "skipped": str(reason)})
    state, draw = found.fitted.state(), found.draw
    facts["state"] = {"name": state.name, "json": state.json}
    facts["facts"] = found.fitted.facts.to_json()
    tensors = {"z": draw.z, **{f"state.{key}": value for key, value in state.tensors.items()}}
    if draw.source is not None:
        tensors["source"] = draw.source
    if draw.label is not None:
        tensors["label"] = draw.label
    if draw.context is not None:
        tensors["context"] = draw.context
    if dataset.modality.n_shown:
        tensors["preview"] = functions.preview(draw, dataset.modality)
    return Values(facts, tensors)

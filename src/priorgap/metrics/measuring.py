"""Runs metrics on evidence, each with a stream of its own, so that other metrics do not change its numbers."""

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.core.latents import Latents
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.data.splits import Split
from priorgap.densities.protocols import TooFewPoints
from priorgap.estimators.checks import NotFinite
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import Metric, NotApplicable, require
from priorgap.models.families import Model


def measure_one(metric: Metric, evidence: Evidence, *, seed: int) -> tuple[list[Measurement], str | None]:
    """Return a metric's measurements, or an empty list and the reason for their absence.

    Evidence that is not finite counts as missing (`Evidence.lacks`). Finite evidence may still be so large that a
    measure of it is not finite; then that is the reason.

    All samplers of a model share the metric's stream, so that random subsets are the same.

    Raises:
        ValueError: the metric returned a measure that it does not declare, or met numbers that are not finite
            although the model has not diverged.
    """
    try:
        require(evidence, metric.needs)
        rows = metric.measure(evidence, generator=stream(seed, "measure", metric.name))
    except (NotApplicable, TooFewPoints) as reason:
        return [], str(reason)
    except NotFinite:
        # Such numbers are expected from a diverged model; otherwise they are an error in the metric, which must be
        # seen.
        if evidence.exploded is None:
            raise
        return [], f"{evidence.exploded}, and this measure of them is not finite"
    known = {measure.name for measure in metric.measures}
    for row in rows:
        if row.measure not in known:
            raise ValueError(
                f"metrics.{metric.name}: gave the measure {row.measure}, expected one that it names in "
                f"`measures`: {', '.join(sorted(known)) or 'none'}"
            )
    return rows, None


@torch.no_grad()
def image_distortions(
    model: Model, latents: Latents, split: Split, *, sigma: float | None, batch: int, seed: int
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Return -log p(x|z) with its normaliser (nats) and the squared error of each image, with one draw of z each.

    Args:
        model: the model, on its device; it has an encoder.
        latents: the images' posteriors; a conditional model is given their labels.
        split: the images.
        sigma: the decoder's standard deviation that the objective implies; None means the likelihood's own.
        batch: the fixed decoding batch; the last one is padded.
        seed: seeds the draws of z.
    """
    device = next(model.parameters()).device
    z = latents.draw(generator=stream(seed, "distortion"))
    nll, sse = [], []
    for start in range(0, len(z), batch):
        rows = slice(start, min(start + batch, len(z)))
        own = z[rows]
        padded = torch.cat([own, own[-1:].expand(batch - len(own), -1)])
        label = None
        if latents.label is not None:
            known = latents.label[rows]
            label = torch.cat([known, known[-1:].expand(batch - len(own))]).to(device)
        x = split.batch(rows, device)
        told = model.context_of(x)
        if told is not None:
            told = torch.cat([told, told[-1:].expand(batch - len(own), *told.shape[1:])])
        raw = model.raw(padded.to(device), label, told)[: len(own)]
        nll.append(model.likelihood.negative_log_likelihood(raw, x, sigma=sigma).double().cpu())
        sse.append(model.likelihood.squared_error(raw, x).double().cpu())
    return torch.cat(nll), torch.cat(sse)

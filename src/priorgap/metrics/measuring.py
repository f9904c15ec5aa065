"""Running a metric on evidence, with its own stream, so that adding or leaving out another changes nothing."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from priorgap.coding import takes_label
from priorgap.data.splits import Split
from priorgap.latents import Latents
from priorgap.measurement import Measurement
from priorgap.metrics.evidence import Evidence
from priorgap.metrics.protocols import Metric, NotApplicable
from priorgap.models.controls import Autoencoder
from priorgap.models.vae import VAE
from priorgap.streams import stream


def measure_one(metric: Metric, evidence: Evidence, *, seed: int) -> tuple[list[Measurement], str | None]:
    """Return a metric's measurements, or none and the reason why it is absent.

    All samplers of a model share the metric's stream, so that random subsets are the same ones.

    Raises:
        ValueError: the metric gave a measure that it does not name.
    """
    try:
        rows = metric.measure(evidence, generator=stream(seed, "measure", metric.name))
    except NotApplicable as reason:
        return [], str(reason)
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
    vae: VAE | Autoencoder, latents: Latents, split: Split, *, sigma: float | None, batch: int, seed: int
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Return -log p(x|z) with its normaliser (nats) and the squared error of each image, at one draw of z each.

    Args:
        vae: the model, on its device.
        latents: the images' posteriors; a conditional model is given their labels.
        split: the images.
        sigma: the decoder's standard deviation that the objective implies; None is the likelihood's own.
        batch: the fixed decoding batch; the last one is padded.
        seed: seeds the draws of z.
    """
    device = next(vae.parameters()).device
    z = latents.draw(generator=stream(seed, "distortion"))
    decode: Callable[..., Tensor] = vae.decode_raw
    labelled = takes_label(decode)
    nll, sse = [], []
    for start in range(0, len(z), batch):
        rows = slice(start, min(start + batch, len(z)))
        own = z[rows]
        padded = torch.cat([own, own[-1:].expand(batch - len(own), -1)])
        given = {}
        if labelled and latents.label is not None:
            label = latents.label[rows]
            given["label"] = torch.cat([label, label[-1:].expand(batch - len(own))]).to(device)
        raw = decode(padded.to(device), **given)[: len(own)]
        x = split.batch(rows, device)
        nll.append(vae.likelihood.negative_log_likelihood(raw, x, sigma=sigma).double().cpu())
        sse.append(vae.likelihood.squared_error(raw, x).double().cpu())
    return torch.cat(nll), torch.cat(sse)

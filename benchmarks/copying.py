"""Copying measures on real MNIST: planted copies are seen, honest samplers are not accused.

    OMP_NUM_THREADS=1 PRIORGAP_DATA=DIR python benchmarks/copying.py [--model DIR] [--n 2000]

`--model` is a stored model (weights.safetensors and config.yaml, as `priorgap run data=mnist` leaves them under
outputs/<study>/train/); without it one is trained here (MLP, 10 units, 12 epochs). The measures are those of
conf/metric, the samplers those of conf/sampler; a sampler that returns given images is a decoder that looks them up,
judged against the model's own held-out draws. Prints one line a claim; exits 1 if one fails. Intervals: 95 %.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from priorgap.comparison.user_inputs import metric_of, sampler_of
from priorgap.core.batched_calls import decode_all, encode_all
from priorgap.core.latents import LatentDraw
from priorgap.core.measurement import Measurement
from priorgap.core.random import stream
from priorgap.data.images import TorchvisionImages
from priorgap.data.splits import Dataset
from priorgap.data.synthetic import LinearGaussian
from priorgap.estimators.copying import nearest_distance
from priorgap.features.maps import PixelFeatures
from priorgap.metrics import Copying, DataCopying, Memorisation
from priorgap.metrics.copies import copies_of
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.measuring import measure_one
from priorgap.metrics.reference import Reference
from priorgap.models.families import build_model
from priorgap.models.likelihoods import Bernoulli
from priorgap.models.losses import ElboLoss
from priorgap.models.networks import MLP
from priorgap.models.vae import VAE
from priorgap.pipeline import models
from priorgap.samplers.drawing import draw_latents, fit_inputs, fit_sampler
from priorgap.samplers.posterior import PosteriorHeldout
from priorgap.samplers.prior import PriorSampler, TemperedPrior
from priorgap.samplers.protocols import Sampler
from priorgap.training.fit import TrainerConfig, train_vae
from priorgap.verdict import RESULT_COLUMNS, decide_study

BATCH, Z95 = 1000, 1.959964
Decode = Callable[[Tensor], Tensor]
Encode = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@dataclass
class Claims:
    """The lines printed so far, and whether all of them hold."""

    passed: bool = True
    started: float = field(default_factory=time.process_time)

    def line(self, claim: str, found: str, holds: bool) -> None:
        """Print one claim."""
        self.passed &= holds
        print(f"| {claim} | {found} | {'PASS' if holds else 'FAIL'} |", flush=True)


def said(row: Measurement) -> str:
    """Return a value with its standard error."""
    return f"{row.measure} {row.value:.4f} ± {row.std_error:.4f}"


def low(row: Measurement) -> float:
    """Return the lower end of the 95 % interval."""
    return row.value - Z95 * (row.std_error or 0.0)


def evidence_of(dataset: Dataset, encode: Encode, decode: Decode) -> ModelEvidence:
    """Encode the splits of a data set and put together what copying measures look at."""
    parts = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    latents = {name: encode_all(encode, part.batch, len(part), batch=BATCH) for name, part in parts.items()}
    nothing = torch.zeros(2, 1)  # no measure here looks at features
    reference = Reference(*parts.values(), PixelFeatures(), nothing, nothing)

    def decoded(z: Tensor, label: Tensor | None) -> Tensor:
        return decode_all(decode, z, batch=BATCH)

    return ModelEvidence(*latents.values(), None, decoded, reference)


def trained(dataset: Dataset, *, epochs: int) -> VAE:
    """Train a small model on a data set."""
    vae = build_model(MLP(10, (512, 256)), Bernoulli(), None, dataset.shape, generator=stream(0, "weights"))
    assert isinstance(vae, VAE)
    trainer = TrainerConfig(max_epochs=epochs)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        return train_vae(vae, dataset, ElboLoss(), trainer, seed=0, directory=place, progress=False).vae


def looking_up(model: ModelEvidence, images: Tensor) -> ModelEvidence:
    """Return the model with a decoder that gives image number z_0; its own held-out draws are kept in the memo."""
    return replace(model, decode=lambda z, label: images[z[:, 0].long()])


def returning(model: ModelEvidence, images: Tensor) -> Evidence:
    """Return the evidence of a sampler that returns these images, one after the other."""
    draw = LatentDraw(torch.arange(len(images))[:, None].double())
    return looking_up(model, images).of("returns images", "candidate", draw)


def sampled(model: ModelEvidence, sampler: Sampler, n: int) -> Evidence:
    """Return the evidence of n draws of a sampler."""
    assert model.train is not None
    assert model.validation is not None
    fitted = fit_sampler(sampler, fit_inputs(model.train, model.validation, None), seed=0)
    return model.of(sampler.name, "candidate", draw_latents(fitted, n, seed=0))


def measured(metric: Copying | DataCopying | Memorisation, evidence: Evidence) -> dict[str, Measurement]:
    """Return a metric's rows by measure."""
    rows, reason = measure_one(metric, evidence, seed=0)
    if reason is not None:
        raise RuntimeError(f"{metric.name} of {evidence.sampler}: {reason}")
    return {row.measure: row for row in rows}


def samplers(claims: Claims, model: ModelEvidence, n: int) -> None:
    """Claims about samplers of one honest model."""
    copying, published = metric_of("copying"), metric_of("data_copying")
    assert isinstance(copying, Copying)
    assert isinstance(published, DataCopying)
    assert model.reference is not None
    copies_of(model, copying.n_queries)  # from the model's own decoder, before any is planted
    train, test = model.reference.train.floats(), model.reference.test.floats()
    copies = train[torch.randperm(len(train), generator=stream(0, "copies returned"))[:n]]
    found = {**measured(copying, returning(model, copies)), **measured(published, returning(model, copies))}
    for measure, bound, holds in (
        ("near_copy_excess", "at least .9", found["near_copy_excess"].value >= 0.9),
        ("authenticity", "at most .01", found["authenticity"].value <= 0.01),
        ("c_t", "at most -5", found["c_t"].value <= -5),
    ):
        claims.line(f"training images returned: {measure} {bound}", said(found[measure]), holds)

    gmm = sampled(model, sampler_of("gmm"), n)
    mixed = gmm.samples.floats()
    mixed[: n // 20] = copies[: n // 20]
    clean, planted = (measured(copying, e)["near_copy_excess"] for e in (gmm, returning(model, mixed)))
    text = f"{said(planted)}; without copies {clean.value:.4f} ± {clean.std_error:.4f}"
    claims.line("5 % copies among gmm draws: near_copy_excess above 0", text, low(planted) > 0)
    gap = planted.value - clean.value
    claims.line("... and above that of the clean draws by .03 or more", f"{gap:.4f}", gap >= 0.03)

    heldout = returning(model, test[torch.randperm(len(test), generator=stream(0, "held out"))[:n]])
    prior, narrowed = PriorSampler(), TemperedPrior(0.6)
    rows = {
        sampler.name: measured(copying, sampled(model, sampler, n))
        for sampler in (prior, PosteriorHeldout(), narrowed)
    }
    for name in [name for name in rows if name != narrowed.name]:
        row = rows[name]["near_copy_excess"]
        claims.line(f"{name}: near_copy_excess not above 0", said(row), low(row) <= 0)
    row = measured(copying, heldout)["near_copy_excess"]
    claims.line("held-out images returned: near_copy_excess not above 0", said(row), low(row) <= 0)
    tempered(claims, {sampler.name: rows[sampler.name] for sampler in (prior, narrowed)}, narrowed.name)


def tempered(claims: Claims, rows: dict[str, dict[str, Measurement]], narrowed: str) -> None:
    """Whether the verdict calls the draws of a narrowed prior copies; a narrow law alone raises near_copy_excess."""
    head = {"study": "copying", "cell": "model", "model": "model", "seed": 0, "role": "candidate"}
    head |= {"traits": "fixed"}  # both ignore the encoder
    records = [{**head, "sampler": n, **row.to_json()} for n, found in rows.items() for row in found.values()]
    # the verdict ranks by FID; labels do not depend on it
    records += [{**head, "sampler": n, **Measurement("fid", 1.0, space="pixels").to_json()} for n in rows]
    verdict = decide_study(pd.DataFrame(records, columns=[*RESULT_COLUMNS, "traits"]), space="pixels")
    labels = verdict.cells[0].labels.get(narrowed, [])
    row = rows[narrowed]
    text = f"labels {labels}; {said(row['near_copy_excess'])}; {said(row['train_share'])}"
    claims.line("prior at T = 0.6: not labelled copies", text, "copies" not in labels)


def only_training_images(claims: Claims, model: ModelEvidence, n: int) -> None:
    """A decoder that gives the training image nearest to what the honest one gives."""
    copying = metric_of("copying")
    assert isinstance(copying, Copying)
    assert model.reference is not None
    assert model.decode is not None
    train, honest = model.reference.train.floats(), model.decode

    def snapped(z: Tensor, label: Tensor | None) -> Tensor:
        x = honest(z, label)
        return train[nearest_distance(x.flatten(1), train.flatten(1))[1]]

    for name, decode in (("honest", honest), ("only training images", snapped)):
        row = measured(copying, sampled(replace(model, decode=decode, memo={}), PriorSampler(), n))[
            "train_share"
        ]
        holds = low(row) > 0.5 if name != "honest" else low(row) <= 0.5
        what = "above 1/2" if name != "honest" else "not above 1/2"
        claims.line(f"prior through the {name} decoder: train_share {what}", said(row), holds)


def memory(claims: Claims, mnist: Dataset) -> None:
    """memorisation_auc of a model of 500 images, and of a linear one with its true parameters."""
    memorisation = metric_of("memorisation")
    assert isinstance(memorisation, Memorisation)
    few = torch.randperm(len(mnist.train), generator=stream(0, "few"))
    parts = {"train": mnist.train.take(few[:500]), "validation": mnist.train.take(few[500:1000])}
    dataset = replace(mnist, **parts)
    vae = trained(dataset, epochs=400)
    model = evidence_of(dataset, vae.encode, vae.decode)
    row = measured(memorisation, model.alone())["memorisation_auc"]
    claims.line("trained on 500 images: memorisation_auc above 1/2", said(row), low(row) > 0.5)
    copies = copies_of(model, memorisation.n_queries)
    images = [part.floats().flatten(1) for part in (parts["train"], parts["validation"])]
    own, between = copies.posterior_to_train.median(), nearest_distance(images[1], images[0])[0].median()
    text = f"median distance of its draws to their nearest {own:.2f}, of unseen images {between:.2f}"
    claims.line(
        "... and it does not snap to them (a tenth of the way, or more)", text, bool(own > 0.1 * between)
    )

    world = LinearGaussian(n_features=32, latent_dim=8, n_train=4000, n_validation=2000, n_test=2000)
    best, data = world.optimum(8, world.noise), world.load(root=Path(), download=False)
    weight, bias = best.encoder_weight.float(), best.encoder_bias.float()
    log_var = best.log_var.float()
    linear = evidence_of(
        data,
        lambda x: (x @ weight.T + bias, log_var.expand(len(x), -1)),
        lambda z: z @ best.decoder_weight.float().T + best.decoder_bias.float(),
    )
    row = measured(memorisation, linear.alone())["memorisation_auc"]
    holds = abs(row.value - 0.5) <= Z95 * (row.std_error or 0.0)
    claims.line("linear model, true parameters: memorisation_auc covers 1/2", said(row), holds)


def main() -> int:
    """Run every claim and return the exit status."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--n", type=int, default=2000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = TorchvisionImages("mnist", validation_size=5000, split_seed=0)
    mnist = source.load(root=Path(os.environ["PRIORGAP_DATA"]), download=False)
    vae = trained(mnist, epochs=12) if options.model is None else models.load(options.model).vae
    assert isinstance(vae, VAE)
    claims = Claims()
    print(f"{options.n} draws a sampler, distances in pixels\n\n| claim | found | |\n|---|---|---|")
    model = evidence_of(mnist, vae.encode, vae.decode)
    samplers(claims, model, options.n)
    only_training_images(claims, model, options.n)
    memory(claims, mnist)
    print(f"\n{time.process_time() - claims.started:.0f} CPU seconds; {'PASS' if claims.passed else 'FAIL'}")
    return 0 if claims.passed else 1


if __name__ == "__main__":
    sys.exit(main())

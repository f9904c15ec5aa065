"""measure: per model the mismatch, per sampler quality, copying and accuracy; one small artifact a metric.

`pipeline/measuring.py` goes through them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from priorgap import artifacts
from priorgap.building import target_modules
from priorgap.coding import decode_all, encode_all
from priorgap.core.catalogue import BUILTIN
from priorgap.core.measures import Measure
from priorgap.data.splits import Dataset, Split
from priorgap.latents import Latents
from priorgap.measurement import Measurement
from priorgap.metrics.evidence import Evidence, ModelEvidence
from priorgap.metrics.likelihood import split_log_likelihood
from priorgap.metrics.measuring import image_distortions, measure_one
from priorgap.metrics.protocols import Metric, wants
from priorgap.models.controls import GAN
from priorgap.models.vae import VAE
from priorgap.pipeline import components, models
from priorgap.pipeline.cells import Cell, Variant
from priorgap.pipeline.stages import encode as encode_stage
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.stages import reference as reference_stage
from priorgap.pipeline.stages import sample as sample_stage
from priorgap.pipeline.stages.work import stage_key
from priorgap.pipeline.store import Store, ensure, require
from priorgap.samplers.drawing import label_source_of

MODEL = "_model"
MARGINALS = "_marginals"
N_SCATTER = 2000
_MODULES = ("priorgap.metrics.measuring", "priorgap.coding")
_MARGINAL_MODULES = ("priorgap.estimators.marginal",)


def folder(cell: Cell, variant: Variant, store: Store) -> Path:
    """Return the folder of a model's measurements."""
    return store.model(cell.study, "measure", variant.model_id, cell.label)


def plan(cell: Cell, variant: Variant) -> Iterator[tuple[str, str, str | None]]:
    """Yield (sampler or "", metric, feature space or None) of every measurement of a model."""
    spaces = list(cell.config["feature_spaces"])
    for name in cell.config["metrics"]:
        metric = components.metric(cell.config, name)
        samplers = variant.samplers if metric.scope == "sampler" else ("",)
        wanted = spaces if "features" in metric.needs else [None]
        for sampler in samplers:
            for space in wanted:
                yield sampler, name, space


def folders(cell: Cell, variant: Variant, store: Store) -> Iterator[Path]:
    """Yield every artifact of a model's measurements."""
    root = folder(cell, variant, store)
    yield root / MODEL / MARGINALS
    for sampler, metric, space in plan(cell, variant):
        yield _place(root, sampler, metric, space)


def _place(root: Path, sampler: str, metric: str, space: str | None) -> Path:
    return root / (sampler or MODEL) / (metric if space is None else f"{metric}@{space}")


class Model:
    """What the metrics of one model share; read or computed when first asked for.

    Args:
        cell: the cell.
        variant: the model as trained, or calibrated.
        store: where results stand.
    """

    def __init__(self, cell: Cell, variant: Variant, store: Store) -> None:
        self.cell, self.variant, self.store = cell, variant, store
        self.weights = encode_stage.model_folder(cell, variant, store)
        self.posteriors = require(encode_stage.folder(cell, variant, store), "encode", cell)
        self._evidence: dict[str, ModelEvidence] = {}
        self._sampler: tuple[tuple[str, str], Evidence | str] | None = None

    @cached_property
    def dataset(self) -> Dataset:
        """The cell's data."""
        return prepare.load(self.cell, self.store)

    @cached_property
    def model(self) -> models.TrainedModel:
        """The model, rebuilt."""
        return models.load(self.weights)

    @cached_property
    def latents(self) -> dict[str, Latents]:
        """Its posteriors, by part of the data."""
        return encode_stage.load(self.posteriors)

    @cached_property
    def distortions(self) -> tuple[Tensor, Tensor] | None:
        """-log p(x|z) and squared error of each test image; None for a GAN."""
        if isinstance(self.model.vae, GAN):
            return None
        return image_distortions(
            self.model.vae, self.latents["test"], self.dataset.test, sigma=self.model.sigma_x(),
            batch=self.model.decode_batch, seed=self.cell.seed,
        )  # fmt: skip

    def decode(self, z: Tensor, label: Tensor | None) -> Tensor:
        """Decode z, in batches of the configuration."""
        decode = self.model.decoder(self.cell.decode, self.cell.seed)
        return decode_all(decode, z, batch=self.model.decode_batch, label=label)

    def encode(self, x: Split) -> Tensor:
        """Return posterior means of images, as data are stored."""
        model = self.model
        assert model.encode is not None
        return encode_all(
            model.encode,
            lambda rows: x.batch(rows, model.device),
            len(x),
            batch=model.encode_batch,
            label=x.label,
        ).mean.cpu()

    @cached_property
    def bare(self) -> ModelEvidence:
        """The evidence without what costs: metrics of a model that need no images pay for none."""
        latents = self.latents
        return ModelEvidence(
            train=latents.get("train"), validation=latents.get("validation"), test=latents.get("test"),
            prior=self.model.prior, decode=self.decode, seed=self.cell.seed,
            has_prior=self.model.vae.prior is not None,
            encode=None if self.model.encode is None else self.encode,
        )  # fmt: skip

    def evidence(self, space: str) -> ModelEvidence:
        """The evidence with the real data in one feature space."""
        if space not in self._evidence:
            reference = reference_stage.load(self.cell, self.store, space, self.dataset)
            self._evidence[space] = replace(self.bare, reference=reference)
        return self._evidence[space]

    @cached_property
    def with_distortion(self) -> ModelEvidence:
        """The bare evidence with distortions."""
        if self.distortions is None:
            return self.bare
        distortion, sse = self.distortions
        return replace(self.bare, distortion=distortion, distortion_sse=sse)

    @cached_property
    def with_likelihood(self) -> ModelEvidence:
        """The bare evidence with log p(x|z), where the model has one."""
        if not isinstance(self.model.vae, VAE):
            return self.bare
        likelihood = split_log_likelihood(
            self.model.vae, self.dataset.test, sigma=self.model.sigma_x(), batch=self.model.decode_batch
        )
        return replace(self.bare, log_likelihood=likelihood)

    def of_sampler(self, name: str, space: str) -> Evidence | str:
        """One sampler's evidence, or why there is none; one is kept, with its decoded images, for all metrics."""
        if self._sampler is None or self._sampler[0] != (name, space):
            self._sampler = (name, space), self._of_sampler(name, space)
        return self._sampler[1]

    def _of_sampler(self, name: str, space: str) -> Evidence | str:
        place = sample_stage.folder(self.cell, self.variant, self.store, name)
        facts = artifacts.load_json(place / "facts.json")
        if facts["skipped"] is not None:
            return str(facts["skipped"])
        sampler = components.sampler(self.cell.config, name)
        source = label_source_of(sampler, conditional=components.traits(self.cell.config).conditional)
        return self.evidence(space).of(name, sampler.role, sample_stage.load(place), label_source=source)


@dataclass(frozen=True)
class Piece:
    """One measurement: what is measured, where it is kept, and the key of what is kept there.

    Attributes:
        sampler: its name, "" for the model itself.
        name: the metric.
        default: the feature space that it is measured in.
        path: its artifact.
        key: of its settings, inputs and code.
    """

    sampler: str
    name: str
    default: str
    path: Path
    key: str


def pieces(shared: Model) -> dict[str, list[Piece]]:
    """Return every measurement of a model, by sampler, the model's own first."""
    root = folder(shared.cell, shared.variant, shared.store)
    found: dict[str, list[Piece]] = {}
    for sampler, name, space in sorted(plan(shared.cell, shared.variant), key=lambda p: (p[0], p[2] or "")):
        found.setdefault(sampler, []).append(_piece(shared, root, sampler, name, space))
    return found


def _piece(shared: Model, root: Path, sampler: str, name: str, space: str | None) -> Piece:
    cell, store = shared.cell, shared.store
    metric = components.metric(cell.config, name)
    # what needs no images does not depend on the reference or on a sampler
    inputs = [shared.weights, shared.posteriors, require(store.data(cell), "prepare", cell)]
    default = space or str(cell.config["verdict"]["space"])
    if _needs_reference(metric):
        classifiers = "classifiers" in wants(metric)
        places = reference_stage.folders_of(cell, store, default, classifiers=classifiers)
        inputs += [require(p, "reference", cell) for p in places]
    if sampler:
        inputs.append(require(sample_stage.folder(cell, shared.variant, store, sampler), "sample", cell))
    node = cell.config["metrics"][name]
    settings = [node, cell.seed, default if _needs_reference(metric) else None]
    if "decode" in metric.needs:
        settings += cell.decoding
    key = stage_key("measure", settings, inputs, [*target_modules(node), *_MODULES])
    return Piece(sampler, name, default, _place(root, sampler, name, space), key)


def take(shared: Model, piece: Piece) -> bool:
    """Take one measurement unless it is there; return whether it was taken."""

    def work(directory: Path) -> None:
        metric = components.metric(shared.cell.config, piece.name)
        rows, reason = _one(shared, metric, piece.sampler, piece.default)
        # a report of a stored study has our catalogue, and no code of a plugin
        brought = [measure.to_json() for measure in metric.measures if measure.name not in BUILTIN]
        content = {"rows": [r.to_json() for r in rows], "skipped": reason, "measures": brought}
        artifacts.save_json(directory / "measurements.json", content)

    return ensure(shared.store, piece.path, piece.key, work, seed=shared.cell.seed)


def _needs_reference(metric: Metric) -> bool:
    return bool({"reference", "features", "classifiers", "floor", "labels"} & wants(metric))


def _one(shared: Model, metric: Metric, sampler: str, space: str) -> tuple[list[Measurement], str | None]:
    if sampler:
        evidence = shared.of_sampler(sampler, space)
        if isinstance(evidence, str):
            return [], f"{sampler} does not apply: {evidence}"
    elif "distortion" in metric.needs:
        evidence = shared.with_distortion.alone()
    elif "log_likelihood" in metric.needs:
        evidence = shared.with_likelihood.alone()
    else:
        model = shared.evidence(space) if _needs_reference(metric) else shared.bare
        evidence = model.alone()
    return measure_one(metric, evidence, seed=shared.cell.seed)


def keep_marginals(shared: Model) -> None:
    """Keep what the picture of the aggregate posterior needs: marginals on a grid, a few draws, their classes."""
    path = folder(shared.cell, shared.variant, shared.store) / MODEL / MARGINALS
    key = stage_key("measure", MARGINALS, [shared.posteriors], _MARGINAL_MODULES)

    def work(directory: Path) -> None:
        from priorgap.estimators.marginal import marginal_divergences
        from priorgap.streams import stream

        test = shared.latents.get("test")
        if test is None:
            return
        log_var = torch.full_like(test.mean, -20.0) if test.log_var is None else test.log_var
        found = marginal_divergences(test.mean, log_var)
        rows = torch.randperm(len(test), generator=stream(shared.cell.seed, "scatter"))[:N_SCATTER]
        chosen = test.take(rows)
        tensors: dict[str, Any] = {
            "grid": found.grid,
            "marginals": found.density,
            "divergence": found.kl,
            "z": chosen.draw(generator=stream(shared.cell.seed, "scatter", "z")),
        }
        if chosen.label is not None:
            tensors["label"] = chosen.label
        artifacts.save_tensors(directory / "marginals.safetensors", tensors)

    ensure(shared.store, path, key, work, seed=shared.cell.seed)


class Kept(NamedTuple):
    """What is kept of one metric of a sampler ("" for the model itself).

    Attributes:
        sampler: the sampler's name.
        metric: the metric's name.
        rows: its measurements.
        reason: why there are none; None where there are.
        measures: entries of the catalogue that are not our own.
    """

    sampler: str
    metric: str
    rows: list[Measurement]
    reason: str | None
    measures: list[Measure]


def read(cell: Cell, variant: Variant, store: Store) -> Iterator[Kept]:
    """Yield every measurement that is complete."""
    root = folder(cell, variant, store)
    for sampler, name, space in plan(cell, variant):
        path = _place(root, sampler, name, space)
        if artifacts.is_complete(path):
            content = artifacts.load_json(path / "measurements.json")
            rows = [Measurement.from_json(r) for r in content["rows"]]
            brought = [Measure.from_json(r) for r in content.get("measures", [])]
            yield Kept(sampler, name, rows, content["skipped"], brought)

"""sample: per sampler, fit on the training posteriors, draw n latents once, keep the fitted state and a preview."""

import logging
from collections.abc import Mapping
from pathlib import Path

from priorgap import artifacts
from priorgap.building import target_modules
from priorgap.coding import decode_all
from priorgap.core.sampler_facts import SamplerFacts
from priorgap.features import quantise
from priorgap.latents import LatentDraw, Latents
from priorgap.pipeline import components, models
from priorgap.pipeline.cells import Cell, Variant
from priorgap.pipeline.stages import encode as encode_stage
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.stages.work import stage_key
from priorgap.pipeline.store import Store, ensure, require
from priorgap.samplers.drawing import draw_latents, fit_inputs, fit_sampler, inputs_without_encoder
from priorgap.samplers.protocols import FitInputs, SamplerNotApplicable
from priorgap.samplers.validity import invalid

log = logging.getLogger(__name__)
N_PREVIEW = 64
_MODULES = ("priorgap.samplers.drawing", "priorgap.coding")


def folder(cell: Cell, variant: Variant, store: Store, name: str) -> Path:
    """Return the folder of one sampler of a model."""
    return store.model(cell.study, "sample", variant.model_id, cell.label) / name


def n_samples(cell: Cell, n_test: int) -> int:
    """Return the n of every sampler: no more than there are test images to compare with."""
    return min(int(cell.config["n_samples"]), n_test)


def sample(cell: Cell, variant: Variant, store: Store, name: str) -> Path:
    """Fit one sampler and draw from it; skipped where that is done.

    A sampler that does not apply to the model leaves the reason.
    """
    weights = encode_stage.model_folder(cell, variant, store)
    posteriors = require(encode_stage.folder(cell, variant, store), "encode", cell)
    path = folder(cell, variant, store, name)
    node = cell.config["samplers"][name]
    settings = [node, cell.config["n_samples"], cell.seed, cell.config["numerics"], *cell.decoding]
    key = stage_key("sample", settings, (weights, posteriors), [*target_modules(node), *_MODULES])

    def work(directory: Path) -> None:
        n_test = len(prepare.load(cell, store).test)
        _sample(cell, name, models.load(weights), posteriors, n_samples(cell, n_test), directory)

    if ensure(store, path, key, work, seed=cell.seed):
        log.info("%s: sampled %s", cell.label, name)
    return path


def _inputs(latents: Mapping[str, Latents], model: models.TrainedModel) -> FitInputs:
    if latents:
        return fit_inputs(latents["train"], latents["validation"], model.prior)
    assert model.prior is not None
    return inputs_without_encoder(model.prior)


def _sample(
    cell: Cell, name: str, model: models.TrainedModel, posteriors: Path, n: int, directory: Path
) -> None:
    latents = encode_stage.load(posteriors)
    sampler = components.sampler(cell.config, name)
    facts: dict[str, object] = {"role": sampler.role, "skipped": None}
    try:
        reason = invalid(sampler, components.sampling_traits(cell.config, labels=True))
        if reason is not None:
            raise SamplerNotApplicable(reason)
        inputs = _inputs(latents, model)
        fitted = fit_sampler(sampler, inputs, seed=cell.seed)
    except SamplerNotApplicable as reason:
        artifacts.save_json(directory / "facts.json", {**facts, "skipped": str(reason)})
        return
    draw = draw_latents(fitted, n, seed=cell.seed, classes=model.class_frequencies)
    state = fitted.state()
    facts["state"] = {"name": state.name, "json": state.json}
    facts["facts"] = fitted.facts.to_json()
    tensors = {"z": draw.z}
    if draw.source is not None:
        tensors["source"] = draw.source
    if draw.label is not None:
        tensors["label"] = draw.label
    artifacts.save_tensors(directory / "draw.safetensors", tensors)
    artifacts.save_tensors(directory / "state.safetensors", state.tensors)
    if model.kind == "uint8_image":
        label = None if draw.label is None else draw.label[:N_PREVIEW]
        decode = model.decoder(cell.decode, cell.seed)
        x = decode_all(decode, draw.z[:N_PREVIEW], batch=model.decode_batch, label=label)
        artifacts.save_tensors(directory / "preview.safetensors", {"x": quantise(x)})
    artifacts.save_json(directory / "facts.json", facts)


def facts_of(path: Path) -> SamplerFacts | None:
    """Read what a fitted sampler says of itself; None where an earlier version did not ask it."""
    record = artifacts.load_json(path / "facts.json") if (path / "facts.json").is_file() else {}
    return SamplerFacts.from_json(record["facts"]) if "facts" in record else None


def load(path: Path) -> LatentDraw:
    """Read the draws of a sampler."""
    tensors = artifacts.load_tensors(path / "draw.safetensors")
    return LatentDraw(tensors["z"], tensors.get("source"), tensors.get("label"))

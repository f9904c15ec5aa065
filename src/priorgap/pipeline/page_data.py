"""The data that a report's page takes from a store: study, observations, latent spaces, training images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from priorgap.core import artifacts
from priorgap.core.interrupts import put_off
from priorgap.core.shown import REAL, RECONSTRUCTIONS
from priorgap.data.scaling import ColumnScaling
from priorgap.modalities import GapLayout, Modality, modality_of
from priorgap.pipeline.gathering import measurements_of, models_of
from priorgap.pipeline.store.layout import Store
from priorgap.pipeline.store.records import MARGINALS, Record, RecordedModel, RecordedStep
from priorgap.report import AggregateFigureData
from priorgap.report.previews import Preview, preview_of
from priorgap.report.studied import DataFacts, Studied
from priorgap.tables.layout import TableLayout

_PARTS = ("train", "validation", "test")


def studied(reported: Sequence[Record], store: Store) -> Studied:
    """Return the description of a study: its data, its models in words, and the date of its last result."""
    data, nouns = [], []
    for step in _prepared(reported, store):
        facts = artifacts.load_json(store.folder(step) / "dataset.json")
        modality = _modality(facts)
        shapes = _shapes(store.folder(step))
        described = modality.described(shapes["test.x"][1:])
        sizes = tuple(shapes[f"{part}.x"][0] for part in _PARTS)
        data.append(DataFacts(str(facts["name"]), described, (sizes[0], sizes[1], sizes[2])))
        nouns.append(modality.noun)
    # One study may have data of images and of windows.
    noun = nouns[0] if len(set(nouns)) == 1 else "observation"
    models = list(dict.fromkeys(_in_words(record.config) for record in reported))
    return Studied(
        noun, list(dict.fromkeys(data)), models if len(models) == 1 else (), _last(reported, store)
    )


def _in_words(config: Mapping[str, Any]) -> str:
    """Return a model's configuration in readable form: "MLP, hidden=[256, 128], latent_dim=8; Gaussian"."""
    return "; ".join(_node(config[key]) for key in ("model", "likelihood") if key in config)


def _node(node: Mapping[str, Any]) -> str:
    settings = [
        f"{key}={value}"
        for key, value in node.items()
        if key != "_target_" and not isinstance(value, Mapping) and value is not None
    ]
    return ", ".join([str(node.get("_target_", "")).rpartition(".")[2], *settings])


def _last(reported: Sequence[Record], store: Store) -> str:
    """Return the date of the last measurement of a model; "" where none is recorded."""
    days = [
        str(known.provenance.get("finished", ""))[:10]
        for _, model in models_of(reported)
        for step in measurements_of(model)
        if (known := store.known(step)) is not None
    ]
    return max(days, default="")


def _prepared(reported: Sequence[Record], store: Store) -> Iterator[RecordedStep]:
    steps = {step.path: step for record in reported for step in record.steps if step.kind == "prepare"}
    yield from (step for step in steps.values() if store.is_complete(step))


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    with put_off(), safe_open(folder / "dataset.safetensors", framework="np") as kept:
        return {name: tuple(kept.get_slice(name).get_shape()) for name in kept.keys()}  # noqa: SIM118


def _modality(facts: Mapping[str, Any]) -> Modality:
    table = TableLayout.of_json(facts["table"]) if "table" in facts else None
    return modality_of(facts["kind"], table, _gaps(facts))


def _gaps(facts: Mapping[str, Any]) -> GapLayout | None:
    return GapLayout.of_json(facts["gaps"]) if "gaps" in facts else None


def training_images(
    reported: Sequence[Record], store: Store
) -> Callable[[str], npt.NDArray[np.uint8] | None]:
    """Return a function that returns a model's training images [n, h, w, c], or None where data are no images."""
    of_model = {}
    for record, model in models_of(reported):
        steps = [step for step in record.steps if step.kind == "prepare" and store.is_complete(step)]
        if len(steps) == 1:
            of_model[model.id] = steps[0]

    @cache
    def read(folder: Path) -> npt.NDArray[np.uint8] | None:
        if not _modality(artifacts.load_json(folder / "dataset.json")).pictures:
            return None
        with put_off(), safe_open(folder / "dataset.safetensors", framework="np") as kept:
            found: npt.NDArray[np.uint8] = kept.get_tensor("train.x").transpose(0, 2, 3, 1)
            return found

    def images(model: str) -> npt.NDArray[np.uint8] | None:
        return read(store.folder(of_model[model])) if model in of_model else None

    return images


def all_previews(reported: Sequence[Record], store: Store) -> dict[str, dict[str, Preview]]:
    """Return the previews of each model, by its id."""
    found = {model.id: previews_of(model, store) for _, model in models_of(reported)}
    return {name: known for name, known in found.items() if known}


def previews_of(model: RecordedModel, store: Store) -> dict[str, Preview]:
    """Return a model's previews: real observations, reconstructions, and its samplers' draws."""
    step = _described(model, store)
    if step is None or not (facts := store.value(step)):
        return {}
    tensors = {name: x for name, x in store.tensors(step).items() if name in (REAL, RECONSTRUCTIONS)}
    for name, step in model.samples.items():
        if store.is_complete(step) and "preview" in (kept := store.tensors(step)):
            tensors[name] = kept["preview"]
    modality, scaling, gaps = _modality(facts), ColumnScaling.kept_in(facts), _gaps(facts)
    found: dict[str, Preview] = {}
    for name, x in tensors.items():
        values = x.numpy() if gaps is None else gaps.observed(x.numpy())
        values = values if scaling is None or modality.pictures else scaling.restored(values)
        shown = preview_of(
            values, modality, n_past=int(facts["n_past"]), channels=() if scaling is None else scaling.names
        )
        if shown is not None:
            found[name] = shown
    return found


def _described(model: RecordedModel, store: Store) -> RecordedStep | None:
    """Return the step with a model's data for pictures: marginals of q(z), real observations, reconstructions."""
    complete = (one for one in model.of("measure") if one.metric == MARGINALS and store.is_complete(one))
    return next(complete, None)


def aggregates(reported: Sequence[Record], store: Store) -> dict[str, AggregateFigureData]:
    """Return the data for pictures of the latent space, by model."""
    found = {}
    for _, model in models_of(reported):
        step = _described(model, store)
        tensors = {} if step is None else store.tensors(step)
        if "marginals" in tensors:
            found[model.id] = AggregateFigureData.of(tensors)
    return found

"""Reading stored results: a data set, posteriors, draws."""

from dataclasses import replace
from pathlib import Path

import torch

from priorgap.core import artifacts
from priorgap.core.latents import LatentDraw, Latents
from priorgap.data.binarize import binarized, with_grey
from priorgap.data.splits import Dataset, load_dataset
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.plan import PlannedModel, Step
from priorgap.pipeline.store import keys
from priorgap.pipeline.store.layout import Store

GREY = "grey.safetensors"
PARTS = ("train", "validation", "test")
POSTERIORS = "posteriors.safetensors"
ABSENT = "absent.json"


def obtain_dataset(model: PlannedModel, store: Store) -> Dataset:
    """Return the data set, as prepared or else from its source and verified; nothing is written.

    Raises:
        ValueError: it is not available, a file is corrupt, or it cannot be binarised.
    """
    step, cell = model.data, model.cell
    if store.is_complete(step, keys.key(step, store)) and not store.damage(step):
        return load_prepared(store.path(step))
    place = cell.config["data"]
    source = parts.data_source(cell.config)
    dataset = source.load(root=Path(place["root"]), download=bool(place["download"]))
    if cell.binarize is None:
        return dataset
    seed = int(place["source"].get("split_seed", 0))
    return binarized(dataset, cell.binarize, seed=seed)


def load_prepared(path: Path) -> Dataset:
    """Read a prepared data set; if training redraws its images, with the grey images for that."""
    dataset = load_dataset(path)
    if not (path / GREY).is_file():
        return dataset
    grey = artifacts.load_tensors(path / GREY)["x"]
    return replace(dataset, train=with_grey(dataset.train, grey))


def load_posteriors(path: Path) -> dict[str, Latents]:
    """Read the posteriors of the three splits; empty for a model without an encoder."""
    if (path / ABSENT).is_file():
        return {}
    tensors = artifacts.load_tensors(path / POSTERIORS)
    return {
        part: Latents(tensors[f"{part}.mean"], tensors.get(f"{part}.log_var"), tensors.get(f"{part}.label"))
        for part in PARTS
    }


def with_own_contexts(latents: dict[str, Latents]) -> dict[str, Latents]:
    """Return posteriors with the numbers of their own rows' contexts, which are numbered part after part."""
    found, first = {}, 0
    for part in PARTS:
        n = len(latents[part])
        found[part] = replace(latents[part], context=torch.arange(first, first + n))
        first += n
    return found


def load_draws(store: Store, step: Step) -> LatentDraw:
    """Read a sampler's draws."""
    tensors = store.tensors(step)
    return LatentDraw(tensors["z"], tensors.get("source"), tensors.get("label"), tensors.get("context"))

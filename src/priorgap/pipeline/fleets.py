"""Sweeps whose models differ only in alpha, beta, seed or learning rate: trained as fleets before the jobs run.

Every model is published under its own key, as if it had been trained alone (it is, bit for bit: `training.fleet`);
the job that follows finds it complete. What cannot sail in a fleet, or fails in it, is left to its own job.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from priorgap import artifacts
from priorgap.models.vae import VAE
from priorgap.pipeline import components, models
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.stages import train as train_stage
from priorgap.pipeline.store import Store
from priorgap.training.fit import TrainResult
from priorgap.training.fleet import Replica, refusal, train_fleet

log = logging.getLogger(__name__)
# a process of its own costs 5 s or more of imports: one for each so many seconds of training
_SECONDS_A_PROCESS = 20.0
# measured on one core: what a row costs in each epoch, and products of float32 a second
_SECONDS_A_ROW, _FLOPS = 5e-6, 5e10
_FREE = {"loss": ("alpha", "beta"), "trainer": ("learning_rate",)}


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return the cells in groups that differ only in alpha, beta, seed or learning rate; one cell a model."""
    found: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        key = artifacts.digest([cell.data_id, _shape(cell.training_slice)])
        found.setdefault(key, {}).setdefault(cell.train_id, cell)
    return [list(group.values()) for group in found.values()]


def _shape(training: dict[str, Any]) -> dict[str, Any]:
    """Return a training slice without what may differ within a fleet."""
    rest = {key: value for key, value in training.items() if key != "seed"}
    for part, keys in _FREE.items():
        rest[part] = {key: value for key, value in rest[part].items() if key not in keys}
    return rest


def train(cells: Sequence[Cell], store: Store, *, workers: int) -> int:
    """Train what can be trained in fleets, each group shared out over processes where that pays.

    Returns:
        How many models that was.
    """
    from joblib import Parallel, delayed

    crews = []
    waiting = [[cell for cell in group if not _is_done(cell, store)] for group in groups(cells)]
    workers = max(1, min(workers, int(sum(_seconds(left, store) for left in waiting) / _SECONDS_A_PROCESS)))
    for left in waiting:
        reason = _refusal(left[0], store) if left else None
        if reason is not None:
            log.info("%d models are trained one by one: %s", len(left), reason)
        elif len(left) > 1:
            n_crews = min(workers, len(left) // 2)
            crews += [left[place::n_crews] for place in range(n_crews)]
    if not crews:
        return 0
    log.info("%d models in %d fleets", sum(map(len, crews)), len(crews))
    if len(crews) == 1 or workers == 1:
        return sum(train_crew(crew, store) for crew in crews)
    return sum(Parallel(n_jobs=workers, backend="loky")(delayed(train_crew)(crew, store) for crew in crews))


def all_trained(cells: Sequence[Cell], store: Store) -> bool:
    """Whether the models of all cells are complete."""
    return all(_is_done(cell, store) for cell in cells)


def _seconds(cells: Sequence[Cell], store: Store) -> float:
    """Return about how long one process trains some models of one shape, at most."""
    if not cells:
        return 0.0
    dataset = prepare.load(cells[0], store)
    model = models.build(cells[0].config, dataset.shape, models.classes_of(cells[0].config, dataset))
    n_weights = sum(p.numel() for p in model.parameters())
    rows = len(cells) * components.trainer(cells[0].config).max_epochs * len(dataset.train)
    return rows * (_SECONDS_A_ROW + 6 * n_weights / _FLOPS)


def _is_done(cell: Cell, store: Store) -> bool:
    path = store.model(cell.study, "train", cell.train_id, cell.label)
    return artifacts.is_complete(path, train_stage.key_of(cell, store))


def _refusal(cell: Cell, store: Store) -> str | None:
    if models.device_of(cell.config) != "cpu":
        return "fleets are for the CPU"
    if cell.config["trainer"].get("precision") is not None:
        return f"trainer.precision={cell.config['trainer']['precision']}: fleets train in float32"
    dataset = prepare.load(cell, store)
    return refusal(models.build(cell.config, dataset.shape, models.classes_of(cell.config, dataset)), dataset)


def train_crew(cells: Sequence[Cell], store: Store) -> int:
    """Train some cells as one program and publish each; return how many came through."""
    from priorgap.pipeline.stages.run import set_numerics

    set_numerics(cells[0].config)
    dataset = prepare.load(cells[0], store)
    replicas = []
    for cell in cells:
        vae = models.build(cell.config, dataset.shape, None)
        assert isinstance(vae, VAE)
        trainer = components.trainer(cell.config)
        replicas.append(Replica(vae, components.loss(cell.config), cell.seed, trainer.learning_rate))
    outcomes = train_fleet(replicas, dataset, replace(trainer, accelerator="cpu"))
    n_trained = 0
    for cell, outcome in zip(cells, outcomes, strict=True):
        if isinstance(outcome, TrainResult):
            train_stage.publish(cell, store, outcome, dataset)
            n_trained += 1
        else:
            log.warning("%s: %s; it is tried again alone", cell.label, outcome)
    return n_trained

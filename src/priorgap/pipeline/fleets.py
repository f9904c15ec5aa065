"""Sweeps whose models differ only in alpha, beta, seed or learning rate: trained as fleets before the jobs run.

Every model is published under its own key, as if it had been trained alone (it is, bit for bit: `training.fleet`);
the job that follows finds it complete. What cannot sail in a fleet, or fails in it, is left to its own job.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from priorgap import artifacts
from priorgap.data.splits import Dataset
from priorgap.models.families import Model
from priorgap.models.vae import VAE
from priorgap.pipeline import components, models
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.fleet_rule import Rule
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


@dataclass(frozen=True)
class _Crew:
    """Models that are trained as one fleet, and about how long that takes."""

    cells: list[Cell]
    seconds: float


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return the cells in groups that differ only in alpha, beta, seed or learning rate; one cell a model."""
    found: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        found.setdefault(_alike(cell), {}).setdefault(cell.train_id, cell)
    return [list(group.values()) for group in found.values()]


def _alike(cell: Cell) -> str:
    """Return a digest that cells of one group share: a training slice without what may differ within a fleet."""
    rest = {key: value for key, value in cell.training_slice.items() if key != "seed"}
    for part, keys in _FREE.items():
        rest[part] = {key: value for key, value in rest[part].items() if key not in keys}
    return artifacts.digest([cell.data_id, rest])


def train(cells: Sequence[Cell], store: Store, rule: Rule, *, workers: int) -> int:
    """Train what the rule chooses in fleets, each group shared out over processes where that pays.

    Returns:
        How many models that was.
    """
    with ExitStack() as locks:
        for lock in sorted(
            store.study(left[0].study) / f"fleet-{_alike(left[0])}" for left in _waiting(cells, store, rule)
        ):
            # another command on this study may be at these models: they are done once
            locks.enter_context(artifacts.locked(lock, store.locks))
        crews = _crews(_waiting(cells, store, rule), store, rule, workers)
        return _sail(crews, store, rule, workers) if crews else 0


def _waiting(cells: Sequence[Cell], store: Store, rule: Rule) -> list[list[Cell]]:
    """Return the groups of what is still to be trained, those that are large enough, and whose data are there."""
    ready = [group for group in groups(cells) if artifacts.is_complete(store.data(group[0]))]
    found = [[cell for cell in group if not _is_done(cell, store)] for group in ready]
    return [left for left in found if len(left) >= rule.min_models]


def _crews(waiting: Sequence[list[Cell]], store: Store, rule: Rule, workers: int) -> list[_Crew]:
    """Share out the groups that can be trained as fleets, and say of the others why they are not."""
    crews = []
    for left in waiting:
        dataset = prepare.load(left[0], store)
        model = models.build(left[0].config, dataset.shape, models.classes_of(left[0].config, dataset))
        n_weights = sum(p.numel() for p in model.parameters())
        each = _seconds(left[0], n_weights, dataset)
        reason = _refusal(left[0], model, dataset) or rule.refusal(len(left), n_weights, len(left) * each)
        if reason is not None:
            log.info("%d models are trained one by one, by their jobs: %s", len(left), reason)
            continue
        at_once = min(workers, int(len(left) * each / _SECONDS_A_PROCESS))
        n_crews = min(max(at_once, rule.n_parts(len(left) * each)), len(left) // rule.min_models)
        shares = [left[place::n_crews] for place in range(n_crews)]
        crews += [_Crew(share, len(share) * each) for share in shares]
    return crews


def _sail(crews: Sequence[_Crew], store: Store, rule: Rule, workers: int) -> int:
    from joblib import Parallel, delayed

    n_models = sum(len(crew.cells) for crew in crews)
    log.info("%d models in %d fleets (%s)", n_models, len(crews), rule.reason)
    # a process is started only where it is worth its imports
    workers = min(workers, len(crews), int(sum(crew.seconds for crew in crews) / _SECONDS_A_PROCESS))
    if workers <= 1:
        return sum(train_crew(crew.cells, store) for crew in crews)
    work = (delayed(train_crew)(crew.cells, store) for crew in crews)
    return sum(Parallel(n_jobs=workers, backend="loky")(work))


def left_to_train(cells: Sequence[Cell], store: Store) -> int:
    """Return how many of the cells' models are not complete."""
    without = {path for path in {store.data(cell) for cell in cells} if not artifacts.is_complete(path)}
    own = {cell.train_id: cell for cell in cells}.values()
    return sum(store.data(cell) in without or not _is_done(cell, store) for cell in own)


def _seconds(cell: Cell, n_weights: int, dataset: Dataset) -> float:
    """Return about how long one process trains a model, at most."""
    rows = len(dataset.train) * components.trainer(cell.config).max_epochs
    return rows * (_SECONDS_A_ROW + 6 * n_weights / _FLOPS)


def _is_done(cell: Cell, store: Store) -> bool:
    path = store.model(cell.study, "train", cell.train_id, cell.label)
    return artifacts.is_complete(path, train_stage.key_of(cell, store))


def _refusal(cell: Cell, model: Model, dataset: Dataset) -> str | None:
    if models.device_of(cell.config) != "cpu":
        return "fleets are for the CPU"
    if cell.config["trainer"].get("precision") is not None:
        return f"trainer.precision={cell.config['trainer']['precision']}: fleets train in float32"
    return refusal(model, dataset)


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

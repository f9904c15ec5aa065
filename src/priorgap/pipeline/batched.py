"""`trainer=batched`: models that differ only in alpha, beta, seed or learning rate are trained together.

Before the jobs of a sweep run, whatever the launcher, the models still to be trained are united, shared out over a
few programs, and published one by one under their own keys; the jobs then find them complete. A job whose model is
not there (its program failed) trains it by itself, as a batch of one: the same bits.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack

from priorgap import artifacts
from priorgap.data.splits import Dataset
from priorgap.pipeline import batched_program, components, models
from priorgap.pipeline.batching_rule import BatchingRule
from priorgap.pipeline.cells import Cell
from priorgap.pipeline.engines.protocol import Lost
from priorgap.pipeline.stages import prepare
from priorgap.pipeline.stages import train as train_stage
from priorgap.pipeline.store import Store
from priorgap.training.batched import refusal
from priorgap.training.batched.program import refusal_of_data
from priorgap.training.config import NonFiniteLoss

log = logging.getLogger(__name__)
# one core, seconds: what a row costs in each epoch in the program and by Lightning, and products of float32 a second
_SECONDS_A_ROW, _SECONDS_A_ROW_DEFAULT, _FLOPS = 5e-6, 2e-5, 5e10
_FREE = {"loss": ("alpha", "beta"), "trainer": ("learning_rate",)}


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return the cells in groups that differ only in alpha, beta, seed or learning rate; one cell a model."""
    found: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        found.setdefault(_alike(cell), {}).setdefault(cell.train_id, cell)
    return [list(group.values()) for group in found.values()]


def _alike(cell: Cell) -> str:
    """Return a digest that cells of one group share: a training slice without what may differ within a batch."""
    rest = {key: value for key, value in cell.training_slice.items() if key != "seed"}
    for part, keys in _FREE.items():
        rest[part] = {key: value for key, value in rest[part].items() if key not in keys}
    return artifacts.digest([cell.data_id, rest])


def train(cells: Sequence[Cell], store: Store, rule: BatchingRule, *, processes: int) -> int:
    """Train the models of `trainer=batched` among the cells that are not complete.

    Args:
        cells: of a command.
        store: where results are.
        rule: how models share out.
        processes: how many may run at once.

    Returns:
        How many models were trained.
    """
    cells = [cell for cell in cells if components.trainer(cell.config).batched]
    with ExitStack() as locks:
        for lock in sorted(
            store.study(left[0].study) / f"batch-{_alike(left[0])}" for left in _waiting(cells, store)
        ):
            # another command on this study may be at these models: they are done once
            locks.enter_context(artifacts.locked(lock, store.locks))
        shares: list[list[Cell]] = []
        for left in _waiting(cells, store):
            n = rule.n_programs(len(left), _seconds(left, prepare.load(left[0], store)), processes)
            shares += [left[place::n] for place in range(n)]
        return _train_shares(shares, store, processes) if shares else 0


def _waiting(cells: Sequence[Cell], store: Store) -> list[list[Cell]]:
    """Return the groups of what is still to be trained and whose data are there."""
    ready = [group for group in groups(cells) if artifacts.is_complete(store.data(group[0]))]
    found = [[cell for cell in group if not train_stage.is_done(cell, store)] for group in ready]
    return [left for left in found if left]


def _train_shares(shares: Sequence[list[Cell]], store: Store, processes: int) -> int:
    n_models, n_trained = sum(map(len, shares)), 0
    log.info("trainer=batched: %d models in %d programs", n_models, len(shares))
    dataset = prepare.load(shares[0][0], store)
    for cells, found in batched_program.run(shares, store, min(processes, len(shares))):
        if isinstance(found, Lost):
            log.warning("%d models: %s; each is tried again by its own job", len(cells), found.reason)
            continue
        if store.data(cells[0]) != store.data(shares[0][0]):
            dataset = prepare.load(cells[0], store)
        for cell, trained in zip(cells, found, strict=True):
            if isinstance(trained.outcome, NonFiniteLoss):
                log.warning("%s: %s; it is tried again by its own job", cell.label, trained.outcome)
                continue
            train_stage.publish(cell, store, trained, dataset)
            n_trained += 1
    return n_trained


def advice(cells: Sequence[Cell], store: Store, rule: BatchingRule) -> str:
    """Return a line on what batching would save a sweep of `trainer=default`; "" where that is little."""
    plain = [cell for cell in cells if not components.trainer(cell.config).batched]
    n_models, now, batched = 0, 0.0, 0.0
    for left in _waiting(plain, store) if rule.advise else ():
        dataset = prepare.load(left[0], store)
        model = models.build(left[0].config, dataset.shape, models.classes_of(left[0].config, dataset))
        n_weights = sum(p.numel() for p in model.parameters())
        if refusal(model) or refusal_of_data(dataset) or not rule.is_worth_saying(len(left), n_weights):
            continue
        if models.device_of(left[0].config) != "cpu" or components.trainer(left[0].config).precision:
            continue
        n_models += len(left)
        batched += _seconds(left, dataset)
        now += _seconds(left, dataset, _SECONDS_A_ROW_DEFAULT)
    if not n_models:
        return ""
    return (
        f"{n_models} small models are trained one by one, about {now:.0f} CPU-seconds; trainer=batched trains "
        f"them as one program in about {batched:.0f} (models with ids of their own: docs/sweeps.md)"
    )


def _seconds(cells: Sequence[Cell], dataset: Dataset, seconds_a_row: float = _SECONDS_A_ROW) -> float:
    """Return about how long one core trains some models alike."""
    model = models.build(cells[0].config, dataset.shape, None)
    n_weights = sum(p.numel() for p in model.parameters())
    rows = len(dataset.train) * components.trainer(cells[0].config).max_epochs
    return len(cells) * rows * (seconds_a_row + 6 * n_weights / _FLOPS)

"""`trainer=batched`: models that differ only in alpha, beta, seed or learning rate are trained together.

Before the jobs of a sweep run, with any launcher, the models still to be trained are collected, distributed over a
few programs, and published one by one under their own keys; the jobs then find them complete. A job whose model is
missing (because its program failed) trains it as a batch of one, which gives the same bits.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath

from priorgap.core import artifacts
from priorgap.data.splits import Dataset
from priorgap.pipeline import models
from priorgap.pipeline.config import parts
from priorgap.pipeline.config.model_config import ModelConfig
from priorgap.pipeline.config.plan import Plan, PlannedModel
from priorgap.pipeline.desk import Desk
from priorgap.pipeline.store import keys
from priorgap.pipeline.sweep import batched_program
from priorgap.pipeline.sweep.batching_rule import BatchingRule
from priorgap.pipeline.sweep.engines.protocol import Lost
from priorgap.training.batched import refusal
from priorgap.training.batched.scope import refusal_of_data
from priorgap.training.config import NonFiniteLoss

log = logging.getLogger(__name__)
# Estimates for one core: seconds for a row in each epoch in the program and with Lightning, and float32 products per
# second.
_SECONDS_A_ROW, _SECONDS_A_ROW_DEFAULT, _FLOPS = 5e-6, 1.4e-5, 5e10
_FREE = {"loss": ("alpha", "beta"), "trainer": ("learning_rate",)}


def groups(models: Sequence[PlannedModel]) -> list[list[PlannedModel]]:
    """Return the trainings in groups that differ only in alpha, beta, seed or learning rate; each once."""
    found: dict[str, dict[str, PlannedModel]] = {}
    for model in models:
        found.setdefault(_alike(model.cell), {}).setdefault(model.cell.train_id, model)
    return [list(group.values()) for group in found.values()]


def _alike(cell: ModelConfig) -> str:
    """Return a digest that cells of one group share: a training slice without what may differ within a batch."""
    rest = {key: value for key, value in cell.training_slice.items() if key != "seed"}
    for part, free in _FREE.items():
        rest[part] = {key: value for key, value in rest[part].items() if key not in free}
    return artifacts.digest([cell.data_id, rest])


def train(plan: Plan, desk: Desk, rule: BatchingRule, *, processes: int) -> int:
    """Train the models of `trainer=batched` that are not complete.

    Args:
        plan: the plan of a command.
        desk: the objects that this process shares.
        rule: the rule that distributes models over programs.
        processes: the largest number of programs that run at once.

    Returns:
        The number of models that were trained.
    """
    chosen = [model for model in plan.models if parts.trainer(model.cell.config).batched]
    with ExitStack() as locks:
        for lock in sorted(
            PurePosixPath(left[0].cell.study) / f"batch-{_alike(left[0].cell)}"
            for left in _waiting(chosen, desk)
        ):
            # Another command on this study may be training these models; the lock makes sure that each is trained
            # once.
            locks.enter_context(desk.store.locked(lock))
        shares: list[list[PlannedModel]] = []
        for left in _waiting(chosen, desk):
            n = rule.n_programs(len(left), _seconds(left, desk.dataset(left[0])), processes)
            shares += [left[place::n] for place in range(n)]
        return _train_shares(shares, desk, processes) if shares else 0


def _waiting(chosen: Sequence[PlannedModel], desk: Desk) -> list[list[PlannedModel]]:
    """Return the groups of models that are still to be trained and whose data exist."""
    ready = [group for group in groups(chosen) if desk.store.is_complete(group[0].data)]
    found = [[model for model in group if not _is_done(model, desk)] for group in ready]
    return [left for left in found if left]


def _is_done(model: PlannedModel, desk: Desk) -> bool:
    return desk.store.is_complete(model.train, keys.key(model.train, desk.store))


def _train_shares(shares: Sequence[list[PlannedModel]], desk: Desk, processes: int) -> int:
    n_models, n_trained = sum(map(len, shares)), 0
    log.info("trainer=batched: %d models in %d programs", n_models, len(shares))
    for group, found in batched_program.run(shares, desk, min(processes, len(shares))):
        if isinstance(found, Lost):
            log.warning("%d models: %s; each is tried again by its own job", len(group), found.reason)
            continue
        for model, trained in zip(group, found, strict=True):
            if isinstance(trained.outcome, NonFiniteLoss):
                log.warning("%s: %s; it is tried again by its own job", model.cell.label, trained.outcome)
                continue
            step = model.train
            kept = trained.kept(model, desk.dataset(model))
            key = keys.key(step, desk.store)
            with desk.store.locked(step.path):
                desk.store.publish(
                    step, key, kept, seed=step.seed, seconds=trained.seconds, cpu_seconds=trained.cpu_seconds
                )
            n_trained += 1
    return n_trained


def advice(plan: Plan, desk: Desk, rule: BatchingRule) -> str:
    """Return a line on the time that batching would save in a sweep of `trainer=default`; "" where that is little."""
    plain = [model for model in plan.models if not parts.trainer(model.cell.config).batched]
    n_models, now, batched = 0, 0.0, 0.0
    for left in _waiting(plain, desk) if rule.advise else ():
        config, dataset = left[0].cell.config, desk.dataset(left[0])
        network = models.build(config, dataset.shape, dataset.modality, models.classes_of(config, dataset))
        n_weights = sum(p.numel() for p in network.parameters())
        if refusal(network) or refusal_of_data(dataset) or not rule.is_worth_saying(len(left), n_weights):
            continue
        if models.device_of(config) != "cpu" or parts.trainer(config).precision:
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


def _seconds(group: Sequence[PlannedModel], dataset: Dataset, seconds_a_row: float = _SECONDS_A_ROW) -> float:
    """Return the approximate time in which one core trains some similar models."""
    config = group[0].cell.config
    network = models.build(config, dataset.shape, dataset.modality, None)
    n_weights = sum(p.numel() for p in network.parameters())
    rows = len(dataset.train) * parts.trainer(config).max_epochs
    return len(group) * rows * (seconds_a_row + 6 * n_weights / _FLOPS)
